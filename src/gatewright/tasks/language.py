"""Language models: any cell, trained on any text, one token after another."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Self

import torch

import gatewright as gw
from gatewright.tasks.cell import resolve_cell
from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.corpus import Corpus, prepare
from gatewright.tasks.errors import FolderError, SettingsError, TaskError, TrainingError
from gatewright.tasks.fabric import launch, make_fabric
from gatewright.tasks.folder import CONFIG, METRICS, WEIGHTS, json_bytes, model_bytes, read_model
from gatewright.tasks.language_job import LanguagePlan, check_length, language_config, train_language
from gatewright.tasks.language_network import LanguageNetwork, Score, check_network, score
from gatewright.tasks.language_report import Reported
from gatewright.tasks.language_settings import LanguageSettings
from gatewright.tasks.language_units import Followed, follow
from gatewright.tasks.progress import check_style
from gatewright.tasks.report_language import Seen
from gatewright.tasks.run_folder import RunFolder, folder_path
from gatewright.tasks.sampling import Sampling, choose
from gatewright.tasks.settings import TrainingSettings, split_settings
from gatewright.tasks.text import check_string, open_text, survey
from gatewright.tasks.tokenizers import Tokenizer, load_tokenizer

__all__ = ["LanguageModel"]

TextLike = str | os.PathLike[str] | None


class LanguageModel(Reported):
    """A recurrent language model: the probability of every token given all tokens before it.

    `cell`: a `gw.Cell`, a name of the zoo (default `"lstm"`), equations as text, or a path to a file of
    equations. Every other argument is a field of `LanguageSettings` (what the model reads and is made of) or
    of `TrainingSettings` (how it is trained). An unknown one raises `SettingsError`.

    Example:
        >>> model = gw.tasks.LanguageModel(cell="lstm", hidden_size=16, batch_size=4, updates=3)
        >>> _ = model.fit("To be, or not to be, that is the question. " * 20)
        >>> model.generate("To ", length=5, seed=1).startswith("To ")
        True
    """

    def __init__(self, cell: Any = "lstm", **settings: Any) -> None:
        self.settings: LanguageSettings
        self.training: TrainingSettings
        self.settings, self.training = split_settings(settings, LanguageSettings, TrainingSettings)
        # Read back from its own text, as a loaded model is: what runs does not depend on where the cell came
        # from.
        found = resolve_cell(cell)
        self.equations, self.cell_name = str(found), str(found.name)
        self.cell = gw.parse(self.equations, name=self.cell_name)
        self.settings = self.settings.replace(cell=self.cell_name)
        self.metrics: dict[str, Any] = {}
        self.stopped: str | None = None  # the name of the signal that ended training, if one did
        self.leads = True  # whether this process is the first of those that train
        self._tokenizer: Tokenizer | None = None
        self._network: LanguageNetwork | None = None

    def fit(
        self,
        text: TextLike = None,
        *,
        validation: TextLike = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        pattern: str = "*",
        progress: str = "none",
    ) -> Self:
        """Train on a text and keep the weights with the best validation loss.

        `text`: a string is the text itself; a `Path` is a file or a folder of files (those like `pattern`);
        None is the Python language reference inside Python. `validation`: another text instead of the share
        at the text's end. `out`: the model folder (default: none is kept); `overwrite`: begin anew where it
        holds a model. `progress`: "bar", "lines", "auto" or "none". Raises `TextError`, `SettingsError`,
        `FolderError`, or `TrainingError` where the loss is no number.
        """
        where = {"path": _path_of(text), "validation": _path_of(validation), "pattern": pattern}
        path = None if out is None else folder_path(out)
        corpus, name = self._prepare(text, validation, pattern)
        if path is None:
            with tempfile.TemporaryDirectory(prefix="gatewright-") as folder:
                return self._begin(Path(folder), corpus, name, where, overwrite, progress)
        return self._begin(path, corpus, name, where, overwrite, progress)._reported(path)

    @classmethod
    def resume(
        cls,
        folder: str | os.PathLike[str],
        text: TextLike = None,
        *,
        validation: TextLike = None,
        progress: str = "none",
        **changes: Any,
    ) -> Self:
        """Go on with the training that a folder's newest checkpoint holds.

        `text` and `validation` may be left out where they were paths or the default. Of the settings, only
        those of the run's length and the devices may change, and the text must be the same. Raises
        `SettingsError` or `FolderError` otherwise.
        """
        run = RunFolder(folder_path(folder))
        run.tidy()
        about = run.read()[1]
        with run.fits_together():
            recipe, known = about["recipe"], about["text"]
            before = {**recipe["settings"], **about["training"]}
            if "cell" in changes and str(resolve_cell(changes["cell"])) == recipe["equations"]:
                changes["cell"] = before["cell"]
            _refuse_changes(before, changes)
            settings = {name: value for name, value in {**before, **changes}.items() if name != "cell"}
            model = cls(gw.parse(recipe["equations"], name=recipe["cell_name"]), **settings)
            tokenizer = _saved_tokenizer(run.path / CONFIG, recipe["config_sha256"])
            where = recipe["where"]
            text = text if text is not None or where["path"] is None else Path(where["path"])
            if validation is None and where["validation"] is not None:
                validation = Path(where["validation"])
            corpus, name = model._prepare(text, validation, where["pattern"], tokenizer)
            if corpus.sha256 != known["sha256"]:
                raise SettingsError(
                    f"{name}: not the text that this run began with ({known['name']}); "
                    "give that one, or start a new run in another folder"
                )
        fabric = model._check(corpus, name, progress)
        return model._launch(fabric, run.path, corpus, name, where, progress, resume=True)._reported(run.path)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The model of a folder. Raises `FolderError` where the folder is missing, damaged, newer or not
        ours.
        """
        found = read_model(Path(folder), "language")
        try:
            settings = LanguageSettings.from_dict(found.config["settings"])
            model = cls(found.equations)
            model._adopt(settings, found.cell_name, load_tokenizer(found.config["tokenizer"]), found.weights)
        except (KeyError, RuntimeError, ValueError) as error:
            raise FolderError(f"{folder}: weights, equations and {CONFIG} do not fit together: {error}") from error
        model.metrics, model.folder = found.metrics, Path(folder)
        return model

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model folder: `model.safetensors`, `config.json`, `metrics.json`, and `report.html` after `fit`.

        Raises `FolderError` where files of these names are somebody else's.
        """
        path = folder_path(folder)
        config = language_config(self.settings, self.tokenizer)
        run = RunFolder(path)
        run.refuse_foreign()
        run.write_config(config)
        weights = self.network.state_dict()
        replace_file(path / WEIGHTS, model_bytes("language", self.equations, self.cell_name, config, weights))
        replace_file(path / METRICS, json_bytes(self.metrics))
        self._report_saved(path)

    @property
    def network(self) -> LanguageNetwork:
        """The `nn.Module`. Raises `TaskError` before `fit` or `load`."""
        return _made(self._network)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises `TaskError` before `fit` or `load`."""
        return _made(self._tokenizer)

    def to(self, device: str) -> Self:
        """Move the model to a device. Raises `SettingsError` where it is not there."""
        try:
            self.network.to(torch.device(device))
        except (RuntimeError, AssertionError) as error:
            raise SettingsError(
                f"device {device!r}: not usable here ({str(error).splitlines()[0]}); take cpu"
            ) from error
        return self

    def score(self, text: TextLike, *, pattern: str = "*") -> Score:
        """The text's negative log-likelihood as one sequence: each token but the first, given all before it.

        The state is carried through the whole text, which is streamed, so it may be larger than memory.
        """
        source = open_text(text, pattern)
        survey(source)
        found = score(self.network, self.tokenizer.encode_stream(source.strings()), unknown=self.tokenizer.unknown)
        if not found.predictions:
            raise TaskError(f"{source.name}: too short: at least 2 tokens are needed; give a longer text")
        return found

    def perplexity(self, text: TextLike) -> float:
        """exp of the mean negative log-likelihood of a token; see `score`."""
        return self.score(text).perplexity

    def evaluate(self, text: TextLike = None, *, pattern: str = "*") -> dict[str, float]:
        """Loss (nats a token), perplexity, bits a character, and counts, on a text."""
        found = self.score(text, pattern=pattern)
        characters = survey(open_text(text, pattern)).characters
        return {
            "loss": found.loss,
            "perplexity": found.perplexity,
            "bits_per_token": found.loss / LN2,
            "bits_per_character": found.nats / LN2 / characters,
            "tokens": found.predictions,
            "unknown_tokens": found.unknown,
            "characters": characters,
        }

    def follow(self, text: TextLike, what: str = "brackets", *, top: int = 5) -> Followed:
        """Which units follow something known about a text; see `tasks.language_units.follow`."""
        source = open_text(text, "*")
        survey(source)
        return follow(self.network, self.tokenizer, "".join(source.strings()), what, top=top)

    def summary(self) -> dict[str, Any]:
        """The figures of the training run, for a table. Raises `TaskError` where there was none."""
        if not self.metrics:
            _made(self._network)
            raise TaskError(f"this model came without {METRICS}, so there are no figures of its training")
        m, best = self.metrics, self.metrics.get("best") or {}
        return {
            "cell": self.cell_name,
            "backend": m.get("backend", ""),
            "parameters": m.get("parameters", 0),
            "text": m["text"]["name"],
            "training tokens": m["text"]["train_tokens"],
            "validation tokens": m["text"]["validation_tokens"],
            "vocabulary": m["text"]["vocabulary"],
            "ended": ENDS.get(m["state"], m["state"]),
            "updates": m["updates"],
            "epochs": m["epochs"],
            "seconds": m["seconds"],
            "best at update": best.get("update"),
            "training loss": best.get("train_loss"),
            "validation loss (nats a token)": best.get("loss"),
            "validation perplexity": best.get("perplexity"),
            "bits a token": best["loss"] / LN2 if best else None,
        }

    def generate(self, prompt: str = "", **sampling: Any) -> str:
        """The prompt and a continuation of it.

        `sampling`: fields of `Sampling`: length, temperature, top_k, top_p, seed. The same seed gives the
        same text.
        """
        how = Sampling.from_dict(sampling)
        tokens = [int(i) for i in self.tokenizer.encode(check_string(prompt))] or [self.tokenizer.start]
        generator = torch.Generator()
        generator.seed() if how.seed is None else generator.manual_seed(how.seed)
        made = self._continue(tokens, how, generator)
        glue = self.tokenizer.glue if prompt and not prompt[-1].isspace() else ""
        return prompt + (glue if made else "") + self.tokenizer.decode(made)

    @torch.no_grad()
    def _continue(self, tokens: list[int], how: Sampling, generator: torch.Generator) -> list[int]:
        network, device = self.network.eval(), self.network.embedding.weight.device
        state, made = None, []
        if len(tokens) > 1:
            _, state = network(torch.tensor(tokens[:-1], device=device)[:, None])
        last = torch.tensor(tokens[-1:], device=device)
        for _ in range(how.length):
            logits, state = network.step(last, state)
            last = choose(logits, how, generator, self.tokenizer.unknown).to(device)
            made.append(int(last))
        return made

    def _prepare(
        self, text: TextLike, validation: TextLike, pattern: str, tokenizer: Tokenizer | None = None
    ) -> tuple[Corpus, str]:
        source = open_text(text, pattern)
        corpus = prepare(
            source,
            kind=self.settings.tokenizer,
            size=self.settings.vocabulary,
            tokenizer=tokenizer,
            share=self.settings.validation,
            validation=None if validation is None else open_text(validation, pattern),
        )
        return corpus, source.name

    def _begin(
        self, path: Path, corpus: Corpus, name: str, where: dict[str, Any], overwrite: bool, progress: str
    ) -> Self:
        folder = RunFolder(path)
        fabric = self._check(corpus, name, progress)
        if fabric.global_rank:  # torchrun or a cluster has started this process beside the first one
            return self._launch(fabric, path, corpus, name, where, progress, resume=False)
        folder.begin(overwrite=overwrite)
        try:
            folder.write_config(language_config(self.settings, corpus.tokenizer))
            return self._launch(fabric, path, corpus, name, where, progress, resume=False)
        finally:
            folder.put_back()  # where the new run has saved nothing, the one that it was to replace stays

    def _check(self, corpus: Corpus, name: str, progress: str) -> Any:
        """Find what would go wrong in training before anything is written; the Fabric to train on."""
        check_style(progress)
        check_length(corpus, name, self.training.batch_size)
        check_network(self.cell, corpus.tokenizer.size, self.settings)
        return make_fabric(self.training)

    def _launch(
        self,
        fabric: Any,
        path: Path,
        corpus: Corpus,
        name: str,
        where: dict[str, Any],
        progress: str,
        *,
        resume: bool,
    ) -> Self:
        plan = LanguagePlan(
            self.equations,
            self.cell_name,
            self.settings,
            self.training,
            corpus,
            name,
            where,
            str(path),
            resume,
            progress,
        )
        self.seen = Seen(corpus.train, corpus.valid)
        try:
            outcome = launch(fabric, train_language, plan)
        except TrainingError as error:
            if fabric.global_rank == 0:
                self._report_failure(path, error)
            raise
        self.metrics = outcome.metrics
        self.stopped = outcome.reason if outcome.reason.startswith("SIG") else None
        self.leads = fabric.global_rank == 0
        if self.leads and self.metrics["best"] is not None:
            found = read_model(path, "language")
            self._adopt(self.settings, self.cell_name, corpus.tokenizer, found.weights)
            self.watch = self._saved_watch(path)
        return self

    def _adopt(
        self,
        settings: LanguageSettings,
        cell_name: str,
        tokenizer: Tokenizer,
        weights: dict[str, torch.Tensor],
    ) -> None:
        self.settings, self.cell_name = settings, cell_name
        self.cell = gw.parse(self.equations, name=cell_name)
        network = LanguageNetwork(self.cell, tokenizer.size, settings)
        network.to(weights["bias"].dtype).load_state_dict(weights)
        self._tokenizer, self._network = tokenizer, network.eval()


ENDS = {"finished": "at its limit", "early": "early: the validation loss got no better"}
LN2 = 0.6931471805599453


def _made(part: Any) -> Any:
    if part is None:
        raise TaskError("this LanguageModel has no weights yet; call fit(text) or LanguageModel.load(folder) first")
    return part


def _path_of(text: TextLike) -> str | None:
    return str(Path(text).resolve()) if isinstance(text, os.PathLike) else None


def _refuse_changes(before: dict[str, Any], changes: dict[str, Any]) -> None:
    split_settings(changes, LanguageSettings, TrainingSettings)
    for name, value in changes.items():
        if name not in TrainingSettings.RESUMABLE and value != before[name]:
            raise SettingsError(
                f"setting {name}: this run began with {before[name]!r} and cannot go on with {value!r}; "
                "leave it out, or start a new run in another folder"
            )


def _saved_tokenizer(path: Path, wanted: str) -> Tokenizer:
    """The tokenizer of the `config.json` that a run began with."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); restore it from a copy") from error
    if hashlib.sha256(content).hexdigest() != wanted:
        raise FolderError(f"{path}: changed after the run began (its SHA-256 does not fit); restore it from a copy")
    return load_tokenizer(json.loads(content)["tokenizer"])
