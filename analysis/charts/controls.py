"""What can be chosen in a figure, and the buttons that do it where no mouse can press them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True, kw_only=True)
class Control:
    """One value to choose in a figure.

    Controls of the same menu are the digits of a place: that of one of the menu's buttons.
    """

    name: str
    """Different from that of every other control of a page."""
    legend: str
    labels: tuple[str, ...]
    words: tuple[str, ...] = ()
    """What whoever asks for a figure as a file calls the labels, where that is more than these."""
    values: tuple[str, ...] = ()
    """What scripts read of a row of buttons; a list to choose from has none."""
    chosen: int = 0
    """The place of the label that is chosen at first."""
    menu: int | None = 0
    """Of the figure's menus the one that it sets; None where a script of its own draws."""

    def place(self, label: str | None) -> int:
        """That of a label; of one that is not offered, that of the first choice."""
        return self.labels.index(label) if label in self.labels else self.chosen


def switch(name: str, legend: str, labels: Mapping[str, str], *, menu: int | None = 0) -> Control:
    """A row of buttons, one of which is down; `labels` are by their values."""
    texts, values = tuple(labels.values()), tuple(labels)
    return Control(name=name, legend=legend, labels=texts, values=values, menu=menu)


def dropdown(
    name: str,
    legend: str,
    labels: Sequence[str],
    *,
    words: Sequence[str] = (),
    chosen: int = 0,
    menu: int | None = 0,
) -> Control:
    """A list to choose one from."""
    texts, called = tuple(labels), tuple(words)
    return Control(name=name, legend=legend, labels=texts, words=called, chosen=chosen, menu=menu)


def places(controls: Sequence[Control], labels: Sequence[str | None]) -> dict[int, int]:
    """By menu the place of the button that the chosen labels mean, one for each control."""
    found: dict[int, int] = {}
    for control, label in zip(controls, labels, strict=False):
        if control.menu is not None:
            before = found.get(control.menu, 0)
            found[control.menu] = before * len(control.labels) + control.place(label)
    return found


def pressed(figure: go.Figure, places: Mapping[int, int]) -> go.Figure:
    """A copy without buttons in which those at `places`, by menu, have done their work."""
    copy = go.Figure(figure)
    for menu, place in places.items():
        copy.plotly_update(*figure.layout.updatemenus[menu].buttons[place].args)
    copy.layout.updatemenus = ()
    return copy
