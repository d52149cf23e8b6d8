"""Every argument of everything public: what is wrong is refused, by its name, with what was expected and what came.

The table enrols itself: a public class, function or method of `gatewright.graph` and `gatewright.nn` without an entry,
and an argument without a row, fail a test. (What `gw.tasks`, `gw.export` and `gw.inside` take has tests beside them.)
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator

import pytest
from bad_arguments import Free
from bad_calls import ENTRIES

import gatewright as gw

PACKAGES = ("gatewright.graph", "gatewright.nn")
LEFT_OUT = {
    "Cell": "made by @gw.cell and gw.parse",
    "CellError": "an error",
    "NotationError": "an error",
    "constraints.Constraints": "made by gw.constrain",
    "sequences.inside": "takes what `mask` has checked",
    "init.default": "takes the views of a layer that is being made",
    "init.like_torch": "takes the weights of a layer that is being made",
    "convert.OnnxNode": "what is returned",
    "convert.Reversed": "what from_keras and from_flax make",
    "convert.from_keras": "needs Keras, as its own tests do",
    "convert.to_keras": "needs Keras, as its own tests do",
    "convert.from_flax": "needs Flax, as its own tests do",
    "convert.to_flax": "needs Flax, as its own tests do",
    "convert.from_onnx": "takes nodes, as its own tests do",
}
METHODS = "forward step weights backend_for of __getitem__".split()


def public() -> Iterator[tuple[str, Callable]]:
    """(name, callable) of all that a user can call."""
    for name in gw.__all__:
        thing = getattr(gw, name)
        if isinstance(thing, types.ModuleType):
            if thing.__name__.startswith(PACKAGES):
                listed = getattr(thing, "__all__", None) or [
                    key for key, value in vars(thing).items() if getattr(value, "__module__", None) == thing.__name__
                ]
                yield from ((f"{name}.{key}", getattr(thing, key)) for key in listed if not key.startswith("_"))
        elif callable(thing) and thing.__module__.startswith(PACKAGES):
            yield name, thing


def calls() -> Iterator[tuple[str, Callable]]:
    """The same, and the methods of layers and streams."""
    for name, thing in public():
        if not callable(thing) or name in LEFT_OUT or getattr(thing, "__module__", "").startswith("collections"):
            continue
        yield name, thing
        if inspect.isclass(thing):
            yield from ((f"{name}.{m}", getattr(thing, m)) for m in METHODS if m in own_methods(thing))


def own_methods(kind: type) -> set[str]:
    return {m for k in kind.__mro__ if k.__module__.startswith(PACKAGES) for m in vars(k)}


CALLS = dict(calls())


def arguments_of(thing: Callable) -> list[str]:
    target = thing.__init__ if inspect.isclass(thing) else thing
    return [name for name in inspect.signature(target).parameters if name != "self"]


def test_everything_public_has_an_entry():
    assert sorted(CALLS.keys() - ENTRIES.keys()) == []
    assert sorted(ENTRIES.keys() - CALLS.keys()) == []


@pytest.mark.parametrize("name", ENTRIES)
def test_every_argument_has_a_row(name):
    assert sorted(ENTRIES[name].rows) == sorted(arguments_of(CALLS[name]))


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_right_is_taken(name):
    entry = ENTRIES[name]
    entry.call(entry.right())


ROWS = [
    (name, argument)
    for name, entry in ENTRIES.items()
    for argument, row in entry.rows.items()
    if not isinstance(row, Free)
]
FORM = re.compile(
    "expected|there is no|needs|has no|is a |no state|take |cannot|stands before|give a number|has size|twice"
)
RAW = re.compile("invalid combination|unexpected keyword|not supported between|object (has|is)|not enough values")


@pytest.mark.filterwarnings("ignore:dropout=")
@pytest.mark.parametrize(("name", "argument"), ROWS, ids=[f"{n}-{a}" for n, a in ROWS])
def test_what_is_wrong_is_named(name, argument):
    entry = ENTRIES[name]
    called = re.compile(rf"(?<![a-z])({entry.called.get(argument, argument)})(?![a-z])")
    for wrong in entry.rows[argument]:
        given = entry.right() | {argument: wrong}
        with pytest.raises((ValueError, TypeError)) as caught:  # noqa: PT012
            entry.call(given)
            pytest.fail(f"{argument}={wrong!r} is taken")
        text = str(caught.value)
        assert called.search(text), f"{argument}={wrong!r} is not named: {text}"
        assert FORM.search(text) and not RAW.search(text), f"{argument}={wrong!r}: {text}"
