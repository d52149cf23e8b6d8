"""Recordings: features beside librosa's, streams beside whole recordings, folders of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gatewright as gw
from gatewright.tasks.classify.audio import AudioFeatures, read_audio
from gatewright.tasks.errors import DataError

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
librosa = pytest.importorskip("librosa", reason="librosa is not installed")

RATE = 8000


def tone(hertz: float, seconds: float = 0.15, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    t = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * t) + 0.01 * generator.standard_normal(len(t))).astype(np.float32)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two labels, a folder each."""
    for label, hertz in (("low", 300), ("high", 2000)):
        (tmp_path / "sound" / label).mkdir(parents=True)
        for k in range(8):
            soundfile.write(tmp_path / "sound" / label / f"{k}.wav", tone(hertz + 20 * k, 0.1 + 0.02 * k, k), RATE)
    return tmp_path / "sound"


def test_features_are_librosas() -> None:
    wave = tone(700)
    ours = AudioFeatures("logmel", RATE, bands=20)
    frames = np.lib.stride_tricks.sliding_window_view(wave, 200)[::80]
    assert ours(wave).shape == (len(frames), 20)
    # librosa centres its window in the longer transform; the power of a frame does not depend on that.
    shifted = np.pad(wave, (156, 156))
    shape = {"n_fft": 512, "win_length": 200, "hop_length": 80, "n_mels": 20}
    power = librosa.feature.melspectrogram(y=shifted, sr=RATE, center=False, **shape)
    np.testing.assert_allclose(ours(wave), np.log(power.T[: len(frames)] + 1e-6), rtol=2e-3, atol=2e-3)
    cepstra = AudioFeatures("mfcc", RATE, bands=20, coefficients=5)(wave)
    np.testing.assert_allclose(cepstra, librosa.feature.mfcc(S=ours(wave).T, n_mfcc=5).T, rtol=1e-5, atol=1e-5)


def test_silence_is_cut_off_and_short_sounds_are_lengthened() -> None:
    quiet = np.concatenate([np.zeros(4000, np.float32), tone(500), np.zeros(4000, np.float32)])
    assert len(AudioFeatures("logmel", RATE, trim_db=30.0)(quiet)) < 25 < len(AudioFeatures("logmel", RATE)(quiet))
    assert len(AudioFeatures("logmel", RATE)(quiet[:10])) == 1


def test_rates_are_brought_together(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(500), tone(500)], 1), RATE)
    samples, rate = read_audio(path, 4000)
    assert rate == 4000 and samples.shape == (600,)


def test_a_folder_of_recordings(recordings: Path, tmp_path: Path) -> None:
    model = gw.Classifier(hidden_size=8, batch_size=4, epochs=15, bands=12, learning_rate=1e-2)
    model.fit(recordings, out=tmp_path / "run")
    assert model.score(recordings) == 1.0
    loaded = gw.Classifier.load(tmp_path / "run")
    assert loaded.predict(recordings / "low" / "0.wav").tolist() == ["low"]
    assert loaded.predict([recordings / "high" / "3.wav"]).tolist() == ["high"]
    assert loaded.predict([tone(2050, seed=9)]).tolist() == ["high"]
    assert loaded.answer([{"samples": tone(310).tolist()}])[0]["prediction"] == "low"
    assert loaded.answer([loaded.example()])[0]["prediction"] in ("low", "high")
    assert not loaded.report().missing and "logistic regression" in loaded.report().html()


def test_a_list_of_recordings_and_labels(recordings: Path) -> None:
    rows = [f"{label}/{k}.wav,{label}" for label in ("low", "high") for k in range(8)]
    table = recordings / "list.csv"
    table.write_text("\n".join(["file,label", *rows]) + "\n")
    model = gw.Classifier(hidden_size=8, batch_size=4, epochs=15, audio="mfcc", learning_rate=1e-2).fit(table)
    assert model.score(table) == 1.0 and model.config is not None and model.config["audio"]["kind"] == "mfcc"


@pytest.mark.parametrize("settings", [{}, {"stack": 2, "conv_layers": 1}, {"hop_ms": 40.0}])
def test_a_stream_of_samples_says_what_the_recording_says(recordings: Path, settings: dict[str, Any]) -> None:
    model = gw.Classifier(hidden_size=6, batch_size=4, epochs=2, bands=10, bidirectional=False, **settings)
    model.fit(recordings)
    wave = tone(1000)[: 200 + 80 * 11]  # twelve frames
    session = model.session()
    assert session is not None
    last = [session.step({"samples": part.tolist()}) for part in np.array_split(wave, 7)][-1]
    whole = model.answer([{"samples": wave.tolist()}])[0]
    for name, p in whole["probabilities"].items():
        assert last["probabilities"][name] == pytest.approx(p, abs=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("bands", 8), ("frame_ms", 40.0), ("hop_ms", 20.0), ("audio", "mfcc"), ("sample_rate", 4000), ("trim_db", 20.0)],
)
def test_a_setting_of_audio_changes_something(setting: str, value: Any) -> None:
    waves = [np.concatenate([np.zeros(400, np.float32), tone(400 + 300 * (k % 2), seed=k)]) for k in range(12)]
    base: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "batch_size": 6, "audio": "logmel", "sample_rate": RATE}
    one, other = (gw.Classifier(**s).fit(waves, [0, 1] * 6) for s in (base, {**base, setting: value}))
    assert one.metrics["best"]["loss"] != other.metrics["best"]["loss"]


def test_recordings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE)
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "bad.wav", "cannot be read as a recording"),
        (tmp_path / "none.wav", "the recording has no samples"),
        (tmp_path / "gone.wav", "no such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_audio(path)
    with pytest.raises(DataError, match="no recordings; expected a sub-folder for each label"):
        gw.Classifier(epochs=1).fit(tmp_path / "empty")
    with pytest.raises(DataError, match="take longer ones"):
        AudioFeatures("logmel", 100, hop_ms=1.0)
