"""How methods look, so that they can be told apart in colour and in print without it."""

from lip_ray.analysis.charts.style import DASHES, OKABE_ITO, SYMBOLS, method_style


def test_thirty_methods_differ_in_colour_or_dash_and_many_more_with_their_symbols() -> None:
    styles = [method_style(place) for place in range(210)]
    lines = {(style.colour, style.dash) for style in styles[:30]}
    assert len(lines) == len(OKABE_ITO) * len(DASHES) == 30
    assert len(set(styles)) == len(lines) * len(SYMBOLS)
