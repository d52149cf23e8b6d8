"""The report as a part of a language model: written at a run's end, and again from a folder."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from gatewright.tasks.errors import FolderError, SettingsError, TextError, first_line
from gatewright.tasks.folder import REPORT, WEIGHTS
from gatewright.tasks.report import Alert, Findings, Report
from gatewright.tasks.report_language import Seen, language_findings
from gatewright.tasks.report_run import Run, run_report
from gatewright.tasks.report_watch import Histograms
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.settings import TrainingSettings
from gatewright.tasks.text import DEFAULT_TEXT

if TYPE_CHECKING:
    from gatewright.inside.pictures.watch import Watch
    from gatewright.tasks.language import LanguageModel

__all__ = ["Reported"]

TRAINING = {f.name for f in dataclasses.fields(TrainingSettings)}


class Reported:
    """What a language model knows for its report.

    folder: where the model lies, if it was loaded or trained there. seen: the text of the run, encoded. watch: the
    histograms of its weights and gradients.
    """

    folder: Path | None = None
    seen: Seen | None = None
    watch: Watch | None = None

    def report(
        self,
        text: str | os.PathLike[str] | None = None,
        *,
        validation: str | os.PathLike[str] | None = None,
        pattern: str = "*",
    ) -> Report:
        """What training has shown, as a page: scores beside baselines, curves, examples, gates; `.save(path)`.

        `text` and `validation`: those of the training. They may be left out after `fit`, and where they were paths or
        the default text that are still there; without them the report has no baselines and no examples. Raises
        `SettingsError` for another text.

        >>> import gatewright as gw
        >>> model = gw.tasks.LanguageModel(hidden_size=8, batch_size=4, updates=2).fit("To be, or not to be. " * 40)
        >>> [section.title for section in model.report().sections][:4]
        ['Scores', 'Training', 'Samples', 'Surprise']
        """
        model = cast("LanguageModel", self)
        seen = _find_text(model, text, validation, pattern)
        watch = self._saved_watch(self.folder) if self.watch is None and self.folder else self.watch
        return _report(model, seen, watch)

    def _reported(self, path: Path) -> Self:
        """Write the report of a run, where it has come to a model."""
        model = cast("LanguageModel", self)
        self.folder = path
        if model.leads and model.metrics["best"] is not None:
            _write(model, path)
        return self

    def _report_saved(self, path: Path) -> None:
        """A report beside a model that was saved; none of the model that was there before."""
        if self.seen is not None:
            _write(cast("LanguageModel", self), path)
        elif path != self.folder:
            (path / REPORT).unlink(missing_ok=True)

    def _saved_watch(self, path: Path) -> Watch | None:
        """The histograms in a folder's newest checkpoint, where there is one."""
        try:
            tree = RunFolder(path).read()[0]
            histograms = Histograms(cast("LanguageModel", self).network)
            histograms.restore(tree.get("histograms"))
        except (FolderError, KeyError, TypeError, ValueError):  # checkpoints may be deleted; nothing hangs on these
            return None
        return histograms.watch

    def _report_failure(self, path: Path, error: Exception) -> None:
        """The report of a run that came to nothing, where it has a model: its curves show why."""
        if (path / WEIGHTS).exists():
            model = type(cast("LanguageModel", self)).load(path)
            model.seen, model.watch = self.seen, model._saved_watch(path)
            _write(model, path, str(error))


def _report(model: LanguageModel, seen: Seen | None, watch: Watch | None = None, failed: str = "") -> Report:
    """The report of a language model; what cannot be made is said in it."""
    training = {name: value for name, value in model.metrics.get("training", {}).items() if name in TRAINING}
    settings = {
        "Model": model.settings,
        "Training": TrainingSettings.from_dict(training) if training else model.training,
    }
    again = f"gatewright language report {model.folder}" if model.folder else ""
    run = Run(model.cell, model.metrics, settings, watch, failed, again)
    return run_report(run, _guarded_findings(model, seen))


def _write(model: LanguageModel, folder: Path, failed: str = "") -> None:
    """Write `report.html`; a disk that is full is no reason for a run to fail, so it is a warning."""
    try:
        _report(model, model.seen, model.watch, failed).write(folder)
    except FolderError as error:
        warnings.warn(f"the model is saved, its report is not: {error}", stacklevel=4)


def _find_text(model: LanguageModel, text: Any, validation: Any, pattern: str) -> Seen | None:
    """The text that a model was trained on, encoded: as given, or from where the run found it; None where it is gone.

    Raises `SettingsError` where a text that was given is another one.
    """
    given = text is not None or validation is not None
    known = (model.metrics.get("text") or {}).get("sha256")
    if not given:
        if model.seen is not None:
            return model.seen
        where = _where(model)
        if where is None:
            return None
        text, validation, pattern = where
    try:
        corpus, name = model._prepare(text, validation, pattern, model.tokenizer)
    except TextError:
        if given:
            raise
        return None
    if known is not None and corpus.sha256 != known:
        if given:
            raise SettingsError(f"{name}: not the text that this model was trained on; give that one")
        return None
    return Seen(corpus.train, corpus.valid)


def _where(model: LanguageModel) -> tuple[Any, Any, str] | None:
    """Text, validation text and pattern, as the checkpoint's recipe or the metrics name them."""
    try:
        where = RunFolder(Path(model.folder or "")).read()[1]["recipe"]["where"] if model.folder else {}
    except (FolderError, KeyError):
        where = {}
    path, validation = where.get("path"), where.get("validation")
    if path is None and (model.metrics.get("text") or {}).get("name") != DEFAULT_TEXT:
        return None
    return path and Path(path), validation and Path(validation), where.get("pattern", "*")


def _guarded_findings(model: LanguageModel, seen: Seen | None) -> Findings:
    """What goes wrong with examples leaves the rest of the report as it is."""
    try:
        return language_findings(model, seen)
    except Exception as error:
        told = f"baselines and examples could not be made ({type(error).__name__}: {first_line(error)})"
        found = language_findings(model, None)
        return dataclasses.replace(found, alerts=[Alert(told)])
