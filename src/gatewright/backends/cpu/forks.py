"""Whether this process is a fork. It imports nothing, so that it can take note before anything is compiled."""

from __future__ import annotations

import os

_forks = 0


def forked() -> bool:
    """Whether this process was forked from one that had loaded this module.

    OpenMP's threads do not survive a fork, but its pool's bookkeeping does: whoever enters it then waits for ever.
    """
    return _forks > 0


def _note() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_note)
