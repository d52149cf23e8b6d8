"""Convolutions over frames, from the tiles of all other products: compiled once for a dtype and an instruction set.

A frame lies with its channels last and with what is around it, so that a line of pixels is a matrix whose rows overlap:
the taps of a pixel are K neighbours, some segments further the next ones. No patch is ever copied.

    gw_spread     rows of pixels into padded frames
    gw_convolve   C[pixel] (+)= Σ taps · weights, line by line
    gw_weigh      C[tap][row of G][column] += Σ pixels: the gradient of the weights

Each is an entry `(context, threads)`; a context's words are those of its table below, in that order. Sizes and strides
count elements; a padded frame's pixels are as far apart as it has channels.
"""

from __future__ import annotations

from collections.abc import Callable

from .emitter import I64, PTR, Emitter, Module, Size, Value
from .moves import copy_row, zero_row
from .products import declare
from .target import Target
from .threads import add_entry
from .tiles import arguments

SPREAD = "src* src_frame ld channels dst* dst_frame lead frames lines source* column* pitch first width whole"
CONVOLVE = "a* a_frame rs K as nseg taps offset* b* c* ldc beta frames lines line* width vectors panel by_panel"
WEIGH = (
    "g* g_frame ldg rows h* channels h_frame depth frames offset* taps vectors panel c* ldc c_tap chunk packed* each"
)
ENTRIES = {"gw_spread": SPREAD, "gw_convolve": CONVOLVE, "gw_weigh": WEIGH}
WORDS = {name: {word: i for i, word in enumerate(arguments(text))} for name, text in ENTRIES.items()}
"""Where each word stands in an entry's context."""


def build_frames(real: str, target: Target) -> Module:
    """All entries of `ENTRIES`; they call the library of `products.py`."""
    module = Module(f"frames_{real}_{target.name}", real, target)
    for name, run in (("gw_spread", _spread), ("gw_convolve", _convolve), ("gw_weigh", _weigh)):
        _add(module, name, run)
    return module


class _Worker:
    """One thread's part of an entry: the words, and a share of something."""

    def __init__(self, module: Module, name: str):
        self.e = e = module.function(f"{name}_worker", {"context": PTR, "thread": I64, "threads": I64})
        self.thread, self.threads = e.args["thread"], e.args["threads"]
        kinds = arguments(ENTRIES[name])
        self.words = {word: e.load_as(kind, e.args["context"], i) for i, (word, kind) in enumerate(kinds.items())}

    def __getitem__(self, name: str) -> Value:
        return self.words[name]

    def share(self, count: Size) -> tuple[Size, Size]:
        e = self.e
        first, behind = (e.div(e.mul(e.add(self.thread, more), count), self.threads) for more in (0, 1))
        return first, behind


def _add(module: Module, name: str, run: Callable[[_Worker], None]) -> None:
    worker = _Worker(module, name)
    run(worker)
    add_entry(module, name, worker.e.done())


# -- padded frames ---------------------------------------------------------------------------------------------


def _spread(w: _Worker) -> None:
    e = w.e
    lo, hi = w.share(e.mul(w["frames"], w["lines"]))

    def line(k: Value) -> None:
        f, i = e.div(k, w["lines"]), e.rem(k, w["lines"])
        frame = e.at(w["dst"], e.mul(f, w["dst_frame"]))
        before = e.at(frame, e.sub(0, w["lead"]))
        e.when(e.eq(i, 0), lambda: zero_row(e, before, w["lead"]))
        to = e.at(frame, e.mul(i, e.mul(w["pitch"], w["channels"])))
        source = e.load_as(I64, w["source"], i)
        row = e.mul(e.mul(source, w["width"]), w["ld"])
        start = e.at(w["src"], e.add(e.mul(f, w["src_frame"]), row))
        nothing = e.lt(source, 0)
        e.when(nothing, lambda: zero_row(e, to, e.mul(w["pitch"], w["channels"])), lambda: _line(w, start, to))

    e.loop(lo, hi, line)


def _line(w: _Worker, start: Value, to: Value) -> None:
    """One line: its pixels, and what is before and behind them."""
    e, channels = w.e, w["channels"]

    def pixel(x: Value) -> None:
        there = e.load_as(I64, w["column"], x)
        out = e.at(to, e.mul(x, channels))
        own = e.at(start, e.mul(there, w["ld"]))
        e.when(e.lt(there, 0), lambda: zero_row(e, out, channels), lambda: copy_row(e, own, out, channels))

    behind = e.add(w["first"], w["width"])
    inside = e.at(to, e.mul(w["first"], channels))
    at_once = e.ne(w["whole"], 0)
    e.loop(0, w["first"], pixel)
    e.when(
        at_once,
        lambda: copy_row(e, start, inside, e.mul(w["width"], channels)),
        lambda: e.loop(w["first"], behind, pixel) and None,
    )
    e.loop(behind, w["pitch"], pixel)


# -- products --------------------------------------------------------------------------------------------------


def _convolve(w: _Worker) -> None:
    """Panels of weights one after the other, each along all lines: a panel stays in the cache."""
    e = w.e
    panels = e.ceil_div(w["vectors"], w["panel"])
    total = e.mul(w["frames"], w["lines"])
    split = e.ne(w["by_panel"], 0)
    (l0, l1), (p0, p1) = w.share(total), w.share(panels)
    l0, l1 = e.select(split, 0, l0), e.select(split, total, l1)
    p0, p1 = e.select(split, p0, 0), e.select(split, p1, panels)
    tap = e.mul(e.mul(w["K"], w["nseg"]), e.mul(w["panel"], e.lanes))
    out = e.mul(w["width"], w["ldc"])

    def panel(p: Value) -> None:
        column = e.mul(p, w["panel"])
        nr = e.min(w["panel"], e.sub(w["vectors"], column))
        b = e.at(w["b"], e.mul(p, e.mul(tap, w["taps"])))
        c = e.at(w["c"], e.mul(column, e.lanes))

        def line(k: Value) -> None:
            f, i = e.div(k, w["lines"]), e.rem(k, w["lines"])
            first = e.add(e.mul(f, w["a_frame"]), e.load_as(I64, w["line"], i))
            a, to = e.at(w["a"], first), e.at(c, e.mul(k, out))

            def some(t: Value) -> None:
                here = e.at(a, e.load_as(I64, w["offset"], t))
                beta = e.select(e.eq(t, 0), w["beta"], 1)
                _call(e, "gw_rows", nr, here, w["rs"], 1, w["K"], w["as"], w["nseg"], e.at(b, e.mul(t, tap)),
                      e.mul(w["panel"], e.lanes), to, w["ldc"], beta, w["width"])  # fmt: skip

            e.loop(0, w["taps"], some)

        e.loop(l0, l1, line)

    e.loop(p0, p1, panel)


def _weigh(w: _Worker) -> None:
    """The pixels of a frame by chunks, whose left operand is packed once for all taps; threads share the rows of G."""
    e = w.e
    r0, r1 = w.share(w["rows"])
    rows, panels = e.sub(r1, r0), e.div(w["vectors"], w["panel"])
    packed = e.at(w["packed"], e.mul(w.thread, w["each"]))
    out = e.at(w["c"], e.mul(r0, w["ldc"]))

    def chunk(f: Value, q: Value) -> None:
        n = e.min(w["chunk"], e.sub(w["depth"], q))
        left = e.at(w["g"], e.total(e.mul(f, w["g_frame"]), e.mul(q, w["ldg"]), r0))
        right = e.at(w["h"], e.add(e.mul(f, w["h_frame"]), e.mul(q, w["channels"])))
        _call(e, "gw_pack_left", left, w["ldg"], n, rows, packed, w["panel"])

        def tap(t: Value) -> None:
            there, to = e.at(right, e.load_as(I64, w["offset"], t)), e.at(out, e.mul(t, w["c_tap"]))

            def panel(p: Value) -> None:
                column = e.mul(p, e.mul(w["panel"], e.lanes))
                _call(e, "gw_columns", w["panel"], packed, n, e.at(there, column), w["channels"], e.at(to, column),
                      w["ldc"], 1, rows)  # fmt: skip

            e.loop(0, panels, panel)

        e.loop(0, w["taps"], tap)

    def frame(f: Value) -> None:
        e.loop(0, w["depth"], lambda q: chunk(f, q), step=w["chunk"])

    e.when(e.lt(0, rows), lambda: e.loop(0, w["frames"], frame) and None)


def _call(e: Emitter, name: str, *args: Size | Value) -> Value:
    return e.call(declare(e.module, name), *args)
