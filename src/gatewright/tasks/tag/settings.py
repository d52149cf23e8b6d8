"""The settings of a tagger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.settings import Settings, TrainingSettings, defaults, setting

__all__ = ["TagSettings", "TagTraining"]


@dataclass(frozen=True)
class TagSettings(Settings):
    """What a tagger reads and is made of."""

    cell: str = setting("lstm", "a name of the zoo, equations, or a file of equations")
    hidden_size: int = setting(200, "units of a layer, in each direction")
    num_layers: int = setting(1, "layers")
    embedding_size: int = setting(200, "width of the words' vectors (of a file of vectors: its own)")
    characters: Literal["recurrent", "convolution", "none"] = setting(
        "recurrent", "what reads a word's characters: the cell in both directions, a convolution, or nothing"
    )
    character_size: int = setting(32, "width of the characters' vectors")
    character_hidden: int = setting(100, "width of what is read from a word's characters")
    crf: bool = setting(True, "tags by a conditional random field; without it, each by itself")
    constrained: bool = setting(
        True, "predicted tags follow BIO (or BIOES), but for breaks that the training data have"
    )
    intent_weight: float = setting(1.0, "weight of the intent's loss beside that of the tags")
    label_smoothing: float = setting(0.0, "share of a true intent that is spread over all intents, in training")
    intent_to_tags: bool = setting(True, "the tags see the distribution over intents")
    pooling: Literal["attention", "max", "mean"] = setting("attention", "what the intent reads of the words")
    dropout: float = setting(0.5, "of the words' vectors, between layers and of the output; one mask for a sentence")
    word_dropout: float = setting(
        1.0, "a word seen n times is read as unknown with probability w / (w + n), in training; 0: never"
    )
    recurrent_dropout: float = setting(0.0, "inside the recurrent products; one mask for a sentence")
    lowercase: bool = setting(True, "words are looked up in small letters (their characters are read as they are)")
    digits: bool = setting(True, "words are looked up with every digit as 0")
    min_count: int = setting(1, "words seen less often are unknown")
    vectors: str | None = setting(None, "a file of word vectors as text (GloVe, fastText), to begin with")
    vector_words: int = setting(100_000, "words of that file that are kept, beside those of the data")
    invalid: Literal["accept", "error"] = setting("accept", "tags that break BIO in the data: are counted, or an error")
    validation: float = setting(0.1, "share of the sentences kept for validation where the data have no such part")
    backend: Literal["auto", "cpu", "reference", "vendor"] = setting("auto", "what runs the cell")

    def check(self) -> None:
        sizes = "hidden_size num_layers embedding_size character_size character_hidden min_count vector_words"
        for name in sizes.split():
            self._at_least(name, 1)
        for name in ("intent_weight", "word_dropout"):
            self._at_least(name, 0)
        self._below_one("dropout", "recurrent_dropout", "validation", "label_smoothing")
        if self.validation == 0:
            raise SettingsError("setting validation: expected a share above 0, got 0.0; early stopping needs some data")
        if self.characters == "recurrent" and self.character_hidden % 2:
            raise SettingsError(
                f"setting character_hidden: expected an even number, half for each direction, "
                f"got {self.character_hidden}"
            )


TagTraining = defaults(TrainingSettings, "TagTraining", batch_size=None, learning_rate=2e-3, clip=5.0, patience=0)
