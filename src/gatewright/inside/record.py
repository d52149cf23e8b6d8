"""`gw.record`: the gates of a model while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from ..graph.widths import SCALAR
from ..nn import arguments
from ..nn.lens import ANCHOR, Lens
from ..nn.stack import Stack
from .layers import check_known, layers_of, listed, put_on, taken_off
from .tape import Track, Tracks


class record:  # it is called like a function, and used in `with`, as `torch.no_grad` is
    """Record the values inside a model's recurrent layers, by the names in their equations.

    The kernels that run write them out beside the output, whichever backend that is: opening a tape changes neither
    the backend nor any result. (torch's own kernels show nothing, so with `backend="vendor"` the gates are computed a
    second time beside them.) It records from the call on, until the end of a `with` block or `.close()`; another `with`
    opens it again.

    Args:
        model: a recurrent layer, or a module with some inside.
        names: which values; default every equation's. `f_pre` is what stands inside the squashing of f, `c_prev` a
            state before the step. A name is recorded in every layer whose cell has it.
        grad: whether to record adjoints too, in `tape.grad`: ∂loss/∂c_t of every recorded value, in training and in
            evaluation, after `backward`. Or the names of those alone.
        keep: "last", a layer's last call; or "all" calls, in `track.runs`.

    The tape has a track for every layer and direction, `tape.tracks`. `tape["f"]` is the forget gate of the last layer,
    `tape["l0.f"]` and `tape["l0_reverse.f"]` those of others; in a model with several recurrent modules their names
    come first, `tape["encoder.l0.f"]`. Values are laid out as the layer's output: (T, B, width), or (B, T, width), or
    (T, width). Of a state under zoneout the value is what the step returns. They are detached, and as large as the
    sequences:
    T · B · width numbers each.

    Raises:
        TypeError, ValueError: an argument is wrong, or no layer has a value of that name.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 5)
    >>> with gw.record(layer, ["f", "c", "f_pre"], grad=["c"]) as tape:
    ...     y, (h, c) = layer(torch.randn(7, 2, 3))
    >>> y.square().sum().backward()
    >>> tape["f"].shape, bool((tape["f"] > 0).all() and (tape["f"] < 1).all())
    (torch.Size([7, 2, 5]), True)
    >>> torch.equal(tape["f"], tape["f_pre"].sigmoid().detach()) or torch.allclose(tape["f"], tape["f_pre"].sigmoid())
    True
    >>> tape.grad["c"].shape  # ∂loss/∂c_t at every step
    torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        model: nn.Module,
        names: Sequence[str] | str | None = None,
        *,
        grad: bool | Sequence[str] = False,
        keep: str = "last",
    ):
        layers = layers_of(model)
        if keep not in ("last", "all"):
            raise arguments.wrong("keep", "'last' or 'all'", repr(keep))
        wanted = listed("names", names)
        adjoints = wanted if grad is True else listed("grad", grad or ())
        known = [name for layer in layers for name in layer.running.watchable()]
        for argument, given in (("names", wanted), ("grad", adjoints)):
            check_known(argument, given or (), known)
        self._tracks, self._on = Tracks(keep), []
        for layer, name in layers.items():
            found = _names(layer, wanted)
            lens = Lens(found, _names(layer, adjoints) if grad is not False else (), partial(self._tracks.begin, name))
            self._tracks.add(name, layer)
            self._on.append((layer, lens))
        put_on(self._on)

    def close(self) -> None:
        """Stop recording; what is there stays."""
        taken_off(self._on)

    def __enter__(self) -> Self:
        put_on(self._on)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        """The adjoints of a loss and nothing else: as `loss.backward()`, but no parameter's `.grad` is touched.

        Raises RuntimeError on a tape that records no adjoints.
        """
        if not any(lens.adjoints for _, lens in self._on):
            raise RuntimeError("tape.backward: this tape records no adjoints; open it with grad=True")
        torch.autograd.backward(loss, inputs=[ANCHOR], retain_graph=retain_graph)

    # -- what is on it --------------------------------------------------------------------------

    @property
    def tracks(self) -> list[Track]:
        """Those of layers that have run, in the order of the model's layers."""
        return [track for track in self._tracks.all if track.runs]

    def track(self, module: str | None = None, *, layer: int | None = None, reverse: bool | None = None) -> Track:
        """The one track that is meant: by the module's name, its layer, its direction, as far as that is needed.

        Raises KeyError where there is none or more than one; the message lists them.
        """
        wanted = {"module": module, "layer": layer, "reverse": reverse}
        asked = {key: value for key, value in wanted.items() if value is not None}
        found = [t for t in self.tracks if all(getattr(t, key) == value for key, value in asked.items())]
        if len(found) == 1:
            return found[0]
        there = "; ".join(f"module={t.module!r}, layer={t.layer}, reverse={t.reverse}" for t in self.tracks)
        if not self.tracks:
            raise KeyError("tape: nothing has run since it was opened")
        which = ", ".join(f"{key}={value!r}" for key, value in asked.items()) or "tape[…]"
        raise KeyError(f"{which} is {'none' if not found else f'{len(found)}'} of its tracks; say which: {there}")

    def __getitem__(self, key: str) -> Tensor:
        track, name = self._meant(key)
        return track[name]

    def _meant(self, key: str) -> tuple[Track, str]:
        """`f`: of the last layer of the only module; `l0.f`, `l1_reverse.f`; `encoder.f`, `encoder.l0.f`."""
        place, _, name = key.rpartition(".")
        for track in self.tracks:
            if track.path == place:
                return track, name
        modules = {track.module for track in self.tracks}
        if place in modules or (not place and len(modules) == 1):
            of_module = [t for t in self.tracks if t.module == (place or t.module) and not t.reverse]
            return of_module[-1], name
        return self.track(place or None), name

    def __contains__(self, name: object) -> bool:
        return any(name in track.last for track in self.tracks)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for track in self.tracks for name in track))

    @property
    def grad(self) -> Mapping[str, Tensor]:
        """The adjoints, by the same keys as the values."""
        return _Adjoints(self)

    def __repr__(self) -> str:
        return f"<tape of {len(self.tracks)} tracks: {', '.join(self) or 'nothing has run'}>"


class _Adjoints(Mapping[str, Tensor]):
    """A tape's adjoints: those of a track, by its place and the value's name."""

    def __init__(self, tape: record):
        self._tape = tape

    def __getitem__(self, key: str) -> Tensor:
        track, name = self._tape._meant(key)
        return track.grad[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for track in self._tape.tracks for name in track.grad))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _names(layer: Stack, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Those of the names that a layer has; every equation's without any. A sum over units is no value of a unit."""
    there = layer.running.watchable()
    if wanted is not None:
        return tuple(name for name in wanted if name in there)
    widths = layer.running.widths
    return tuple(name for name, n in layer.running.names.items() if widths.of(n) != SCALAR)
