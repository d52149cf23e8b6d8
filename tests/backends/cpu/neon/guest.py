"""A program of 64-bit Arm under emulation, which runs functions on memory that it shares with the tests.

The memory has the same address on both sides. So code is linked here and called there, and whatever lies in it, tensors
and contexts with their addresses, is what it is.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import select
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from neon.objects import ARM64, link
from neon.stand_ins import MOST, SPAWN, STACK, TEAM, YIELD, assembled, team

from gatewright.backends.cpu import engine

QEMU = "GATEWRIGHT_QEMU"
PLAIN = "cortex-a53"  # Armv8.0 and nothing of what came later
PATIENCE = 60  # seconds that a call may take
CODE, SIZE = 64 << 20, 2 << 30  # bytes of code, and of all; what is not used costs nothing
_places = itertools.count(1 << 44, SIZE)  # far from where Linux puts anything, in either process


def emulator() -> str | None:
    """The program that the environment names, or one of Debian's."""
    return os.environ.get(QEMU) or shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


# -- the program -----------------------------------------------------------------------------------------------------

# Maps the memory, then takes messages until there are none: eight arguments and one more that belong on the stack,
# eight for the registers, and the function's address. A byte is the answer when it has returned.
DRIVER = assembled("""
58000400 ldr x0, address    58000421 ldr x1, size       d28000e2 mov x2, #7         d2800223 mov x3, #17
58000404 ldr x4, file       d2800005 mov x5, #0         d2801bc8 mov x8, #222       d4000001 svc #0
d10243ff sub sp, sp, #144
d2800000 mov x0, #0         910003e1 mov x1, sp         d2801202 mov x2, #144       d28007e8 mov x8, #63
d4000001 svc #0             f102401f cmp x0, #144       540001a1 b.ne leave
a94487e0 ldp x0, x1, [sp, #72]                          a9458fe2 ldp x2, x3, [sp, #88]
a94697e4 ldp x4, x5, [sp, #104]                         a9479fe6 ldp x6, x7, [sp, #120]
f94047e9 ldr x9, [sp, #136] d63f0120 blr x9
d2800020 mov x0, #1         910003e1 mov x1, sp         d2800022 mov x2, #1         d2800808 mov x8, #64
d4000001 svc #0             17ffffee b -18
d2800000 mov x0, #0         d2800bc8 mov x8, #94        d4000001 svc #0
""")
MESSAGE, ON_STACK = 18, 9
"""Words of a message; those that are for the stack come first, since they are where a function looks for them."""


def driver(address: int, size: int, file: int) -> bytes:
    """A static executable of one segment: headers, code, and the three numbers that the code begins with."""
    code = DRIVER + bytes(-len(DRIVER) % 8) + struct.pack("<3Q", address, size, file)
    base, start = 0x400000, 64 + 56
    whole = start + len(code)
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, ARM64, 1, base + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, whole, whole, 0x10000) + code


# -- the memory ------------------------------------------------------------------------------------------------------


class Arena:
    """Memory at an address of its own, which another process can map there too. It stays until the process ends."""

    def __init__(self) -> None:
        self.file = os.memfd_create("arena")
        os.ftruncate(self.file, SIZE)
        self.address = _mapped(next(_places), self.file)
        self._bytes = memoryview((ctypes.c_uint8 * SIZE).from_address(self.address)).cast("B")
        self._code, self._data = self.address, self.address + CODE

    def view(self, address: int, size: int) -> memoryview:
        start = address - self.address
        return self._bytes[start : start + size]

    def take(self, size: int, align: int = 64) -> int:
        """The address of new bytes, all zero."""
        start = self._data + -self._data % align
        self._data = start + size
        assert self._data <= self.address + SIZE, "the arena is full"
        return start

    def take_code(self, size: int) -> int:
        """The same for code; it has pages of its own, since emulators watch who writes there."""
        start = self._code + -self._code % 64
        self._code = start + size
        assert self._code <= self.address + CODE, "there is no room for more code"
        return start

    def array(self, values: np.ndarray) -> np.ndarray:
        """The same values, in the arena."""
        values = np.ascontiguousarray(values)
        found = np.ndarray(values.shape, values.dtype, self.view(self.take(values.nbytes), values.nbytes))
        found[...] = values
        return found

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + SIZE

    def close(self) -> None:
        """No other process can map it any more."""
        os.close(self.file)


def _mapped(address: int, file: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mmap.restype = ctypes.c_void_p
    keep = 0x100000  # MAP_FIXED_NOREPLACE
    found = libc.mmap(address, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | keep, file, 0)
    assert found == address, f"{address:#x} is taken: {os.strerror(ctypes.get_errno())}"
    return found


# -- calls -----------------------------------------------------------------------------------------------------------


class Linked(engine.Library):
    """A library whose functions run elsewhere; `guest` is None where none can run them."""

    def __init__(self, guest: Guest | None, addresses: dict[str, int]):
        self.guest, self.addresses = guest, addresses

    def function(self, name: str, *arguments: Any) -> Any:
        guest, address = self.guest, self.addresses[name]
        assert guest is not None, "there is no emulator"
        return lambda *values: guest.call(address, *values)


class Linker:
    """`load` in the place of the engine's, for objects of 64-bit Arm."""

    guest: Guest | None = None

    def __init__(self, arena: Arena):
        self.arena = arena
        known = {name: self._code(code) for name, code in (("spawn", SPAWN), ("sched_yield", YIELD))}
        module = team(arena.take(TEAM), arena.take(MOST * STACK))
        self.stand_ins = known | self._linked([engine.static_object(module)], known)

    def load(
        self,
        objects: Sequence[bytes],
        exports: Sequence[str],
        imports: Mapping[str, int] | None = None,
        *,
        uses: Sequence[engine.Library] = (),
    ) -> Linked:
        """The imports are addresses of another processor's code: there are stand-ins for them."""
        known = {name: address for library in uses for name, address in library.addresses.items()}
        found = self._linked(objects, {**self.stand_ins, **known})
        return Linked(self.guest, {name: found[name] for name in exports})

    def _code(self, code: bytes) -> int:
        address = self.arena.take_code(len(code))
        self.arena.view(address, len(code))[:] = code
        return address

    def _linked(self, objects: Sequence[bytes], known: Mapping[str, int]) -> dict[str, int]:
        return link(objects, known, self.arena.take_code, self.arena.view)


class Guest(Linker):
    """The emulated program; `with` ends it."""

    def __init__(self, qemu: str, folder: Path):
        super().__init__(Arena())
        self.guest = self
        self.program = folder / "driver"
        self.program.write_bytes(driver(self.arena.address, SIZE, self.arena.file))
        self.program.chmod(0o700)
        self.qemu, self.process = qemu, self._started(qemu)

    def _started(self, qemu: str) -> subprocess.Popen[bytes]:
        command, pipe = [qemu, "-cpu", PLAIN, str(self.program)], subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=[self.arena.file], bufsize=0)

    def call(self, address: int, *values: int) -> None:
        """Run a function of whole numbers and addresses."""
        message = np.zeros(MESSAGE, np.int64)
        message[ON_STACK : ON_STACK + len(values[:8])] = values[:8]
        message[: len(values[8:])] = values[8:]
        message[-1] = address
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin and stdout and len(values) <= 8 + ON_STACK
        stdin.write(message.tobytes())
        ready, _, _ = select.select([stdout], [], [], PATIENCE)
        if not ready or not stdout.read(1):
            raise RuntimeError(f"the emulated program gave no answer; it ended with {self._end()}")

    def _end(self) -> int:
        """End what goes wrong, and start anew: the code is still there, and other tests may need it."""
        with self.process as process:
            process.kill()
        self.process = self._started(self.qemu)
        return process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self.process as process:  # closes the pipes and waits
            process.kill()
        self.arena.close()
