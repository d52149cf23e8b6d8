"""From IR to machine code, and from machine code to functions that can be called.

LLVM runs at most once a kernel and machine: an object file is kept on disk and linked in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import itertools
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding as llvm
from llvmlite import ir

from . import cache as disk
from .emitter import I64, PTR, Module
from .target import Target, able, code_for, host

DECIDING = ("graph", "gradient", "plan", "backends/cpu")  # the folders whose code is behind what is emitted

_names = itertools.count()
_lock = threading.Lock()


# -- code ------------------------------------------------------------------------------------------


def compile_object(module: Module, *, debug: Path | None = None) -> bytes:
    """The object file of a module, for this machine.

    No passes run over the IR: what the emitter wrote is what is translated. With a folder as `debug`, the IR and the
    assembly are written there, under the module's name.
    """
    return _translate(module, *code_for(module.target), debug)


def static_object(module: Module) -> bytes:
    """The object file of a module for any machine of its target, this one or another, to be linked by others."""
    return _translate(module, module.target.cpu, module.target.features, None)


def _translate(module: Module, cpu: str, features: str, debug: Path | None) -> bytes:
    with gc_paused():
        text = str(module)
        if debug:
            (debug / f"{module.ir.name}.ll").write_text(text)
        # a context of its own: what is made in the global one is never freed
        parsed = llvm.parse_assembly(text, llvm.create_context())
        parsed.verify()
        machine = _machine(module.target.triple, cpu, features)
        if debug:
            (debug / f"{module.ir.name}.s").write_text(machine.emit_assembly(parsed))
        return machine.emit_object(parsed)


def compiled(key: str, build: Callable[[], Module], *, real: str, target: Target | None = None) -> bytes:
    """The object file of what `build` gives, from the disk where it is kept there.

    The key says all that the module depends on, apart from its dtype (`real`), its target (this machine's, unless
    given) and what can change only with another version: our sources, LLVM and the processor are taken care of.
    """
    target = target or host()
    kept, name = disk.default(), _entry(key, real, target)
    found = kept.get(name) if kept else None
    if found is not None:
        return found
    with gc_paused():
        module = build()
        if (module.real, module.target) != (real, target):
            given = f"{module.real} for {module.target.name}"
            raise ValueError(f"compiled: expected a module of {real} for {target.name}, got {given}")
        made = compile_object(module)
    if kept:
        kept.put(name, made)
    return made


def _entry(key: str, real: str, target: Target) -> str:
    """What an object file depends on, in one text."""
    version = llvmlite.__version__, *llvm.llvm_version_info
    return repr((key, real, target, *code_for(target), version, _sources()))


@cache
def _sources() -> str:
    return digest_of(Path(__file__).parents[2])


def digest_of(package: Path) -> str:
    """The digest of the code that decides what is emitted for a given key."""
    digest = hashlib.sha256()
    for folder in DECIDING:
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(repr((path.relative_to(package).as_posix(), path.read_bytes())).encode())
    return digest.hexdigest()


@cache
def _machine(triple: str, cpu: str, features: str) -> llvm.TargetMachine:
    _start(triple.split("-")[0])
    # position independent: it may be linked anywhere, and constants stand beside the code instead of in it
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small")


@cache
def _start(processor: str) -> None:
    """Have LLVM set up what it needs for a processor: this machine's own, or all there are."""
    if processor == llvm.get_default_triple().split("-")[0]:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()


@contextmanager
def gc_paused() -> Iterator[None]:
    """Hold Python's collector: a module's many objects are all alive, and walking them takes as long as making them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


# -- linking ---------------------------------------------------------------------------------------


class Library:
    """Object files linked into this process; their code lives as long as this object, or a function it gave."""

    def __init__(self, tracker: llvm.ResourceTracker, exports: Sequence[str], uses: Sequence[Library]):
        self._tracker, self._uses = tracker, tuple(uses)
        self.addresses = {name: tracker[name] for name in exports}

    def address(self, name: str) -> int:
        """Where an exported function stands."""
        return self.addresses[name]

    def function(self, name: str, *arguments: Any) -> Any:
        """An exported function without a result, as something to call; the arguments are types of ctypes.

        The interpreter's lock is released while it runs.
        """
        found: Any = ctypes.CFUNCTYPE(None, *arguments)(self.address(name))
        found.library = self  # the code must not go away before its caller
        return found


def load(
    objects: Sequence[bytes],
    exports: Sequence[str],
    imports: Mapping[str, int] | None = None,
    *,
    uses: Sequence[Library] = (),
) -> Library:
    """Link object files.

    `exports` are the functions whose addresses are wanted, `imports` the addresses of functions that stand elsewhere.
    The exports of the libraries in `uses` can be called as well, and these live as long as the new one. What is found
    in none of them is searched for in the process: libm, memcpy and the like.
    """
    known = {name: address for library in uses for name, address in library.addresses.items()} | dict(imports or {})
    builder = llvm.JITLibraryBuilder().add_current_process()
    for each in objects:
        builder.add_object_img(each)
    for name, address in known.items():
        builder.import_symbol(name, address)
    for name in exports:
        builder.export_symbol(name)
    return Library(builder.link(_linker(), f"gatewright-{next(_names)}"), exports, uses)


def _linker() -> llvm.LLJIT:
    with _lock:  # two must not be made: all libraries of one that is forgotten would go with it
        return _make_linker()


@cache
def _make_linker() -> llvm.LLJIT:
    _start(llvm.get_default_triple().split("-")[0])
    return llvm.create_lljit_compiler(use_jit_link=True)  # the older linker takes three times as long


# -- whether any of it can be ----------------------------------------------------------------------


@cache
def usable() -> str | None:
    """Why no kernels can be run in this process; None where they can. Tried once, by running one.

    TargetError where the environment asks for a target that cannot be had: that is a mistake, and no reason.
    """
    if not sys.platform.startswith("linux"):
        return f"CPU kernels are made for Linux, not for {sys.platform}"
    if not able():
        return "there are no CPU kernels for this machine's processor"
    # first by hand: LLVM ends the process where it may not make memory executable
    return _no_executable_memory() or _no_kernel()


def _no_executable_memory() -> str | None:
    """Why memory that was written cannot be made executable; None where it can. Nothing is executed."""
    libc = ctypes.CDLL(None, use_errno=True)
    write, run = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_EXEC
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=write) as page:
        view = ctypes.c_char.from_buffer(page)
        place = ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(mmap.PAGESIZE)
        failed = libc.mprotect(*place, run)
        number = ctypes.get_errno()
        del view  # a page that is looked at cannot be closed
    return f"this process may not make memory executable ({os.strerror(number)})" if failed else None


def _no_kernel() -> str | None:
    """Why a small function cannot be linked and run; None where it can."""
    code, seen = compiled("trial", _trial, real="float"), ctypes.c_int64(0)
    try:
        library = load([code], ["trial"])
        library.function("trial", ctypes.c_void_p)(ctypes.addressof(seen))
    except RuntimeError as error:
        return f"LLVM cannot link a kernel: {error}"
    return None if seen.value == 1 else "a kernel that should have written 1 did not"


def _trial() -> Module:
    module = Module("trial", "float", host())
    e = module.function("trial", {"seen": PTR}, public=True)
    e.store_as(I64, ir.Constant(I64, 1), e.args["seen"])
    e.done()
    return module
