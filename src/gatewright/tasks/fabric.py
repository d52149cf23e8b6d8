"""Lightning Fabric: one process or many, on the device and in the precision that the settings name."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

import gatewright as gw
from gatewright.tasks.errors import MissingExtra, SettingsError, TaskError, TrainingError
from gatewright.tasks.interrupt import Interrupt

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gatewright.tasks.settings import TrainingSettings

__all__ = ["all_gather", "all_reduce", "launch", "make_fabric", "started_together"]

# One of these is in the environment of a process that torchrun or a cluster has started.
LAUNCHERS = {"TORCHELASTIC_RUN_ID", "WORLD_SIZE", "RANK", "NODE_RANK", "SLURM_PROCID", "SLURM_NTASKS", "LSB_JOBID"}
# What torchrun, srun, jsrun and mpirun tell each process that they start: how many there are.
WORLD_SIZES = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "JSM_NAMESPACE_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
MEANT_FOR_THE_USER = (TaskError, MissingExtra, gw.CellError)

for name in ("distributed", "rank_zero"):  # here, for every process comes by: five lines in each run that say nothing
    logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)


def started_together() -> int:
    """How many processes a launcher has started with this one; 1 where none has, as in a batch job of a cluster."""
    sizes = [os.environ.get(name, "") for name in WORLD_SIZES]
    return max((int(size) for size in sizes if size.isdecimal()), default=1)


def make_fabric(settings: TrainingSettings) -> Fabric:
    """A `Fabric` for the settings. Raises `SettingsError` for a device or precision that is not there."""
    accelerator = _accelerator(settings)
    if settings.nodes > 1 and not LAUNCHERS & os.environ.keys():
        raise SettingsError(
            f"nodes {settings.nodes}: nothing has started the processes of the other machines, and this one would wait "
            f"for them for ever; on every machine, start the same command under torchrun --nnodes {settings.nodes}, or "
            "under a cluster's scheduler"
        )
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtra("lightning-fabric", "train", "training") from error
    try:
        return Fabric(
            accelerator=accelerator,
            strategy=_strategy(settings),
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,
        )
    except (RuntimeError, ValueError, ImportError) as error:
        raise SettingsError(
            f"accelerator {settings.accelerator}, devices {settings.devices}, nodes {settings.nodes}, "
            f"precision {settings.precision}: {error}"
        ) from error


def launch(fabric: Fabric, function: Callable[..., Any], *args: Any) -> Any:
    """Call `function(fabric, *args)` in every process; the result of the first one.

    A `TaskError` in a process is raised here, as itself.
    """
    # A process that trains itself takes signals in its training loop.
    signals = Interrupt(forward=True) if fabric.world_size > 1 else contextlib.nullcontext()
    with warnings.catch_warnings(), signals:
        warnings.filterwarnings("ignore", category=FutureWarning)  # libraries' own, about their own calls
        # One bound function, because Fabric walks through arguments and refuses frozen dataclasses.
        result = fabric.launch(functools.partial(_guarded, function=function, args=args))
    if isinstance(result, MEANT_FOR_THE_USER):
        raise result
    return result


def all_reduce(fabric: Fabric, tensor: Tensor, how: Literal["sum", "max"] = "sum") -> Tensor:
    """The sum or maximum over all processes, on the tensor's own device."""
    if fabric.world_size == 1:
        return tensor
    moved = tensor.to(fabric.device, copy=True)
    torch.distributed.all_reduce(moved, getattr(torch.distributed.ReduceOp, how.upper()))
    return moved.to(tensor.device)


def all_gather(fabric: Fabric, tensor: Tensor) -> list[Tensor]:
    """The tensors of all processes, of one shape, in the order of their ranks."""
    if fabric.world_size == 1:
        return [tensor]
    moved = tensor.detach().to(fabric.device).contiguous()
    parts = [torch.empty_like(moved) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(parts, moved)
    return [part.to(tensor.device) for part in parts]


def _guarded(fabric: Fabric, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    if multiprocessing.parent_process() is not None:
        # The process that started this one tells it to stop. A Ctrl-C that comes once more, while training is
        # already over, must not break the way out.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return function(fabric, *args)
    except MEANT_FOR_THE_USER as error:
        return error
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        return TrainingError("out of memory; take a smaller --batch-size, --steps or --hidden-size")
    finally:
        if torch.distributed.is_initialized():  # a process that ends with the group open can abort
            torch.distributed.destroy_process_group()


def _accelerator(settings: TrainingSettings) -> str:
    """The kind of device, checked here because Fabric's own messages name its internals."""
    wanted, found = settings.accelerator, torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        wanted = "cuda" if found else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "cuda" and found < settings.devices:
        raise SettingsError(
            f"accelerator cuda, devices {settings.devices}: torch can use {found} CUDA device(s) here; "
            "take fewer devices, or accelerator cpu"
        )
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("accelerator mps: torch finds no Apple GPU here; take accelerator cpu")
    if wanted == "cpu" and settings.precision == "16-mixed":
        raise SettingsError("precision 16-mixed: needs a GPU; on the CPU take 32-true or bf16-mixed")
    return wanted


def _strategy(settings: TrainingSettings) -> str:
    """Processes are spawned here, unless torchrun or a cluster has started them already."""
    if settings.devices * settings.nodes == 1:
        return "auto"
    started = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" in os.environ
    return "ddp" if started else "ddp_spawn"
