"""The sentences that every LSTM tutorial uses, from a small grammar: something must be kept until it is asked for.

A country until its language («i grew up in france . … i speak fluent french .»: Bengio, Simard and Frasconi's problem
in a sentence), a subject's number until its verb (Linzen, Dupoux and Goldberg 2016, "Assessing the ability of LSTMs to
learn syntax-sensitive dependencies"), somebody's gender until the pronoun.
"""

from __future__ import annotations

import random
import re
import zlib
from typing import NamedTuple

_PAIRS = (
    "germany:german france:french spain:spanish italy:italian china:chinese japan:japanese russia:russian "
    "greece:greek turkey:turkish poland:polish sweden:swedish portugal:portuguese"
).split()
LANGUAGES = {land: language for land, _, language in (pair.partition(":") for pair in _PAIRS)}
PLACES = {
    "cloud": "in the sky",
    "bird": "in the tree",
    "fish": "in the sea",
    "boat": "on the lake",
    "cow": "in the field",
    "star": "in the sky",
    "car": "on the road",
    "book": "on the shelf",
}
THINGS = "key cabinet door box table letter picture lamp chair window plate cup".split()
PLURALS = {"box": "boxes", "fish": "fish"}
WHERE = "on the table|in the kitchen|near the door|under the bed|in the garden".split("|")
NEAR = "to of near behind beside".split()
SHE, HE = "girl woman queen mother sister".split(), "boy man king father brother".split()
SAW = "saw knew liked met heard".split()
FEELS = "tired happy late hungry alone".split()
FILLERS = (
    "the sun was warm .|we had a small house near the lake .|my father worked in the garden every day .|"
    "in the winter it was cold .|the food was good .|there was a river behind the school .|"
    "on sunday we went to the market .|my sister liked music and books .|it was a long time ago .|"
    "the streets were quiet at night .|we played in the field until late .|the train was always late .|"
    "my mother told us old stories .|the dog slept under the table ."
).split("|")
GREW_UP = "grew up|was born|lived for years|went to school".split("|")


class Sentence(NamedTuple):
    """Its words; and which of them follow from what stands before, with the kind of what had to be kept."""

    words: tuple[str, ...]
    kept: dict[int, str]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def held_out(self) -> bool:
        """One sentence in ten, whenever it is made, is never trained on; but a thing's place has to be learned."""
        return "place" not in self.kept.values() and zlib.crc32(self.text.encode()) % 10 == 0


def sentence(chance: random.Random) -> Sentence:
    """One of any kind."""
    kinds = (country, country, country, agreement, agreement, gender, gender, place)
    return chance.choice(kinds)(chance)


def country(chance: random.Random, fillers: int | None = None) -> Sentence:
    """«i grew up in italy . the food was good . i speak fluent italian .»"""
    who = chance.choice(("i", "we", "they", "he", "she"))
    land = chance.choice(list(LANGUAGES))
    between = " ".join(chance.sample(FILLERS, chance.randrange(4) if fillers is None else fillers))
    grew = chance.choice(GREW_UP)
    if who in ("we", "they"):
        grew = grew.replace("was born", "were born")
    first = f"{who} {grew} in {land} . {between}".strip()
    speak = "speaks" if who in ("he", "she") else "speak"
    return _made(first, f"{who} {speak}", ["", "number"], "fluent", [""], LANGUAGES[land], ["country"], ".", [""])


def agreement(chance: random.Random, attractors: int | None = None) -> Sentence:
    """«the keys to the cabinet are on the table .»"""
    many = chance.random() < 0.5
    words = ["the", _number(chance.choice(THINGS), many)]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3)) if attractors is None else attractors):
        words += [chance.choice(NEAR), "the", _number(chance.choice(THINGS), chance.random() < 0.5)]
    end = f"{chance.choice(WHERE)} ."
    return _made(" ".join(words), "are" if many else "is", ["number"], end, [""] * len(end.split()))


def gender(chance: random.Random) -> Sentence:
    """«the girl who saw the boys said that she was tired .»"""
    which = chance.choice(("she", "he", "they"))
    person = chance.choice({"she": SHE, "he": HE, "they": SHE + HE}[which])
    others = _person(chance.choice(SHE + HE), chance.random() < 0.5)
    first = f"the {_person(person, which == 'they')} who {chance.choice(SAW)} the {others}"
    if chance.random() < 0.3:
        first += f" near the {_number(chance.choice(THINGS), chance.random() < 0.5)}"
    was = "were" if which == "they" else "was"
    return _made(f"{first} said that", which, ["gender"], was, ["number"], f"{chance.choice(FEELS)} .", ["", ""])


def place(chance: random.Random) -> Sentence:
    """«the clouds are in the sky .»"""
    thing = chance.choice(list(PLACES))
    many = chance.random() < 0.6
    end = f"{PLACES[thing]} ."
    kept = ["place"] * (len(end.split()) - 1)
    return _made(f"the {_number(thing, many)}", "are" if many else "is", [""], end, [*kept, ""])


def spaced(text: str) -> str:
    """A sentence as somebody types it, as the model reads it: «The sky is blue.» is «the sky is blue .»"""
    return " ".join(re.findall(r"<\w+>|[\w'-]+|[^\w\s]", text.lower().replace("\n", " <eos> ")))


def _made(first: str, *rest) -> Sentence:
    """Words that are free, then pairs of words and the kinds of what they follow from."""
    words, kept = first.split(), {}
    for more, kinds in zip(rest[::2], rest[1::2], strict=True):
        kept |= {len(words) + k: kind for k, kind in enumerate(kinds) if kind}
        words += more.split()
    return Sentence(tuple(words), kept)


def _number(noun: str, many: bool) -> str:
    return PLURALS.get(noun, f"{noun}s") if many else noun


def _person(noun: str, many: bool) -> str:
    return {"woman": "women", "man": "men"}.get(noun, f"{noun}s") if many else noun
