"""From a program to native code: emitted and compiled, or found on the disk."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from ...plan.plan import Plan, plan
from ...plan.program import Program
from . import engine
from .backward import emit_backward
from .debug import OneAtATime, checked, checker
from .emitter import Module
from .forward import emit_forward
from .halves import HALVES, build_halves
from .products import SIGNATURES, build_library
from .shared import Shared
from .target import Target
from .threads import symbols


@dataclass(frozen=True)
class Native:
    """One compiled sequence function, the names of its context's words, and what its table of numbers holds."""

    function: Callable[[int, int], None]
    fields: tuple[str, ...]
    numbers: tuple[str, ...]


@cache
def library(real: str, target: Target, *, debug: bool = False) -> engine.Library:
    """The functions that all kernels of a dtype share."""
    check, uses = (checked, [checker()]) if debug else (None, [])
    made = engine.compiled(
        _key(f"library {real}", debug), lambda: build_library(real, target, check=check), real=real, target=target
    )
    return engine.load([made], list(SIGNATURES), symbols(), uses=uses)


@cache
def _halves(target: Target, *, debug: bool = False) -> engine.Library:
    """The functions that kernels share whose products multiply pairs of bfloat16 numbers."""
    check, uses = (checked, [checker()]) if debug else (None, [])
    made = engine.compiled(
        _key("halves", debug), lambda: build_halves(target, check=check), real="float", target=target
    )
    return engine.load([made], list(HALVES), uses=uses)


def _key(text: str, debug: bool) -> str:
    return f"debug {text}" if debug else text


def planned(program: Program, *, train: bool) -> Plan:
    return plan(program.graph, train=train, reset=program.reset, every=program.every, record=program.record)


def emitted(program: Program, real: str, target: Target, *, train: bool, backward: bool, debug: bool = False) -> Module:
    """The module of one direction of time; with its names as data, for whoever finds it on the disk."""
    name = ("backward" if backward else "train" if train else "infer") + f"_{real}"
    module = Module(name, real, target, check=checked if debug else None)
    shared = Shared(module, planned(program, train=train), train, program.heads, program.halves)
    (emit_backward if backward else emit_forward)(shared)
    numbers = [f"const {n.attr.hex()}" if n.op == "const" else str(n.attr.name) for n in shared.constants.entries]
    shared.module.text("names", "\n".join([*shared.fields.index, "", *numbers]))
    return shared.module


@lru_cache(maxsize=512)
def native(text: str, real: str, target: Target, *, train: bool, backward: bool, debug: bool = False) -> Native:
    """Compile the program with this text, or load it from the disk."""
    program, entry = Program.parse(text), "backward" if backward else "forward"
    made = engine.compiled(
        _key(f"{entry} {train} {text}", debug),
        lambda: emitted(program, real, target, train=train, backward=backward, debug=debug),
        real=real,
        target=target,
    )
    uses = [library(real, target, debug=debug), *([checker()] if debug else [])]
    uses += [_halves(target, debug=debug)] if program.halves else []
    loaded = engine.load([made], [entry, "names"], symbols(), uses=uses)
    names = ctypes.string_at(loaded.address("names")).decode().split("\n")
    cut = names.index("")
    function = loaded.function(entry, ctypes.c_void_p, ctypes.c_int32)
    function = OneAtATime(function) if debug else function
    return Native(function, tuple(names[:cut]), tuple(names[cut + 1 :]))
