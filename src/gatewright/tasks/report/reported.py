"""The report as a part of every estimator: written at a run's end, and again from a folder; and of one example."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from gatewright.tasks.errors import DataError, FolderError, SettingsError, TextError, first_line
from gatewright.tasks.folder import REPORT, WEIGHTS
from gatewright.tasks.report.parts import Alert, Findings, Report
from gatewright.tasks.report.run import Run, example_report, run_report
from gatewright.tasks.report.watch import Histograms
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.sources import find_again
from gatewright.tasks.tuning.report import tuning_sections

if TYPE_CHECKING:
    from gatewright.inside.pictures.watch import Watch
    from gatewright.tasks.estimator import Estimator
    from gatewright.tasks.task_job import Prepared

__all__ = ["Reported"]


class Reported:
    """What an estimator knows for its report.

    folder: where the model lies, if it was loaded or trained there. prepared: the data of the run. watch: the
    histograms of its weights and gradients.
    """

    folder: Path | None = None
    prepared: Any = None
    watch: Watch | None = None

    # -- what a task gives ---------------------------------------------------------------------------------------

    def _findings(self, prepared: Any | None) -> Findings:
        """What the report shows: scores beside baselines, examples, a probe. prepared: the data of the training, None
        where they are gone; then only what the metrics say.
        """
        raise NotImplementedError

    def _explanation(self, *args: Any, **options: Any) -> Findings:
        """What a report of one example shows; the arguments are those of `explain`."""
        raise NotImplementedError

    # -- reports -------------------------------------------------------------------------------------------------

    def report(self, data: Any = None, *, validation: Any = None, **options: Any) -> Report:
        """What training has shown, as a page: scores beside baselines, curves, examples, gates; `.save(path)`.

        data, validation: those of the training. They may be left out after `fit`, and where they were paths that are
        still there; without them the report has no baselines and no examples, and says why. Raises `SettingsError` for
        other data.
        """
        return self._report_on({"data": data, "validation": validation, **options})

    def explain(self, *args: Any, **options: Any) -> Report:
        """A page about one example: what the model predicts, its cell, gates, memory, and what the input did."""
        model = cast("Estimator", self)
        findings = self._explanation(*args, **options)
        return example_report(model.cell, findings, f"{model.cell_name}, {model.task}")

    def _report_on(self, given: dict[str, Any]) -> Report:
        prepared, missing = self._find_data({name: value for name, value in given.items() if value is not None})
        watch = self._saved_watch(self.folder) if self.watch is None and self.folder else self.watch
        return _report(cast("Estimator", self), prepared, watch, missing=missing)

    def _reported(self, path: Path) -> Self:
        """Write the report of a run, where it has come to a model."""
        model = cast("Estimator", self)
        self.folder = path
        if model.leads and model.metrics["best"] is not None:
            _write(model, path)
        return self

    def _report_saved(self, path: Path) -> None:
        """A report beside a model that was saved; none of the model that was there before."""
        if self.prepared is not None:
            _write(cast("Estimator", self), path)
        elif path != self.folder:
            (path / REPORT).unlink(missing_ok=True)

    def _saved_watch(self, path: Path) -> Watch | None:
        """The histograms in a folder's newest checkpoint, where there is one."""
        try:
            tree = RunFolder(path).read()[0]
            histograms = Histograms(cast("Estimator", self).network)
            histograms.restore(tree.get("histograms"))
        except (FolderError, KeyError, TypeError, ValueError):  # checkpoints may be deleted; nothing hangs on these
            return None
        return histograms.watch

    def _report_failure(self, path: Path, error: Exception) -> None:
        """The report of a run that came to nothing, where it has a model: its curves show why."""
        if (path / WEIGHTS).exists():
            model = type(cast("Estimator", self)).load(path)
            model.prepared, model.watch = self.prepared, model._saved_watch(path)
            _write(model, path, str(error))

    def _find_data(self, given: dict[str, Any]) -> tuple[Prepared | None, str]:
        """The data of the training, as given or from where the run found them; None and why where they are gone.

        Raises `SettingsError` where data that were given are others.
        """
        model = cast("Estimator", self)
        has_data = any(name in given for name in model.data_sources)
        if not has_data and self.prepared is not None:
            return self.prepared, ""
        where = self._where()
        if not has_data and not where:
            return None, "where they lie is in a run's checkpoints, and there are none here"
        try:
            sources = find_again(where, given, str((model.metrics.get("data") or {}).get("name", "")))
            prepared = model._prepare(**sources, config=model.config)
        except (DataError, TextError, SettingsError, TypeError) as error:
            if has_data:
                raise
            return None, first_line(error)
        known = (model.metrics.get("data") or {}).get("sha256")
        if known is None or prepared.sha256 == known:
            return prepared, ""
        if has_data:
            raise SettingsError(f"{prepared.name}: not the data that this model was trained on; give those")
        return None, f"{prepared.name} has changed since the training"

    def _where(self) -> dict[str, Any]:
        """Where the data came from, as the checkpoint's recipe has it."""
        if self.folder is None:
            return {}
        try:
            return RunFolder(self.folder).read()[1]["recipe"]["where"]
        except (FolderError, KeyError):
            return {}


def _report(
    model: Estimator, prepared: Any | None, watch: Watch | None = None, failed: str = "", missing: str = ""
) -> Report:
    """The report of a model; what cannot be made is said in it. missing: why there are no data."""
    settings = {"Model": model.settings, "Training": model.training}
    again = f"gatewright report {model.folder}" if model.folder else ""
    run = Run(model.cell, model.metrics, settings, watch, failed, again)
    findings = _guarded_findings(model, prepared)
    why = [Alert(f"the data of this run were not found again: {missing}", "note")] if missing else []
    data = (model.metrics.get("data") or {}).get("sha256")
    tuned = tuning_sections(model.folder, data, {**model.settings.to_dict(), **model.training.to_dict()})
    sections, alerts = [*findings.examples, *tuned], [*findings.alerts, *why]
    return run_report(run, dataclasses.replace(findings, examples=sections, alerts=alerts))


def _write(model: Estimator, folder: Path, failed: str = "") -> None:
    """Write `report.html`; a disk that is full is no reason for a run to fail, so it is a warning."""
    try:
        _report(model, model.prepared, model.watch, failed).write(folder)
    except FolderError as error:
        warnings.warn(f"the model is saved, its report is not: {error}", stacklevel=4)


def _guarded_findings(model: Estimator, prepared: Any | None) -> Findings:
    """What goes wrong with examples leaves the rest of the report as it is."""
    try:
        return model._findings(prepared)
    except Exception as error:
        told = f"baselines and examples could not be made ({type(error).__name__}: {first_line(error)})"
        return dataclasses.replace(model._findings(None), alerts=[Alert(told)])
