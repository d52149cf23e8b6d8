"""The training loop that every task shares: updates, schedule, evaluation, early stopping, checkpoints,
resumption.

A task gives a `Job`: a network, batches by epoch and index, a loss, an evaluation. Everything a run depends
on is in its `Progress`, the weights, the optimiser, what is carried from batch to batch, and the random
generators; all of it is in a checkpoint, so a resumed run is bit for bit the run that was not stopped (on the
same number of processes, and without a time budget, whose schedule follows the clock).
"""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gatewright.tasks.averaging import Average, triggered
from gatewright.tasks.errors import TaskError, TrainingError
from gatewright.tasks.fabric import all_gather, all_reduce
from gatewright.tasks.interrupt import Interrupt
from gatewright.tasks.job import Job
from gatewright.tasks.progress import Watcher, make_watcher
from gatewright.tasks.report.watch import Histograms
from gatewright.tasks.schedule import learning_rate, make_optimizer, share_done

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gatewright.tasks.run_folder import RunFolder
    from gatewright.tasks.settings import TrainingSettings

__all__ = ["Outcome", "Progress", "Trainer"]


@dataclass
class Progress:
    """Where a run is."""

    update: int = 0
    items: int = 0  # seen so far
    epoch: int = 0
    index: int = 0  # of the next batch in the epoch
    seconds: float = 0.0
    best: float | None = None
    best_update: int = 0
    stale: int = 0  # evaluations since the best one
    factor: float = 1.0  # of the plateau schedule
    evaluation_seconds: float = 0.0  # of the last one, kept free at the end of a time budget
    history: list[dict[str, float]] = field(default_factory=list)


class Outcome(NamedTuple):
    """How a run ended."""

    reason: str  # "finished", "early" or the name of a signal
    metrics: dict[str, Any]


class Trainer:
    """Trains a job in one process of a Fabric."""

    def __init__(
        self, fabric: Fabric, job: Job, settings: TrainingSettings, folder: RunFolder, style: Any = "none"
    ) -> None:
        self.fabric, self.job, self.settings, self.folder = fabric, job, settings, folder
        self.limited = job.limit(settings)
        self.network = fabric.setup_module(job.network)
        self.optimizer: Any = fabric.setup_optimizers(make_optimizer(job.network, settings))
        self.progress = Progress()
        self.carried: Any = None
        self.model: bytes | None = None  # the best one so far
        self.sums = no_sums()
        self.histograms = Histograms(job.network)
        self.average = Average(job.network)
        self.watcher: Watcher = make_watcher(style if fabric.is_global_zero else "none", job.unit)
        self._saved_at = 0.0

    def restore(self, tree: dict[str, Any], model: bytes | None) -> None:
        """Take up a checkpoint's state."""
        self.job.network.load_state_dict(tree["network"])
        self.optimizer.optimizer.load_state_dict(tree["optimizer"])
        self.progress = Progress(**tree["progress"])
        self.carried = self._my_part(tree["carried"])
        self.sums, self.model = no_sums(tree["sums"]), model
        self.histograms.restore(tree.get("histograms"))
        self.average.restore(tree.get("average"))
        if tree.get("precision"):  # earlier versions did not save it
            self.fabric.strategy.precision.load_state_dict(tree["precision"])
        self._saved_at = self.progress.seconds
        if len(tree["generators"]) == self.fabric.world_size:
            set_generators(tree["generators"][self.fabric.global_rank])
        else:
            self.watcher.note("resumed on another number of processes: dropout goes on from a new seed")
            torch.manual_seed(self.settings.seed + 1 + self.progress.update + self.fabric.global_rank)

    def run(self) -> Outcome:
        """Train until a limit, early stopping or a signal; the best model is then in the folder."""
        began = time.perf_counter() - self.progress.seconds
        first = self._share()
        with Interrupt() as interrupt:
            try:
                if self.progress.update == 0:
                    self._save()
                reason = self._loop(interrupt, began, first)
                self._close(reason)
            finally:
                self.watcher.close()
        return Outcome(reason, self._metrics(reason))

    def _loop(self, interrupt: Interrupt, began: float, first: float) -> str:
        started = time.perf_counter()
        items = 0
        while self._share() < 1 and not self._stalled():
            loss, count = self._update()
            items += count
            self.progress.seconds, number = self._agree(time.perf_counter() - began, interrupt.number)
            stop = int(number)
            spent, share = time.perf_counter() - started, self._share()
            self.watcher.update(share, self.progress.update, loss, items / spent, _left(spent, first, share))
            if self._due():
                self._evaluate(began)
            elif stop or self.progress.seconds - self._saved_at >= 60 * self.settings.save_minutes:
                self._save()
            if stop:
                return signal.Signals(stop).name
        return "early" if self._stalled() else "finished"

    def _update(self) -> tuple[float, int]:
        p, job = self.progress, self.job
        self.network.train()
        result = job.loss(self.network, job.batch(p.epoch, p.index, self.fabric), self.carried)
        for group in self.optimizer.param_groups:
            group["lr"] = result.rate * learning_rate(self.settings, p.update, self._share(), p.factor)
        self.optimizer.zero_grad()
        self.fabric.backward(result.loss if result.penalty is None else result.loss + result.penalty)
        norm = self.fabric.clip_gradients(
            self.network, self.optimizer, max_norm=self.settings.clip or math.inf, error_if_nonfinite=False
        )
        told = torch.tensor([result.loss.item(), result.items, result.weight or result.items], dtype=torch.float64)
        loss, items, weight = all_reduce(self.fabric, told).tolist()
        loss /= self.fabric.world_size
        self._check("loss", loss)
        self.optimizer.step()
        self.average.update()
        self.carried = result.carried
        self.progress.items += int(items)
        self._count(loss, weight, math.nan if norm is None else norm.item())
        self._advance()
        return loss, int(items)

    def _count(self, loss: float, weight: float, norm: float) -> None:
        self.sums[:2] += torch.tensor([loss * weight, weight], dtype=torch.float64)
        if math.isfinite(norm):  # in half precision an update with an overflow is left out
            self.sums[2:4] += torch.tensor([norm, 1], dtype=torch.float64)
            self.sums[4] = max(self.sums[4].item(), norm)

    def _check(self, what: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"update {self.progress.update + 1}: the {what} is {loss}; the last checkpoint is kept; "
                "start anew with a lower --learning-rate or a smaller --clip"
            )

    def _finite(self, figures: dict[str, float]) -> dict[str, float]:
        """The figures that are numbers. One that overflows is no reason to end a run."""
        for name, value in figures.items():
            if not math.isfinite(value):
                self.watcher.note(f"update {self.progress.update}: the figure {name} is {value}, and is left out")
        return {name: value for name, value in figures.items() if math.isfinite(value)}

    def _advance(self) -> None:
        p = self.progress
        p.update, p.index = p.update + 1, p.index + 1
        if p.index == self.job.batches(p.epoch):
            p.epoch, p.index, self.carried = p.epoch + 1, 0, None

    def _share(self) -> float:
        """How much of the run is done, 0 to 1."""
        p = self.progress
        epochs = p.epoch + p.index / self.job.batches(p.epoch)
        return share_done(self.limited, p.update, epochs, p.seconds, p.evaluation_seconds)

    def _stalled(self) -> bool:
        return bool(self.settings.patience) and self.progress.stale >= (self.settings.patience or 0)

    def _due(self) -> bool:
        every = self.settings.evaluate_every or min(max(self.job.batches(0), self.job.least_between), 500)
        return self.progress.update % every == 0 or self._share() >= 1

    def _agree(self, *numbers: float) -> list[float]:
        """The largest of each number over all processes: clocks and signals, by which all of them must do the same."""
        return all_reduce(self.fabric, torch.tensor(numbers, dtype=torch.float64), "max").tolist()

    def _evaluate(self, began: float) -> None:
        p, start = self.progress, time.perf_counter()
        self.network.eval()
        with self.average.applied():
            figures = self.job.evaluate(self.fabric)
            self._check("validation loss", figures["loss"])
            figures = self._finite(figures)
            self.histograms.look(p.update)
            best = p.best is None or figures["loss"] < p.best
            if best:
                self.model = self.job.model_file()
        total, count, norms, updates, largest = self.sums.tolist()
        self.sums.zero_()
        now = time.perf_counter()
        p.seconds, p.evaluation_seconds = self._agree(now - began, now - start)
        row = {
            "update": p.update,
            "epoch": p.epoch + p.index / self.job.batches(p.epoch),
            "train_loss": total / count,
            **figures,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            **({"gradient_norm": norms / updates, "gradient_norm_max": largest} if updates else {}),
            "items": p.items,
            "seconds": p.seconds,
        }
        p.history.append(row)
        if best:
            p.best, p.best_update, p.stale = figures["loss"], p.update, 0
        else:
            p.stale += 1
            p.factor *= self.settings.decay
        if self._averages():
            self.average.begin()
            p.stale = 0
        self.watcher.evaluated(row, best=best)
        self._save()

    def _averages(self) -> bool:
        """Whether the weights are averaged from here on."""
        n = self.settings.averaging
        return n > 0 and not self.average.running and triggered([row["loss"] for row in self.progress.history], n)

    def _save(self) -> None:
        """Write a checkpoint and publish the best model; the first process writes what all collect."""
        tree = {
            "progress": dataclasses.asdict(self.progress),
            "network": self.job.network.state_dict(),
            "optimizer": self.optimizer.optimizer.state_dict(),
            "carried": self._whole(self.carried),
            "sums": self.sums,
            "histograms": self.histograms.tree(),
            "average": self.average.tree(),
            "generators": self._collect(get_generators(self.fabric.device)),
            "precision": self.fabric.strategy.precision.state_dict(),  # 16-mixed: how its losses are scaled
        }
        self._saved_at = self.progress.seconds
        self._first_process(lambda: self._write(tree))

    def _write(self, tree: dict[str, Any]) -> None:
        about = {"task": self.job.task, "training": self.settings.to_dict(), **self.job.describe()}
        about["recipe"] = self.job.recipe()
        self.folder.save(self.progress.update, tree, about, self.model)
        self.folder.publish(self.model, self._metrics("running"))

    def _close(self, reason: str) -> None:
        self._first_process(lambda: self.folder.publish(self.model, self._metrics(reason)))

    def _first_process(self, write: Callable[[], None]) -> None:
        """Let the first process write; where it cannot, all end, and none waits for another for ever."""
        error: Exception | None = None
        if self.fabric.is_global_zero:
            try:
                write()
            except Exception as caught:
                error = caught
        if all_reduce(self.fabric, torch.tensor(int(error is not None)), "max"):
            raise error or TaskError("the first process could not save")

    def _metrics(self, state: str) -> dict[str, Any]:
        p = self.progress
        best = next((row for row in reversed(p.history) if row["update"] == p.best_update), None)
        return {
            "task": self.job.task,
            "state": state,
            "updates": p.update,
            "epochs": p.epoch + p.index / self.job.batches(p.epoch),
            "seconds": p.seconds,
            "best": best,
            "history": p.history,
            "training": self.settings.to_dict(),
            **self.job.describe(),
        }

    def _collect(self, states: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What every process has, in the order of their ranks."""
        gathered = {name: all_gather(self.fabric, tensor) for name, tensor in states.items()}
        return [{name: parts[rank] for name, parts in gathered.items()} for rank in range(self.fabric.world_size)]

    def _whole(self, carried: Any) -> Any:
        """The carried state of all processes' sequences, in the order of the global batch."""
        return _map(lambda t: torch.cat(all_gather(self.fabric, t), self.job.batch_axis), carried)

    def _my_part(self, whole: Any) -> Any:
        rank, world, device = self.fabric.global_rank, self.fabric.world_size, self.fabric.device
        return _map(lambda t: t.chunk(world, self.job.batch_axis)[rank].contiguous().to(device), whole)


def no_sums(saved: Tensor | None = None) -> Tensor:
    """Since the last evaluation: loss times weight, weight, the gradients' norms, their number, the largest.

    `saved`: those of a checkpoint, of which earlier versions had the first two alone.
    """
    sums = torch.zeros(5, dtype=torch.float64)
    if saved is not None:
        sums[: len(saved)] = saved
    return sums


def get_generators(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's random generators that training draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generators(states: dict[str, Tensor]) -> None:
    """Put torch's random generators into saved states."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])


def _map(function: Any, tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: _map(function, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_map(function, value) for value in tree)
    return tree


def _left(spent: float, first: float, share: float) -> float:
    done = share - first
    return spent * (1 - share) / done if done > 0 else math.inf
