"""What can be chosen in a figure, and the buttons that do it where no mouse can press them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any, Literal, TypeAlias

import pandas as pd
import plotly.graph_objects as go

from ..rows.texts import density_text
from .style import BUTTONS

Change: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What a button replaces: by path the values of all traces, then by path a value of the layout."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a figure shows one value of at a time: its controls and its menus follow from these.

    Choices of the same menu are the digits of a place: that of one of the menu's buttons.
    """

    name: str
    legend: str
    labels: Mapping[Any, str]
    """The labels by value, in order."""
    chosen: int = 0
    """The place of the value shown first."""
    row: bool = False
    """Whether it is a row of buttons, whose values scripts read, and not a list to choose from."""
    worded: bool = False
    """Whether a label alone does not say what it is of, so that a file's words begin with it."""
    menu: int | None = 0
    """The place of the figure's menu that it sets; None where a script of its own draws."""

    @property
    def words(self) -> list[str]:
        """What the labels are called where no legend is beside them."""
        before = f"{self.legend.lower()} " if self.worded else ""
        return [before + label for label in self.labels.values()]

    def place(self, label: str | None) -> int:
        """The place of a label; for one that is not offered, that of the first choice."""
        labels = [*self.labels.values()]
        return labels.index(label) if label in labels else self.chosen


PSNR_SHOWN = Choice(name="which", legend="PSNR shown", labels=BUTTONS, row=True)


def listed(labels: Iterable[str]) -> dict[str, str]:
    """The labels of a choice whose values are these very words, each once."""
    return {label: label for label in labels}


def listed_of(values: pd.Series) -> dict[str, str]:
    """The categories that any of these values has."""
    return listed(map(str, values.cat.remove_unused_categories().cat.categories))


def density_choice(
    table: pd.DataFrame,
    text: Callable[[float], str] = density_text,
    *,
    by: Literal["kept", "density"] = "kept",
    **more: Any,
) -> Choice:
    """The densities of a table, by how many weights are kept; or by themselves, where networks of
    several sizes are at one density."""
    sizes = table.drop_duplicates(by).sort_values(by, ascending=False)
    labels = dict(zip(sizes[by], map(text, sizes["density"]), strict=True))
    return Choice(name="density", legend="Density", labels=labels, **more)


def menu(choices: Sequence[Choice], change: Callable[..., Change], *, x: float = 0) -> Any:
    """Buttons above a figure: one for each combination of values, given to `change` in order.

    They are a row where they are those of a single such choice, else a list.
    """
    options = [zip(one.labels, one.words, strict=True) for one in choices]
    buttons, active = [], 0
    chosen = tuple([*one.labels][one.chosen] for one in choices)
    for place, combination in enumerate(product(*options)):
        values, words = zip(*combination, strict=True)
        active = place if values == chosen else active
        args = [*change(*values)]
        buttons.append({"label": ", ".join(words), "method": "update", "args": args})
    row = len(choices) == 1 and choices[0].row
    return {
        "type": "buttons" if row else "dropdown",
        "direction": "right" if row else "down",
        "active": active,
        "buttons": buttons,
        "x": x,
        "xanchor": "left" if x == 0 else "right",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 12},
    }


def first_change(menu: Mapping[str, Any]) -> Change:
    """What the button of a menu does that is down at first."""
    traces, layout = menu["buttons"][menu["active"]]["args"]
    return traces, layout


def alternatives(
    choices: Sequence[Choice],
    look: Mapping[str, Any],
    trace: Callable[..., Any],
    said: Callable[..., Mapping[str, Any]] = lambda *_: {},
) -> go.Figure:
    """A figure of one trace for each combination of values, and what else its layout then says."""
    combinations = [*product(*(one.labels for one in choices))]

    def change(*values: Any) -> Change:
        return only(combinations.index(values), len(combinations)), said(*values)

    buttons = menu(choices, change)
    traces = [trace(*values) for values in combinations]
    figure = go.Figure(traces, {**look, "updatemenus": [buttons]})
    figure.plotly_update(*first_change(buttons))
    return figure


def only(place: int, count: int) -> dict[str, list[bool]]:
    """The change that shows one of so many traces."""
    return {"visible": [other == place for other in range(count)]}


def pressed(
    figure: go.Figure, choices: Sequence[Choice], labels: Sequence[str | None]
) -> go.Figure:
    """A copy without menus in which the buttons that the labels mean have done their work.

    There is a label for each choice; where there are fewer, the others are as at first.
    """
    places: dict[int, int] = {}
    for choice, label in zip_longest(choices, labels[: len(choices)]):
        if choice.menu is not None:
            before = places.get(choice.menu, 0)
            places[choice.menu] = before * len(choice.labels) + choice.place(label)
    copy = go.Figure(figure)
    for menu, place in places.items():
        copy.plotly_update(*figure.layout.updatemenus[menu].buttons[place].args)
    copy.layout.updatemenus = ()
    return copy
