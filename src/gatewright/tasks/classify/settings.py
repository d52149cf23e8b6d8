"""The settings of a classifier or regressor of sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.settings import Settings, setting

__all__ = ["ClassifySettings"]


@dataclass(frozen=True)
class ClassifySettings(Settings):
    """What a classifier reads and is made of."""

    cell: str = setting("lstm", "a name of the zoo, equations, or a file of equations")
    kind: Literal["classification", "regression"] = setting("classification", "what is told of a sequence")
    hidden_size: int = setting(128, "units of a layer and direction")
    num_layers: int = setting(1, "layers")
    bidirectional: bool = setting(True, "read forwards and backwards; a stream needs one direction")
    pooling: Literal["last", "mean", "max", "attention"] = setting("attention", "from outputs at every step to one")
    projection: int | None = setting(None, "width P of cells that have one (lstmp)")
    heads: int = setting(1, "blocks of the recurrent matrices")
    stack: int = setting(1, "steps that are read as one, side by side")
    conv_layers: int | None = setting(
        None, "convolutions over time before the recurrent layers (2; none where text is read)"
    )
    conv_channels: int = setting(64, "features that each convolution makes")
    conv_kernel: int = setting(5, "steps that a convolution sees")
    conv_stride: int = setting(1, "steps from one place of a convolution to the next")
    dropout: float = setting(0.3, "on embeddings and convolutions, between layers and on what is pooled")
    recurrent_dropout: float = setting(0.0, "on what enters recurrent products, one mask a sequence")
    normalize: Literal["data", "sequence", "none"] = setting(
        "data", "features have mean 0 and deviation 1 over the training data, or within each sequence"
    )
    embedding_size: int = setting(64, "width of the embedding of text")
    tokenizer: Literal["words", "chars", "bytes", "pieces"] = setting("words", "what a token of text is")
    vocabulary: int | None = setting(None, "most entries of the vocabulary (10000 words; 4096 pieces)")
    validation: float = setting(0.15, "share of the sequences kept for validation, of every class or of the groups")
    balance: Literal["none", "weights", "sampling"] = setting(
        "none", "rare classes count more, by weights in the loss or by being drawn more often"
    )
    label_smoothing: float = setting(0.0, "share of a label that is spread over all classes")
    noise: float = setting(0.0, "augmentation: noise, in standard deviations of a feature")
    scaling: float = setting(0.0, "augmentation: features are multiplied by up to 1 plus or minus this")
    shift: float = setting(0.0, "augmentation: share of a sequence that is cut off at its ends, at most")
    warp: float = setting(0.0, "augmentation: time runs faster and slower by up to this share")
    rotation: float = setting(0.0, "augmentation: features in threes (x, y, z) are turned by up to so many degrees")
    mask_time: float = setting(0.0, "augmentation: longest stretch set to the mean, as a share of the sequence")
    mask_features: float = setting(0.0, "augmentation: widest band of features set to the mean, as a share of them")
    drop_tokens: float = setting(0.1, "augmentation: share of the words (or chars) of a text that become unknown")
    audio: Literal["logmel", "mfcc"] | None = setting(None, "what is made of recordings (logmel)")
    sample_rate: int | None = setting(None, "samples a second that recordings are brought to (those of the first one)")
    bands: int = setting(40, "mel bands")
    coefficients: int = setting(13, "cepstral coefficients of mfcc")
    frame_ms: float = setting(25.0, "length of a frame of audio, milliseconds")
    hop_ms: float = setting(10.0, "from one frame of audio to the next, milliseconds")
    trim_db: float | None = setting(None, "silence at the ends that is so many decibels below the peak is cut off")
    sequence: str | None = setting(None, "column of a table: which sequence a row belongs to (sequence, series or id)")
    order: str | None = setting(None, "column of a table: the order of rows in a sequence (as they stand)")
    label: str = setting("label", "column of a table or array of a .npz file: the label")
    text: str = setting("text", "column of a table: the text")
    file: str = setting("file", "column of a table: the recording's file")
    group: str | None = setting(None, "column or array: who a sequence is from; a group is in one part only")
    features: str | None = setting(None, "columns of a table that are read, with commas between (all others)")
    backend: Literal["auto", "cpu", "reference", "vendor"] = setting("auto", "what runs the cell")

    def check(self) -> None:
        for name in AT_LEAST_ONE:
            self._at_least(name, 1)
        self._at_least("vocabulary", 2)
        for name in ("frame_ms", "hop_ms", "trim_db"):
            self._at_least(name, 0, above=True)
        for name in ("conv_layers", "noise", "rotation"):
            self._at_least(name, 0)
        self._below_one(*BELOW_ONE)
        if self.validation == 0:
            raise SettingsError("setting validation: expected a share above 0, got 0.0; early stopping needs some data")
        if self.kind == "regression" and (self.balance != "none" or self.label_smoothing):
            name = "balance" if self.balance != "none" else "label_smoothing"
            raise SettingsError(
                f"setting {name}: is for classes, got {getattr(self, name)!r} with kind 'regression'; leave it out"
            )

    def convolutions(self, tokens: bool) -> int:
        """How many there are before the recurrent layers; what is measured has noise, which they take out."""
        return (0 if tokens else 2) if self.conv_layers is None else self.conv_layers


AT_LEAST_ONE = (
    "hidden_size num_layers projection heads stack conv_channels conv_kernel conv_stride embedding_size sample_rate "
    "bands coefficients"
).split()
BELOW_ONE = (
    "dropout recurrent_dropout validation label_smoothing scaling shift warp mask_time mask_features drop_tokens"
).split()
