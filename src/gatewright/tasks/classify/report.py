"""What the report of a classifier shows: baselines, confusions, early prediction, examples right and wrong."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.inside.pictures.scene import Axis, Bars, HeatMap, Line, Panel, Scale, Scene
from gatewright.inside.pictures.timeline import visible
from gatewright.tasks.classify.batches import padded
from gatewright.tasks.classify.job import standard
from gatewright.tasks.classify.metrics import baselines, class_table, confusion_of
from gatewright.tasks.progress import clock
from gatewright.tasks.report.axis import words
from gatewright.tasks.report.parts import (
    Alert,
    Figure,
    Findings,
    Folded,
    Markup,
    Part,
    Probe,
    Score,
    Section,
    Table,
    Text,
)
from gatewright.tasks.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from gatewright.tasks.classify.classifier import Classifier
    from gatewright.tasks.classify.data import ClassifyPrepared
    from gatewright.tasks.classify.sequences import Sequences

__all__ = ["classify_findings", "example_findings"]

ROWS = 8  # sequences that are looked into
SIGNALS = 6  # features of one that are drawn
DRAWN = 2000  # steps of one that are drawn at most
CLASSES = 30  # that the picture of confusions has at most
WRONG, RIGHT = 3, 2
COLOURS = 7


def classify_findings(model: Classifier, prepared: ClassifyPrepared | None) -> Findings:
    """What the report of a run shows; without the data only what its metrics say."""
    known = model.metrics.get("data") or {}
    title = f"{model.cell_name} on {known.get('name', 'sequences')}"
    data = {name.replace("_", " "): value for name, value in known.items() if not isinstance(value, dict | list)}
    if prepared is None:
        told = "the data of this run are not known here, so there are no baselines and no examples; give them again"
        alerts = [Alert(told, "note")]
        return Findings(title, "sequences", _headline(model), _ours(model), data, alerts=alerts)
    found = model._outputs(prepared.valid)
    targets = prepared.valid_targets
    sections = _of_numbers(model, found, targets) if _regression(model) else _of_classes(model, found, targets)
    sections += [Section("Early prediction", _early(model, prepared))]
    sections += [Section("Examples", _examples(model, prepared, found))]
    scores = [*_ours(model)]
    scores += [Score(name, _shown(figures), note) for name, (figures, note) in baselines(prepared).items()]
    return Findings(title, "sequences", _headline(model), scores, data, sections, _probe(model, prepared, found))


def example_findings(model: Classifier, inputs: Sequences, name: str) -> Findings:
    """What the report of one sequence shows."""
    found = model._outputs(inputs)
    if _regression(model):
        told, kinds = words(float(model._numbers(found)[0])), []
    else:
        p = _probabilities(found)[0]
        order = p.argsort()[::-1][:10]
        told = f"{model.classes_[order[0]]} ({p[order[0]]:.1%})"
        kinds = [
            Table(["class", "probability"], [[str(model.classes_[k]), round(float(p[k]), 4)] for k in order], bars=1)
        ]
    parts = [*kinds, *_drawn(model, inputs, 0, int(found[0].argmax()))]
    headline = [("prediction", told), ("steps", f"{inputs.lengths[0]:,}")]
    losses = _Losses(model.network, inputs, found.argmax(1))
    probe = Probe(model.network, losses, _axis(model, inputs), shown=60, about="The gates of this sequence.")
    title = f"{model.cell_name} on {name}"
    return Findings(title, "steps", headline, examples=[Section("Prediction", parts)], probe=probe)


# -- figures ---------------------------------------------------------------------------------------------------


def _regression(model: Classifier) -> bool:
    return model.settings.kind == "regression"


def _probabilities(found: np.ndarray) -> np.ndarray:
    return torch.from_numpy(found).softmax(-1).numpy()


def _shown(figures: dict[str, float]) -> dict[str, float]:
    """Figures of which less is better."""
    if "accuracy" not in figures:
        return {name: figures[name] for name in ("loss", "rmse", "mae")} | {"1 − R²": 1 - figures["r2"]}
    errors = {"accuracy": "error, %", "balanced_accuracy": "balanced error, %", "macro_f1": "100 − macro F1, %"}
    return {"loss": figures["loss"]} | {word: 100 * (1 - figures[name]) for name, word in errors.items()}


def _ours(model: Classifier) -> list[Score]:
    best = model.metrics.get("best")
    return [Score(model.cell_name, _shown(best), "this model, at its best", ours=True)] if best else []


def _headline(model: Classifier) -> list[tuple[str, str]]:
    best = model.metrics.get("best")
    if not best:
        return []
    shares = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
    found = [(word, f"{best[name]:.1%}") for name, word in shares.items() if name in best]
    found += [(name, words(best[key])) for key, name in (("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R²")) if key in best]
    m = model.metrics
    return [*found, ("parameters", f"{m['parameters']:,}"), ("training", clock(m["seconds"]))]


# -- classes ---------------------------------------------------------------------------------------------------


def _of_classes(model: Classifier, found: np.ndarray, targets: np.ndarray) -> list[Section]:
    names = [str(name) for name in model.classes_]
    confusion = confusion_of(found.argmax(1), targets, len(names))
    rows = [[str(r["class"]), *(round(100 * r[k], 1) for k in ("precision", "recall", "f1")), r["sequences"]]
            for r in class_table(confusion, names)]  # fmt: skip
    by_class = Table(["class", "precision, %", "recall, %", "F1, %", "sequences"], rows, "By class", bars=3)
    parts: list[Part] = []
    if len(names) <= CLASSES:
        caption = "Which class (row) was taken for which (column): a share of each row; the diagonal is right."
        parts.append(Figure(_picture(confusion, names), caption))
    pairs = [
        (confusion[i, j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j and confusion[i, j]
    ]
    worst = [[names[i], names[j], int(n), round(100 * n / confusion[i].sum(), 1)]
             for n, i, j in sorted(pairs, reverse=True)[:8]]  # fmt: skip
    if worst:
        parts.append(Table(["is", "taken for", "times", "of its class, %"], worst, "The commonest confusions"))
    numbers = Table(["", *names], [[n, *map(int, row)] for n, row in zip(names, confusion, strict=True)])
    return [Section("Confusions", [*parts, by_class, Folded("All confusions as numbers", [numbers])])]


def _picture(confusion: np.ndarray, names: list[str]) -> Scene:
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    edges = np.arange(len(names) + 1) - 0.5
    short = [name if len(name) <= 14 else name[:13] + "…" for name in names]
    upright = sum(map(len, short)) > 60
    x = Axis("predicted", ticks=tuple(enumerate(short)), upright=upright, names=tuple(names), low=-0.5, high=edges[-1])
    heat = HeatMap(share, edges, Scale("share", 0.0, 1.0, "share of the class"), tuple(short), of="class")
    height = float(np.clip(0.3 * len(names), 1.2, 6.0))
    return Scene(
        [Panel([heat], "truth (rows) and prediction", x, Axis(""), height)],
        width=float(np.clip(3.4 + len(names) * 0.6, 5, 9)),
    )


def _of_numbers(model: Classifier, found: np.ndarray, targets: np.ndarray) -> list[Section]:
    """Truth and prediction side by side, in the order of the truth."""
    told, order = model._numbers(found), targets.argsort(kind="stable")
    at, error = np.arange(len(order), dtype=float), told - targets
    x = Axis("sequences, in the order of the truth", low=0.0, high=float(max(len(order) - 1, 1)))
    lines = [Line(at, told[order], "predicted", 1), Line(at, targets[order], "truth", 0)]
    counts, edges = np.histogram(error, bins=30)
    bars = Bars(edges, counts.astype(float), "errors", 2)
    caption = "Predictions beside the truth, and how often which error was made."
    panels = [
        Panel(lines, "predictions", x, Axis(""), 2.2),
        Panel([bars], "errors", Axis("error"), Axis("sequences"), 1.2, 1),
    ]
    worst = np.abs(error).argsort()[::-1][:8]
    rows = [[int(k), words(float(targets[k])), words(float(told[k])), words(float(error[k]))] for k in worst]
    table = Table(["sequence", "truth", "predicted", "error"], rows, "The greatest errors")
    return [Section("Predictions", [Figure(Scene(panels, width=9.0, shared=False), caption), table])]


def _early(model: Classifier, prepared: ClassifyPrepared) -> list[Part]:
    found = model._early(prepared.valid, 10)
    shares = np.array([0.0, *(share for share, _ in found)]) * 100
    measures = [model._measure(outputs, prepared.valid_targets) for _, outputs in found]
    if _regression(model):
        label, start, scale = "R²", 0.0, 1.0
    else:
        often = np.bincount(prepared.train_targets).argmax()
        label, start, scale = "accuracy, %", float((prepared.valid_targets == often).mean()), 100.0
    y = np.array([start, *measures]) * scale
    x = Axis("share of the sequence seen, %", low=0.0, high=100.0)
    how = "asked after every share" if not model.settings.bidirectional else "given each beginning by itself"
    caption = f"How early the answer is known: the model is {how}; at 0 the commonest class (or the mean) is told."
    return [Figure(Scene([Panel([Line(shares, y, label, 0)], label, x, Axis(label), 1.8)], width=7.0), caption)]


# -- examples --------------------------------------------------------------------------------------------------


def _examples(model: Classifier, prepared: ClassifyPrepared, found: np.ndarray) -> list[Part]:
    """The surest mistakes, then sequences that were right and as sure as most."""
    valid, targets, parts = prepared.valid, prepared.valid_targets, []
    if _regression(model):
        error = np.abs(model._numbers(found) - targets)
        chosen = [*error.argsort()[::-1][:WRONG].tolist(), *error.argsort()[:RIGHT].tolist()]
        for k in chosen:
            truth, told = words(float(targets[k])), words(float(model._numbers(found)[k]))
            parts += [Text(f"{_called(valid, k)}: is {truth}, predicted {told}."), *_drawn(model, valid, k, 0)]
        return parts
    p, names = _probabilities(found), model.classes_
    told, sure = p.argmax(1), p.max(1)
    wrong = [int(k) for k in (-sure).argsort(kind="stable") if told[k] != targets[k]][:WRONG]
    right = [int(k) for k in np.abs(sure - np.median(sure)).argsort(kind="stable") if told[k] == targets[k]][:RIGHT]
    if not wrong:
        parts.append(Text("No validation sequence was taken for another class."))
    for k in wrong + right:
        mark = "right" if told[k] == targets[k] else "wrong"
        parts.append(
            Text(f"{_called(valid, k)}, {mark}: is {names[targets[k]]}, taken for {names[told[k]]} ({sure[k]:.1%}).")
        )
        parts += _drawn(model, valid, k, int(told[k]))
    return parts


def _called(found: Sequences, index: int) -> str:
    return found.called(index) if found.ids else f"validation sequence {index}"


def _drawn(model: Classifier, found: Sequences, index: int, output: int) -> list[Part]:
    """A sequence, and how much each of its steps counted for what was told (∂ output / ∂ input)."""
    counted = _saliency(model, found[index], output)
    if found.kind == "tokens":
        return [Markup(_coloured(model, found[index], counted))]
    x = found[index][:DRAWN]
    steps = Axis("step", low=-0.5, high=len(x) - 0.5)
    at = np.arange(len(x), dtype=float)
    if x.shape[1] > SIGNALS:
        deviation = x.std(0, dtype=np.float64)
        shifted = (x - x.mean(0, dtype=np.float64)) / np.where(deviation > 0, deviation, 1.0)
        most = float(np.abs(shifted).max())
        heat = HeatMap(shifted.T[::-1], np.arange(len(x) + 1) - 0.5, Scale("signed", -most, most, "deviations"),
                       tuple(found.features[::-1]), of="feature")  # fmt: skip
        first = Panel([heat], "features", steps, Axis(""), 1.6)
    else:
        lines = [Line(at, x[:, k].astype(float), found.features[k], k) for k in range(x.shape[1])]
        first = Panel(lines, "features", steps, Axis(""), 1.3)
    below = Panel([Line(at, counted[: len(x)], "", 3)], "how much each step counted", steps, Axis(""), 0.7, 1)
    caption = "Above what was read, below the size of the answer's gradient by each step."
    return [Figure(Scene([first, below], width=9.0), caption)]


def _coloured(model: Classifier, tokens: np.ndarray, counted: np.ndarray) -> str:
    tokenizer = load_tokenizer((model.config or {})["tokenizer"])
    most = float(counted.max()) or 1.0
    parts = []
    for token, size in zip(tokens.tolist(), counted.tolist(), strict=True):
        colour = min(int(COLOURS * size / most), COLOURS - 1)
        word = escape(visible(tokenizer.decode([token])))
        parts.append(f'<span class="q{colour}" title="{size / most:.0%} of the most">{word}</span>')
    return f'<div class="tokens">{" ".join(parts)}</div>'


class _Whole(nn.Module):
    """The network on whole sequences of known lengths, as a function of what `standard` gives."""

    def __init__(self, network: nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.network, self.lengths = network, lengths

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, self.lengths, standard=True)


def _saliency(model: Classifier, x: np.ndarray, output: int) -> np.ndarray:
    """(T,): the norm of the gradient of an output by each step of the input, features at deviation 1."""
    network, device = model.network.eval(), model.device
    inputs, lengths = (t.to(device) for t in padded([x]))
    whole, inputs = _Whole(network, lengths), network.standard(inputs, lengths)
    found = gw.inside.sensitivity(whole, inputs, lambda logits: logits[:, output], at=network.embedding)
    return found[:, 0].cpu().double().numpy()


# -- inside ----------------------------------------------------------------------------------------------------


class _Losses:
    """The loss of each of a few sequences, (B,)."""

    def __init__(self, network: Any, inputs: Sequences, targets: np.ndarray) -> None:
        self.network = network
        device = network.decoder.weight.device
        x, self.lengths = (t.to(device) for t in padded([inputs[k] for k in range(len(inputs))]))
        self.x, self.targets = network.standard(x, self.lengths), torch.from_numpy(targets).to(device)

    def __call__(self) -> Tensor:
        logits = self.network(self.x, self.lengths, standard=True)
        if self.network.classes is None:
            return (logits[:, 0] - self.targets).square()
        return F.cross_entropy(
            logits.float() if logits.dtype != torch.float64 else logits, self.targets, reduction="none"
        )


def _probe(model: Classifier, prepared: ClassifyPrepared, found: np.ndarray) -> Probe:
    """A few validation sequences, the surest mistake first."""
    targets = prepared.valid_targets
    if _regression(model):
        order = (-np.abs(model._numbers(found) - targets)).argsort(kind="stable")
    else:
        order = (found.argmax(1) == targets).argsort(kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(ROWS, len(order))).round().astype(int)]
    inputs = prepared.valid.take(chosen)
    about = f"Measured on {len(inputs)} validation sequences; the first of them is drawn, the whole of it."
    losses = _Losses(model.network, inputs, standard(targets[chosen], prepared.config["target"]))
    return Probe(model.network, losses, _axis(model, inputs), shown=120, about=about)


def _axis(model: Classifier, inputs: Sequences) -> dict[str, Any]:
    """What stands along the time axis of the first sequence: its words, or a few of its signals."""
    s = model.settings
    if inputs.kind == "tokens":
        if s.stack > 1 or (s.conv_layers and s.conv_stride > 1):
            return {}
        tokenizer = load_tokenizer((model.config or {})["tokenizer"])
        return {"tokens": [tokenizer.decode([int(t)]) for t in inputs[0]]}
    first = inputs[0]
    return {"signal": {name: first[:, k] for k, name in enumerate(inputs.features[:SIGNALS])}}
