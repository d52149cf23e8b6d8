"""The settings of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.settings import Settings, setting

__all__ = ["LanguageSettings", "beside_recipe", "with_recipe"]

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
    last_size: int | None = setting(None, "units of the last layer, where not `hidden_size`")
    embedding_size: int | None = setting(None, "width of the embedding (the output's where tied, else at most 128)")
    projection: int | None = setting(None, "width P of cells that have one (lstmp)")
    heads: int = setting(1, "blocks of the recurrent matrices")
    tied: bool | None = setting(None, "embedding and output share their weights (words and pieces do)")
    dropout: float = setting(0.3, "on the embedding, between layers and on the output")
    dropout_embedding: float | None = setting(None, "on the embedding, where not `dropout`")
    dropout_between: float | None = setting(None, "between layers, where not `dropout`")
    dropout_output: float | None = setting(None, "on the output, where not `dropout`")
    dropout_kind: Literal["fresh", "locked"] = setting(
        "fresh", "fresh: drawn at each step; locked: once an update for each sequence and unit (Gal and Ghahramani)"
    )
    dropout_words: float = setting(0.0, "share of the vocabulary whose embeddings an update takes as 0")
    weight_drop: float = setting(0.0, "share of each recurrent matrix that an update takes as 0")
    activation: float = setting(0.0, "weight of the penalty on large outputs (AR; AWD-LSTM has 2)")
    temporal_activation: float = setting(0.0, "weight of the penalty on changes of the output (TAR; AWD-LSTM has 1)")
    steps: int | None = setting(
        None,
        "steps that the gradient goes back (chars and bytes 128, pieces 64, words 35); the state goes on",
    )
    variable_steps: bool = setting(
        False, "draw the steps of each update: N(steps, 5), half of them with probability 0.05; the rate follows"
    )
    backend: Literal["auto", "cpu", "reference", "vendor"] = setting("auto", "what runs the cell")
    recipe: Literal["none", "awd"] = setting(
        "none", "awd: everything that is not set is as in AWD-LSTM (Merity, Keskar and Socher 2018)"
    )

    def check(self) -> None:
        for name in ("hidden_size", "num_layers", "last_size", "embedding_size", "projection", "heads", "steps"):
            self._at_least(name, 1)
        for name in ("activation", "temporal_activation"):
            self._at_least(name, 0)
        self._at_least("vocabulary", 2)
        self._below_one("validation", *(n for n in DROPOUTS if getattr(self, n) is not None))
        if self.validation == 0:
            raise SettingsError("setting validation: expected a share above 0, got 0.0; early stopping needs some text")
        if self.last_size is not None and self.num_layers == 1:
            raise SettingsError("setting last_size: expected several layers, got num_layers 1; set hidden_size alone")
        if self.last_size is not None and self.projection is not None:
            raise SettingsError("setting last_size: expected no projection beside it; set one of them")

    @property
    def is_tied(self) -> bool:
        """Whether embedding and output share their weights."""
        return self.tokenizer in ("words", "pieces") if self.tied is None else self.tied

    @property
    def window(self) -> int:
        """Steps that the gradient goes back."""
        return self.steps or STEPS[self.tokenizer]


DROPOUTS = ("dropout", "dropout_embedding", "dropout_between", "dropout_output", "dropout_words", "weight_drop")

RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    # Merity, Keskar and Socher 2018, and their code's settings for Penn Treebank in words.
    "awd": {
        "tokenizer": "words",
        "hidden_size": 1150,
        "num_layers": 3,
        "last_size": 400,
        "dropout": 0.4,
        "dropout_embedding": 0.4,
        "dropout_between": 0.25,
        "dropout_kind": "locked",
        "dropout_words": 0.1,
        "weight_drop": 0.5,
        "activation": 2.0,
        "temporal_activation": 1.0,
        "steps": 70,
        "variable_steps": True,
        "batch_size": 20,
        "epochs": 500.0,
        "optimizer": "sgd",
        "learning_rate": 30.0,
        "schedule": "constant",
        "warmup": 0,
        "weight_decay": 1.2e-6,
        "clip": 0.25,
        "averaging": 5,
        "patience": 0,
    },
}
LENGTH = ("updates", "epochs", "minutes")


def with_recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of their recipe added, where they are not given; a limit of the run's length stands for all.

    >>> with_recipe({"recipe": "awd", "hidden_size": 200, "minutes": 30})["epochs"] is None
    True
    >>> with_recipe({"recipe": "awd", "hidden_size": 200})["hidden_size"]
    200
    """
    given = dict(settings)
    recipe = dict(RECIPES.get(given.get("recipe", "none"), {}))  # an unknown one is refused with the other settings
    if not recipe:
        return given
    if any(given.get(name) is not None for name in LENGTH):
        recipe["epochs"] = None
    narrower = min(recipe["last_size"], given.get("hidden_size") or recipe["hidden_size"])
    several = given.get("num_layers", 2) > 1 and given.get("projection") is None
    recipe["last_size"] = (given.get("embedding_size") or narrower) if several else None
    return {**recipe, **given}


def beside_recipe(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not as their recipe has them. usual: those of the recipe alone."""
    derived = ("last_size", "epochs")  # which follow from others
    given = {name: value for name, value in settings.items() if name not in derived and value != usual[name]}
    whole = {**usual, **with_recipe({**given, "recipe": settings["recipe"]})}
    return given | {name: settings[name] for name in derived if settings[name] != whole[name]}
