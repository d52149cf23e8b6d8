"""What a kernel is made for: an instruction set, and how wide its vectors of a dtype are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Target:
    """One instruction set. `tile_rows[k]` are the most rows of a product tile that is k+1 vectors wide: as many as
    fit the registers with the right operand and one broadcast value of the left.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int
    tile_rows: tuple[int, ...]
    masks: bool  # it stores under a mask at no cost

    def lanes(self, real: str) -> int:
        """How many values of a dtype ("float" or "double", as LLVM calls them) a vector holds."""
        return self.vector_bytes // {"float": 4, "double": 8}[real]


X86 = "x86_64-unknown-linux-gnu"
TARGETS = {
    target.name: target
    for target in (
        Target("avx512", X86, "skylake-avx512", "-prefer-256-bit", 64, (8, 8, 8, 6), masks=True),
        Target("avx2", X86, "haswell", "+avx2,+fma", 32, (8, 6, 4), masks=False),
        Target("baseline", X86, "x86-64", "", 16, (8, 4), masks=False),
        Target("neon", "aarch64-unknown-linux-gnu", "generic", "+neon", 16, (8, 8, 8, 5), masks=False),
    )
}

RESTRICT = "GATEWRIGHT_TARGET"

_AVX2 = frozenset("avx2 fma f16c bmi bmi2 lzcnt movbe".split())
# what a machine must have, under LLVM's names, for the code of a target; the best target of a processor comes first
NEEDS: Mapping[str, frozenset[str]] = {
    "avx512": _AVX2 | frozenset("avx512f avx512cd avx512dq avx512bw avx512vl".split()),
    "avx2": _AVX2,
    "baseline": frozenset(["sse2"]),
    "neon": frozenset(["neon"]),
}


class TargetError(RuntimeError):
    """There are no kernels for this machine, or not the ones asked for."""


def host() -> Target:
    """The best target of this machine, or the one that the environment variable GATEWRIGHT_TARGET restricts it to."""
    name = os.environ.get(RESTRICT, "")
    if not name:
        return _best()
    if name not in TARGETS:
        raise TargetError(f"{RESTRICT}: {name!r} is no target; expected one of {', '.join(TARGETS)}")
    if name not in able():
        raise TargetError(f"{RESTRICT}: this machine cannot run {name!r}; it can run {', '.join(able()) or 'none'}")
    return TARGETS[name]


@cache
def code_for(target: Target) -> tuple[str, str]:
    """The processor and the features that LLVM makes the code for: all that this machine has where the target is its
    best, else the plain processor of the table.
    """
    if TARGETS.get(target.name) != target or target.name != next(iter(able()), None):
        return target.cpu, target.features
    from llvmlite import binding  # on use: the table of targets is read where no kernel is made

    own = binding.get_host_cpu_features().flatten()
    return binding.get_host_cpu_name(), ",".join(filter(None, (own, target.features)))


@cache
def _best() -> Target:
    if not able():
        raise TargetError("there are no CPU kernels for this machine's processor")
    return TARGETS[able()[0]]


@cache
def able() -> tuple[str, ...]:
    """The targets that this machine can run, the best first."""
    from llvmlite import binding

    has = {feature for feature, there in binding.get_host_cpu_features().items() if there}
    return tuple(name for name, needs in NEEDS.items() if needs <= has)
