"""The settings of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.settings import Settings, setting

__all__ = ["LanguageSettings"]

STEPS = {"chars": 128, "bytes": 128, "words": 35, "pieces": 64}


@dataclass(frozen=True)
class LanguageSettings(Settings):
    """What a language model reads and is made of."""

    cell: str = setting("lstm", "a name of the zoo, equations, or a file of equations")
    tokenizer: Literal["chars", "bytes", "words", "pieces"] = setting("chars", "what a token is; pieces are byte pairs")
    vocabulary: int | None = setting(
        None, "most entries of the vocabulary (all characters seen; 10000 words; 4096 pieces)"
    )
    validation: float = setting(0.1, "share of the text, at its end, kept for validation")
    hidden_size: int = setting(512, "units of a layer")
    num_layers: int = setting(1, "layers")
    embedding_size: int | None = setting(None, "width of the embedding (the output's where tied, else at most 128)")
    projection: int | None = setting(None, "width P of cells that have one (lstmp)")
    heads: int = setting(1, "blocks of the recurrent matrices")
    tied: bool | None = setting(None, "embedding and output share their weights (words and pieces do)")
    dropout: float = setting(0.3, "on the embedding, between layers and on the output")
    dropout_embedding: float | None = setting(None, "on the embedding, where not `dropout`")
    dropout_output: float | None = setting(None, "on the output, where not `dropout`")
    steps: int | None = setting(
        None,
        "steps that the gradient goes back (chars and bytes 128, pieces 64, words 35); the state goes on",
    )
    backend: Literal["auto", "cpu", "reference", "vendor"] = setting("auto", "what runs the cell")

    def check(self) -> None:
        for name in ("hidden_size", "num_layers", "embedding_size", "projection", "heads", "steps"):
            self._at_least(name, 1)
        self._at_least("vocabulary", 2)
        self._below_one("validation", *(n for n in DROPOUTS if getattr(self, n) is not None))
        if self.validation == 0:
            raise SettingsError("setting validation: expected a share above 0, got 0.0; early stopping needs some text")

    @property
    def is_tied(self) -> bool:
        """Whether embedding and output share their weights."""
        return self.tokenizer in ("words", "pieces") if self.tied is None else self.tied

    @property
    def window(self) -> int:
        """Steps that the gradient goes back."""
        return self.steps or STEPS[self.tokenizer]


DROPOUTS = ("dropout", "dropout_embedding", "dropout_output")
