"""Command-line options from settings: one option a field, its help from the field's documentation."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from gatewright.tasks.settings import Settings

__all__ = ["settings_options"]


def settings_options(*kinds: type[Settings], without: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Replace a command's parameter `settings` by an option for every field of the classes.

    The command gets a dictionary of those that were given; the others keep the defaults of the classes.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        options = [p for kind in kinds for p in _options(kind) if p.name not in without]
        names = [p.name for p in options]

        @functools.wraps(command)
        def wrapped(**values: Any) -> Any:
            given = {name: values.pop(name) for name in names}
            chosen = {name: _plain(value) for name, value in given.items() if value is not None}
            return command(**values, settings=chosen)

        own = inspect.signature(command, eval_str=True)
        kept = [p.replace(kind=p.KEYWORD_ONLY) for p in own.parameters.values() if p.name != "settings"]
        wrapped.__signature__ = own.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in [*kept, *options]}
        return wrapped

    return decorate


def _options(kind: type[Settings]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(kind)
    return [_option(f, hints[f.name], kind) for f in dataclasses.fields(kind)]


def _option(field: dataclasses.Field[Any], hint: Any, kind: type[Settings]) -> inspect.Parameter:
    flag = "--" + field.name.replace("_", "-")
    shown = "" if field.default is None else f" (default {field.default})"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if bool in _parts(hint) else flag,
        help=field.metadata["help"].replace("`", "") + shown,
        show_default=False,
        rich_help_panel=kind.__name__.removesuffix("Settings") or kind.__name__,
    )
    annotation = Annotated[_type(field.name, hint) | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _type(name: str, hint: Any) -> Any:
    part = next(p for p in _parts(hint) if p is not type(None))
    if typing.get_origin(part) is Literal:
        return enum.Enum(name, {value: value for value in typing.get_args(part)})
    return part


def _parts(hint: Any) -> tuple[Any, ...]:
    return (hint,) if typing.get_origin(hint) in (None, Literal) else typing.get_args(hint)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value
