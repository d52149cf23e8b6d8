"""The model that the explorer opens on: a word-level LSTM of the sentences in `grammar`.

    python -m gatewright.explorer.sentences [FOLDER]

trains it again, from the same seed, tells how often it is right where something had to be kept, on sentences that it
was never trained on, and writes the model folder that is shipped.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from ..tasks import LanguageModel
from ..tasks.language.network import LanguageNetwork
from ..tasks.tokenizers import Words
from .grammar import Sentence, country, gender, sentence

FOLDER = Path(__file__).parent / "sentences_model"
UNITS, EMBEDDING = 96, 40
UPDATES, BATCH, RATE = 4500, 64, 4e-3
UNKNOWN = 0.01  # of the words are read as <unk>, so that a word from outside does no harm
OUTSIDE = -100  # a target that counts for nothing

EXAMPLES = (
    {
        "id": "clouds",
        "title": "The clouds are in the …",
        "text": "the clouds are in the sky .",
        "why": "Everything that is needed stands nearby. Step to the last “the”: “sky” is expected. Then see which "
        "gates had to stay open to carry “clouds” those four words.",
    },
    {
        "id": "fluent",
        "title": "I grew up in Germany … I speak fluent …",
        "text": "i grew up in germany . the food was good . my mother told us old stories . i speak fluent german .",
        "why": "The country is needed again many words later. In Look, sort the units by memory horizon: those whose "
        "forget gate stays near 1 between “germany” and “fluent” carry it. In Ask, close the forget gate there.",
    },
    {
        "id": "france",
        "title": "The same story with France",
        "text": "i grew up in france . the food was good . my mother told us old stories . i speak fluent french .",
        "why": "Only one word differs from the story before. Compare the cell state under the same words: the units "
        "that differ are those that know the country.",
    },
    {
        "id": "keys",
        "title": "The keys to the cabinet are …",
        "text": "the keys to the cabinet are on the table .",
        "why": "The verb agrees with “keys”, not with “cabinet”, which stands nearer. Look for a unit whose cell state "
        "keeps its sign from “keys” to “are”.",
    },
    {
        "id": "key",
        "title": "The key to the cabinets near the doors is …",
        "text": "the key to the cabinets near the doors is on the table .",
        "why": "Two nouns of the other number stand between subject and verb. Step through them: does the input gate "
        "keep them out of the unit that holds the number?",
    },
    {
        "id": "girl",
        "title": "The girl who saw the boys said that she …",
        "text": "the girl who saw the boys said that she was tired .",
        "why": "The pronoun follows from “girl”; “boys” in between must not overwrite it. Take the unit that holds it "
        "away in Ask, and see “she” become “he” or “they”.",
    },
)
"""What the explorer opens on, and what to look for."""


def some(count: int, seed: int, *, held_out: bool, kind=sentence) -> list[Sentence]:
    """Sentences that are trained on, or that are not."""
    chance, found = random.Random(seed), []
    while len(found) < count:
        made = kind(chance)
        if made.held_out == held_out:
            found.append(made)
    return found


def train(updates: int = UPDATES, seed: int = 1) -> LanguageModel:
    """The model, trained from a seed; `updates` of `BATCH` sentences each."""
    torch.manual_seed(seed)
    trained_on = some(20_000, seed, held_out=False)
    words = Counter(word for made in trained_on for word in made.words)
    tokenizer = Words(["<unk>", "<eos>", *sorted(words)])
    model = LanguageModel(
        "lstm", tokenizer="words", hidden_size=UNITS, embedding_size=EMBEDDING, tied=False, dropout=0.0
    )
    network = LanguageNetwork(model.cell, tokenizer.size, model.settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, updates, pct_start=0.1)
    encoded = [tokenizer.encode(f"<eos> {made.text} <eos>") for made in trained_on]
    for _ in range(updates):
        rows = [encoded[k][int(torch.rand(()) < 0.5) :] for k in torch.randint(len(encoded), (BATCH,)).tolist()]
        tokens = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row).long() for row in rows], padding_value=OUTSIDE)
        read, targets = tokens[:-1].clamp_min(0), tokens[1:]
        read = torch.where(torch.rand(read.shape) < UNKNOWN, 0, read)
        logits, _ = network(read)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=OUTSIDE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model._adopt(model.settings, model.cell_name, {"tokenizer": tokenizer.to_dict()}, network.state_dict())
    return model


@torch.no_grad()
def accuracy(model: LanguageModel, sentences: Sequence[Sentence]) -> dict[str, float]:
    """How often the likeliest next word is the right one, where it follows from what had to be kept; by kind."""
    right, seen = Counter[str](), Counter[str]()
    for made in sentences:
        tokens = torch.from_numpy(model.tokenizer.encode(made.text)).long()
        logits, _ = model.network(tokens[:, None])
        for at, kind in made.kept.items():
            right[kind] += int(logits[at - 1, 0].argmax() == tokens[at])
            seen[kind] += 1
    return {kind: right[kind] / seen[kind] for kind in sorted(seen)}


def main(folder: Path = FOLDER) -> None:
    """Train, measure, write."""
    torch.set_num_threads(1)  # the layer is small, and the result does not depend on the machine
    model = train()
    found = accuracy(model, some(2000, 2, held_out=True))
    model.metrics = {"accuracy": {kind: round(share, 4) for kind, share in found.items()}}
    model.save(folder)
    for kind, share in found.items():
        print(f"{kind}: the right word is the likeliest in {share:.1%} of held-out places")
    print(f"{folder}: {(folder / 'model.safetensors').stat().st_size / 1000:.0f} kB")


__all__ = ["EXAMPLES", "FOLDER", "accuracy", "country", "gender", "some", "train"]

if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
