"""The routes of the explorer: each one reads a question, asks somebody who knows, and answers in JSON."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from torch import Tensor

from ..cells import zoo
from ..graph.errors import suggestion
from . import runs
from .about import about
from .answers import QUIET, Answer, answer_errors
from .jobs import Jobs, Worker, followed
from .opened import Opened
from .questions import Ask, Compare, Find, Sequence, Train, Write
from .reads_numbers import ReadsNumbers
from .refused import Refused
from .runs import Run, Runs
from .security import Guard, Policy

STATIC = Path(__file__).parent / "static"
PARTS = ("svg", "kernel", "step_us")
Unit = Annotated[str, Query(pattern=r"^(mean|\d{1,6})$")]
Pixels = Annotated[int, Query(ge=1, le=4000)]
Start = Annotated[int, Query(alias="from")]
Stop = Annotated[int | None, Query(alias="to")]


def application(opened: Opened, policy: Policy) -> Guard:
    """The server's application, for one model, behind its guard."""
    kept, jobs, worker = Runs(), Jobs(), Worker()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        jobs.stop()
        worker.stop()

    app = FastAPI(lifespan=lifespan, default_response_class=Answer, redirect_slashes=False, **QUIET)
    answer_errors(app)
    _pages(app)
    _model(app, opened, kept)
    _run(app, kept)
    _work(app, jobs, worker)
    return Guard(app, policy)


# -- pages -------------------------------------------------------------------------------------------------------


def _pages(app: FastAPI) -> None:
    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/static/plotly.min.js")
    def plotly() -> Response:
        try:
            return FileResponse(str(files("plotly") / "package_data" / "plotly.min.js"), media_type="text/javascript")
        except ModuleNotFoundError:
            remedy = "pip install 'gatewright[explorer]'"
            raise Refused(404, "plotly is not installed", remedy=remedy) from None

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


# -- the model, and sequences through it -----------------------------------------------------------------------------


def _model(app: FastAPI, opened: Opened, kept: Runs) -> None:
    @app.get("/api/model")
    def model() -> Answer:
        return Answer(about(opened))

    @app.get("/api/diagram")
    def diagram(layer: str | None = None) -> Response:
        picture = opened.layer(layer).cell.diagram(theme="auto")
        return Response(picture.svg, media_type="image/svg+xml")

    @app.post("/api/run")
    def run(question: Sequence) -> Answer:
        return Answer(kept.add(opened, given(opened, question), question.held()).shown())

    @app.post("/api/ask")
    def ask(question: Ask) -> Answer:
        return Answer(runs.ask(opened, given(opened, question), question.held(), question.length))

    @app.post("/api/find")
    def find(question: Find) -> Answer:
        if question.texts is not None:
            texts = [(str(k), text) for k, text in enumerate(question.texts)]
        else:
            texts = [(example["id"], example["text"]) for example in opened.examples]
            texts += [(f"corpus {k}", text) for k, text in enumerate(opened.corpus)]
        layer = opened.layer(question.layer)
        return Answer(runs.find(opened, layer, question.name, question.unit, question.above, texts))


def given(opened: Opened, question: Sequence) -> Tensor:
    """The sequence that is meant."""
    told = {key: getattr(question, key) for key in ("text", "numbers", "random")}
    told = {key: value for key, value in told.items() if value is not None}
    if len(told) != 1:
        raise Refused(422, "expected one of text, numbers, random", where="text")
    if question.text is not None:
        return opened.read(question.text)
    if not isinstance(opened, ReadsNumbers):
        raise Refused(422, f"this model reads text, not {next(iter(told))}", where=next(iter(told)))
    return opened.numbers(question.numbers) if question.numbers is not None else opened.random(question.random or 0)


def _run(app: FastAPI, kept: Runs) -> None:
    def place(run: Run, layer: str | None, start: int, stop: int | None) -> tuple[Any, int, int]:
        return run.opened.layer(layer), start, run.steps if stop is None else stop

    @app.get("/api/run/{key}/step")
    def step(key: str, t: int, layer: str | None = None, unit: Unit = "mean") -> Answer:
        run = kept.get(key)
        return Answer(run.step(run.opened.layer(layer), t, _unit(unit)))

    @app.get("/api/run/{key}/heat")
    def heat(
        key: str,
        name: str,
        layer: str | None = None,
        start: Start = 0,
        stop: Stop = None,
        width: Pixels = 1000,
        height: Pixels = 1000,
        sort: str = "none",
        range: bool = False,
    ) -> Answer:
        run = kept.get(key)
        where = place(run, layer, start, stop)
        return Answer(run.heat(where[0], name, *where[1:], width=width, height=height, sort=sort, range_too=range))

    @app.get("/api/run/{key}/unit")
    def unit(
        key: str,
        names: str,
        unit: Unit = "mean",
        layer: str | None = None,
        start: Start = 0,
        stop: Stop = None,
        width: Pixels = 1000,
    ) -> Answer:
        run = kept.get(key)
        found, start, stop = place(run, layer, start, stop)
        return Answer(run.unit(found, _unit(unit), [n for n in names.split(",") if n][:64], start, stop, width))

    @app.get("/api/run/{key}/measures")
    def measures(key: str, layer: str | None = None) -> Answer:
        run = kept.get(key)
        return Answer(run.measures(run.opened.layer(layer)))

    @app.get("/api/run/{key}/sensitivity")
    def sensitivity(key: str, t: int, k: Annotated[int, Query(ge=0, le=7)] = 0) -> Answer:
        return Answer(kept.get(key).sensitivity(t, k))


def _unit(text: str) -> int | None:
    return None if text == "mean" else int(text)


# -- equations and trainings --------------------------------------------------------------------------------------


def _work(app: FastAPI, jobs: Jobs, worker: Worker) -> None:
    def cell(text: str, where: str) -> tuple[str, str]:
        """(label, equations) of a cell's name, or of equations."""
        if "=" not in text:
            if text not in zoo:
                raise Refused(422, f"there is no cell {text!r}{suggestion(text, zoo)}", where=where)
            return text, str(zoo[text])
        return worker.one({"do": "check", "equations": text, "where": where})["name"], text

    def race(cells: list[tuple[str, str]], question: Compare | Train) -> Answer:
        labelled: dict[str, str] = {}
        for label, text in cells:
            again = sum(other.split(" ")[0] == label for other in labelled)
            labelled[f"{label} {again + 1}" if again else label] = text
        job = jobs.add(labelled, question.lag, question.seed, question.updates)
        return Answer({"job": job.id, "labels": job.labels})

    @app.post("/api/compare")
    def compare(question: Compare) -> Answer:
        return race([cell(text, f"cells[{k}]") for k, text in enumerate(question.cells)], question)

    @app.post("/api/write")
    def write(question: Write) -> Answer:
        return Answer(worker.one({"do": "write", **question.model_dump()}, PARTS))

    @app.post("/api/write/train")
    def train(question: Train) -> Answer:
        return race([cell(question.equations, "equations"), ("lstm", str(zoo["lstm"]))], question)

    @app.get("/api/jobs/{key}/events")
    async def events(key: str) -> StreamingResponse:
        return StreamingResponse(followed(jobs.get(key)), media_type="text/event-stream")

    @app.post("/api/jobs/{key}/stop")
    def stop(key: str) -> Answer:
        jobs.get(key).stop()
        return Answer({"stopped": True})
