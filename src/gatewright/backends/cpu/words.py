"""The words of a context that no call changes: sizes, strides and what lies where in a buffer."""

from __future__ import annotations

from dataclasses import dataclass

from .sizes import FEW, ROWS, Shape, gathered, halved, packed_left, rows_stored, stored_name, transposed, widths_of


@dataclass(frozen=True)
class Strides:
    """How far apart the steps and the sequences of a user's tensor lie, in elements."""

    time: int
    batch: int


@dataclass(frozen=True)
class Run:
    """How a call runs: backwards in time, over sequences of unequal lengths, with what strides.

    permuted: the kernel's rows are not the user's: it takes the longest sequence first, and each from its own start.
    """

    reverse: bool
    ragged: bool
    permuted: bool
    inputs: tuple[Strides, ...]
    alias: Strides | None  # of the output, where the state that it is lies in it


def common_words(shape: Shape) -> dict[str, int]:
    words = {"T": shape.T, "B": shape.B, "unit": int(shape.unit)}
    words |= {"reduce first": 0, "reduce count": shape.threads if shape.unit else 1}
    for width in widths_of(shape.plan):
        words |= {f"units {width}": shape.units(width), f"blocks {width}": shape.blocks(width)}
    return words


def forward_words(shape: Shape, run: Run, *, train: bool) -> dict[str, int]:
    ring = max(shape.T, 1) if train else shape.chunk
    words = common_words(shape) | {"chunk": shape.chunk, "gathered each": gathered(shape), "ragged": int(run.ragged)}
    words |= {"halves each": halved(shape)} if shape.halves else {}
    words |= _value_words(shape, ring, shape.T + 1 if train else 2)
    words |= _stored_words(shape, run, words["history"])
    # with many rows of its own a thread multiplies inputs where it multiplies states: the sums are in its cache
    words["fused"] = int(not shape.unit and FEW * shape.threads <= shape.B)
    for k, strides in enumerate(run.inputs):
        words |= input_words(shape, run, k, strides, flat=shape.unit, ahead=True)
    return words


def _value_words(shape: Shape, ring: int, history: int) -> dict[str, int]:
    return {
        "value ring": ring,
        "value rows": ring * shape.B,
        "history": history,
    }


def _stored_words(shape: Shape, run: Run, history: int) -> dict[str, int]:
    """States and operands that lie row by row; the state that the output is may lie in the output."""
    words = {"output in state": int(run.alias is not None)}
    for place, width in rows_stored(shape.plan):
        name, row = stored_name(place), shape.padded(width)
        aliased = run.alias if place.name == shape.plan.output_state and place.kind == "state" else None
        words |= {
            f"{name} start row": row,
            f"{name} ring": shape.T + 1 if aliased else history,
            f"{name} row": aliased.batch if aliased else row,
            f"{name} step": aliased.time if aliased else shape.B * row,
        }
    return words


def user_words(name: str, run: Run, strides: Strides) -> dict[str, int]:
    """A user's sequence; in the reverse direction steps go back."""
    step = -strides.time if run.reverse else strides.time
    return {f"{name} step": step, f"{name} time": strides.time, f"{name} batch": strides.batch}


def input_words(shape: Shape, run: Run, k: int, strides: Strides, *, flat: bool, ahead: bool = False) -> dict[str, int]:
    """An input: whether a step's rows lie at one stride (`plain`), and those of all steps (`flat`, the stride)."""
    name = f"input {k}"
    words = user_words(name, run, strides)
    step = words[f"{name} step"]
    row = step if shape.B == 1 else strides.batch if step == shape.B * strides.batch else 0
    words[f"{name} plain"] = int(not run.permuted)
    # what stands behind an end may be multiplied too, where nobody looks at what comes out
    straight = not run.ragged or (ahead and not run.permuted)
    words[f"{name} flat"] = row if flat and straight else 0
    return words


def backward_words(shape: Shape, run: Run, wanted: tuple[bool, ...]) -> dict[str, int]:
    planned, back = shape.plan, shape.plan.backward
    assert back is not None
    chunk = shape.back_chunk
    words = common_words(shape) | _value_words(shape, max(shape.T, 1), shape.T + 1)
    words |= _stored_words(shape, run, words["history"])
    words |= {
        "ragged": int(run.ragged),
        "begun": shape.B,
        "chunk": chunk,
        "adjoint ring": 2 * chunk,
        "adjoint rows": 2 * chunk * shape.B,
    }
    words |= {"product count": len(transposed(planned)), "scratch row": shape.panels * shape.lanes}
    words |= {"packed each": packed_left(), "edge rows": ROWS}
    for width in widths_of(planned):
        words[f"panel {width}"] = shape.panel(width)
    for k, width in enumerate(back.operands):
        words[f"operand {k} row"] = shape.padded(width)
    for k, (strides, needed) in enumerate(zip(run.inputs, wanted, strict=True)):
        words |= input_words(shape, run, k, strides, flat=True)
        words |= _input_gradient_words(shape, run, k, needed)
        words |= _operand_words(shape, words, k)
    return words


def is_straight(run: Run) -> bool:
    """Whether the kernel's rows are the user's: the gradients of inputs can be written where they belong."""
    return not run.permuted and not run.reverse


def _input_gradient_words(shape: Shape, run: Run, k: int, needed: bool) -> dict[str, int]:
    name, units = f"input_adjoint {k}", shape.units(shape.plan.input_widths[k])
    straight = is_straight(run)
    words = user_words(f"d{name}", run, Strides(shape.B * units, units))
    return words | {
        f"{name} wanted": int(needed),
        f"{name} scattered": int(needed and not straight),
        f"{name} ring": max(shape.T, 1) if straight else 2 * shape.back_chunk,
        f"{name} row": units,
        f"{name} step": shape.B * units,
    }


def _operand_words(shape: Shape, words: dict[str, int], k: int) -> dict[str, int]:
    """Where the rows of an input lie for the weights' gradients: in the user's tensor, or gathered for a chunk."""
    name, units, row = f"operand of input {k}", shape.units(shape.plan.input_widths[k]), words[f"input {k} flat"]
    if row:
        return {f"{name} row": row, f"{name} step": words[f"input {k} step"], f"{name} ring": max(shape.T, 1)}
    return {f"{name} row": units, f"{name} step": shape.B * units, f"{name} ring": 2 * shape.back_chunk}
