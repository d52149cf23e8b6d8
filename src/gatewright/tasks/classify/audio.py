"""Recordings as features: read, bring to one rate, cut silence off, log-mel bands or cepstral coefficients.

A frame's features depend on its own samples alone (no reference to a recording's loudest place, no padding at its
start), so that a stream gives what the whole recording gives.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError, MissingExtra, first_line

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["ENDINGS", "AudioFeatures", "read_audio"]

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
QUIET = 1e-6  # added to a band's power before its logarithm: far below 16-bit noise at full scale


def read_audio(path: str | os.PathLike[str], rate: int | None = None) -> tuple[Float[np.ndarray, " N"], int]:
    """A recording, mono, from −1 to 1, and its samples a second.

    path: of a file that soundfile reads. rate: samples a second that it is brought to; default its own.
    Raises `DataError` where the file is missing, no recording, or empty.
    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtra("soundfile", "audio", "reading recordings") from error
    try:
        samples, own = soundfile.read(os.fspath(path), dtype="float32", always_2d=True)
    except (RuntimeError, OSError, TypeError) as error:
        told = "no such file" if not Path(path).exists() else f"cannot be read as a recording ({first_line(error)})"
        raise DataError(f"{path}: {told}; expected one of {', '.join(ENDINGS)}") from error
    mono = samples.mean(1)
    if not len(mono):
        raise DataError(f"{path}: the recording has no samples; leave it out")
    return resampled(mono, own, rate or own), rate or own


def resampled(samples: np.ndarray, own: int, rate: int) -> np.ndarray:
    """The same sound at another rate."""
    if own == rate:
        return samples
    return _librosa().resample(np.asarray(samples, np.float32), orig_sr=own, target_sr=rate)


@dataclass(frozen=True)
class AudioFeatures:
    """What is made of waveforms.

    kind: "logmel", ln of the power in mel bands, or "mfcc", its discrete cosine transform. rate: samples a second.
    frame_ms, hop_ms: length and distance of frames. trim_db: silence at the ends so far below the peak is cut off.

    >>> features = AudioFeatures("logmel", 8000, bands=20)
    >>> features(np.sin(np.arange(8000) * 0.5)).shape, features.hop  # frames of 200 samples, 80 apart
    ((98, 20), 80)
    """

    kind: str
    rate: int
    bands: int = 40
    coefficients: int = 13
    frame_ms: float = 25.0
    hop_ms: float = 10.0
    trim_db: float | None = None

    def __post_init__(self) -> None:
        if self.frame < 2 or self.hop < 1:
            raise DataError(
                f"frames of {self.frame_ms} ms, {self.hop_ms} ms apart, have {self.frame} samples and {self.hop} "
                f"between them at {self.rate} samples a second; take longer ones"
            )

    @property
    def frame(self) -> int:
        """Samples of a frame."""
        return round(self.rate * self.frame_ms / 1000)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return round(self.rate * self.hop_ms / 1000)

    @property
    def names(self) -> list[str]:
        """Of the features."""
        count, word = (self.bands, "mel") if self.kind == "logmel" else (self.coefficients, "mfcc")
        return [f"{word}{k}" for k in range(count)]

    @cached_property
    def _mel(self) -> np.ndarray:
        """(bands, bins); at low rates the narrowest bands may lie between two bins, so the spectrum is made fine."""
        return _librosa().filters.mel(sr=self.rate, n_fft=self.points, n_mels=self.bands)

    @property
    def points(self) -> int:
        """Of the Fourier transform: a power of two, with a few bins in the narrowest band."""
        return max(512, 1 << (self.frame - 1).bit_length(), 1 << (8 * self.bands - 1).bit_length())

    def __call__(self, samples: np.ndarray) -> Float[np.ndarray, "T F"]:
        """Features of a waveform; one that is shorter than a frame is lengthened by silence."""
        samples = np.asarray(samples, np.float32)
        if self.trim_db is not None:
            samples = _librosa().effects.trim(
                samples, top_db=self.trim_db, frame_length=self.frame, hop_length=self.hop
            )[0]
        if len(samples) < self.frame:
            samples = np.pad(samples, (0, self.frame - len(samples)))
        frames = np.lib.stride_tricks.sliding_window_view(samples, self.frame)[:: self.hop]
        return self.of_frames(frames)

    def of_frames(self, frames: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "T F"]:
        """Features of frames of samples."""
        window = np.hanning(self.frame + 1)[:-1].astype(np.float32)
        power = np.abs(np.fft.rfft(frames * window, self.points)) ** 2
        logs = np.log(power @ self._mel.T + QUIET).astype(np.float32)
        if self.kind == "logmel":
            return logs
        return _librosa().feature.mfcc(S=logs.T, n_mfcc=self.coefficients).T.astype(np.float32)


def _librosa() -> Any:
    try:
        import librosa
    except ImportError as error:
        raise MissingExtra("librosa", "audio", "features of recordings") from error
    return librosa
