"""The buttons of a figure, pressed where no mouse can: in files, and by a page's own controls."""

from collections.abc import Mapping

import plotly.graph_objects as go


def pressed(figure: go.Figure, places: Mapping[int, int]) -> go.Figure:
    """A copy without buttons in which those at `places`, by menu, have done their work."""
    copy = go.Figure(figure)
    for menu, place in places.items():
        copy.plotly_update(*figure.layout.updatemenus[menu].buttons[place].args)
    copy.layout.updatemenus = ()
    return copy
