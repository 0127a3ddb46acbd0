"""Numbers on the command line are bounded before anything is done with them."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args, get_type_hints

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

from lip_ray.cli import app


@dataclass(frozen=True)
class Numeric:
    """An option that takes a number, and a call of its command without it."""

    call: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return " ".join((*self.call, self.name))


def numeric_options(part: typer.Typer, *words: str) -> Iterator[Numeric]:
    for group in part.registered_groups:
        if group.typer_instance is not None:
            name = [group.name] if group.name else []
            yield from numeric_options(group.typer_instance, *words, *name)
    for command in part.registered_commands:
        function = command.callback
        assert function is not None
        kinds = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
        options = {p.name: _option(kinds[p.name]) for p in parameters}
        needed = [p.name for p in parameters if p.default is p.empty]
        call = [*words, command.name or function.__name__]
        for name in needed:
            call += [f"--{name}", "x"] if options[name] and "-" not in name else ["x"]
        for name, option in options.items():
            if option is not None and {int, float} & {*_plain(kinds[name])}:
                yield Numeric(tuple(call), _written(name, option))


def _option(kind: object) -> OptionInfo | None:
    return next((one for one in get_args(kind) if isinstance(one, OptionInfo)), None)


def _plain(kind: object) -> tuple[object, ...]:
    first = get_args(kind)[0]
    return get_args(first) or (first,)


def _written(name: str, option: OptionInfo) -> str:
    given = (option.default, *(option.param_decls or ()))  # the first stands for a default
    long = [one for one in given if isinstance(one, str) and one.startswith("--")]
    return long[0] if long else f"--{name}"


OPTIONS = list(numeric_options(app))


def test_there_are_some() -> None:
    names = {option.name for option in OPTIONS}
    assert {"--width", "--grace", "--seed", "--port", "--refresh", "--channels"} <= names


@pytest.mark.parametrize("option", OPTIONS, ids=str)
@pytest.mark.parametrize("value", ["1e30", "-1e30", "nan", "inf", "1" + "0" * 40, "-1", "many"])
def test_numbers_outside_are_refused_by_name_and_value(option: Numeric, value: str) -> None:
    result = CliRunner().invoke(app, [*option.call, f"{option.name}={value}"])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert option.name in result.output
    assert value in re.sub(r"[│\s]", "", result.output)  # in a box, broken into lines
