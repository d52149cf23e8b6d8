"""`gatewright language evaluate`: a text's cost, with a cache or weights that follow the text where that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.errors import exit_codes
from gatewright.cli.training import Device, Folder, show
from gatewright.tasks import Cache, Dynamic, LanguageModel, SettingsError
from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.folder import json_bytes
from gatewright.tasks.progress import metrics_table
from gatewright.tasks.table.write import check_folder

__all__ = ["evaluate"]


def evaluate(
    folder: Folder,
    text: Annotated[
        Path | None, typer.Argument(help="A file or folder of text; default: the Python reference inside Python.")
    ] = None,
    files: Annotated[str, typer.Option("--files", help="Which files of a folder of text.")] = "*",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Count the first token too, behind an end of line, as papers do.")
    ] = False,
    cache: Annotated[int | None, typer.Option(help="A neural cache of so many tokens.", min=1)] = None,
    cache_theta: Annotated[float | None, typer.Option(help="How alike a state must be (default 0.3).")] = None,
    cache_weight: Annotated[
        float | None, typer.Option(help="The cache's share of the probability (default 0.1).")
    ] = None,
    dynamic: Annotated[
        str | None, typer.Option(help="Let the weights follow the text: rms (needs the training text) or sgd.")
    ] = None,
    dynamic_rate: Annotated[float | None, typer.Option(help="Their learning rate (default 0.001).")] = None,
    dynamic_decay: Annotated[float | None, typer.Option(help="How they are drawn back (default 0.02).")] = None,
    dynamic_steps: Annotated[int | None, typer.Option(help="Tokens between two changes (default 5).", min=1)] = None,
    training: Annotated[
        Path | None, typer.Option(help="The training text, where --dynamic rms does not find it again.")
    ] = None,
    choose_on: Annotated[
        Path | None, typer.Option(help="A validation text that the cache, or the rate and decay, are chosen on.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file, too.")] = None,
    device: Device = "cpu",
) -> None:
    """Loss and perplexity on a text, its state carried from the first token to the last."""
    with exit_codes():
        if json_out is not None:
            check_folder(json_out)
        caching = _given(theta=cache_theta, weight=cache_weight)
        following = _given(learning_rate=dynamic_rate, decay=dynamic_decay, steps=dynamic_steps)
        _refuse_alone("--cache", cache, caching, "--cache-theta and --cache-weight")
        _refuse_alone("--dynamic", dynamic, following, "--dynamic-rate, --dynamic-decay and --dynamic-steps")
        if cache is not None and dynamic is not None:
            raise SettingsError("--cache, --dynamic: expected a cache or dynamic evaluation, got both; leave one out")
        if training is not None and dynamic != "rms":
            raise SettingsError("--training: is for --dynamic rms alone; add that, or leave it out")
        if choose_on is not None and (caching or following or (cache is None and dynamic is None)):
            raise SettingsError(
                "--choose-on: chooses what --cache N or --dynamic KIND leave open; give one of them alone"
            )
        how: dict[str, Any] = {"from_start": from_start, "training": training}
        model = LanguageModel.load(folder).to(device)
        if cache is not None:
            chosen = choose_on and model.choose_cache(choose_on, window=cache)
            how["cache"] = chosen or Cache.from_dict({"window": cache, **caching})
        if dynamic is not None:
            settled = Dynamic.from_dict({"kind": dynamic, **following})
            chosen = choose_on and model.choose_dynamic(choose_on, kind=dynamic, training=training)
            how["dynamic"] = chosen or settled
        figures: dict[str, Any] = model.evaluate(text, pattern=files, **how)
        used = how.get("cache") or how.get("dynamic")
        figures |= {f"{type(used).__name__.lower()} {n}": v for n, v in used.to_dict().items()} if used else {}
        show(metrics_table(f"{folder} on {text or 'the default text'}", figures))
        if json_out is not None:
            replace_file(json_out, json_bytes(figures))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _refuse_alone(flag: str, value: Any, further: dict[str, Any], names: str) -> None:
    if value is None and further:
        raise SettingsError(f"{names}: belong to {flag}, which is not given; add it, or leave them out")
