"""The page's markup read back, for pages that are made of components: controls, chart, words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "img", "input"}
BLOCKS = {"dl", "section", "table", "tbody", "thead", "tr"}
"""In which blanks between elements mean nothing."""

MOVING = {"chart", "switch", "choice"}
PICTURED = {"tile", "strip", "sheets", "grid"}
HEADINGS = {"h3", "h4"}


@dataclass(kw_only=True)
class Element:
    """One element and what is inside."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    inside: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside."""
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)

    def all(self, *, tag: str = "", of: str = "") -> Iterator["Element"]:
        """The elements inside of that tag and class, this one first."""
        if tag in ("", self.tag) and (not of or of in self.classes):
            yield self
        for one in self.inside:
            if isinstance(one, Element):
                yield from one.all(tag=tag, of=of)

    @property
    def classes(self) -> set[str]:
        """Those that its look goes by."""
        return set(self.attributes.get("class", "").split())

    def has(self, classes: set[str]) -> bool:
        """Whether it is, or holds, an element of such a class."""
        return any(one.classes & classes for one in self.all())


@dataclass(frozen=True, kw_only=True)
class Control:
    """One value to choose for a figure's menu."""

    menu: int
    legend: str
    labels: tuple[str, ...]
    chosen: str


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What a section's body is made of."""

    lead: tuple[Element, ...]
    """Words before the figure; all of them where there is none."""
    controls: tuple[Control, ...]
    label: str
    """What the figure is, for those who cannot see it."""
    lines: str
    """How many lines the figure has, which its height depends on."""
    caption: tuple["Element | str", ...]
    rest: tuple[Element, ...]
    """Words after the figure, without pictures and their headings."""


def anatomy(body: str) -> Anatomy:
    """The parts of a section's body."""
    parser = _Parser()
    parser.feed(body)
    parser.close()
    parts = [one for one in parser.open[0].inside if isinstance(one, Element)]
    moving = [place for place, one in enumerate(parts) if one.has(MOVING)]
    first, last = (moving[0], moving[-1] + 1) if moving else (len(parts), len(parts))
    root = Element(tag="div", inside=list(parts[first:last]))
    chart = next(root.all(of="chart"), Element(tag="div"))
    caption = [one for figure in root.all(tag="figcaption") for one in figure.inside]
    return Anatomy(
        lead=_without_pictures(parts[:first]),
        controls=tuple(_controls(root)),
        label=chart.attributes.get("aria-label", ""),
        lines=chart.attributes.get("style", "").rpartition(" ")[2],
        caption=tuple(caption),
        rest=_without_pictures(parts[last:]),
    )


class _Parser(HTMLParser):
    """For markup that is whole: every element but the void ones is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element(tag="div")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag=tag, attributes={name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1].tag not in BLOCKS:
            self.open[-1].inside.append(data)


def _controls(root: Element) -> Iterator[Control]:
    """Those of a figure's menus, in the order of the page: that of the digits of a place."""
    for one in root.all():
        menus = [found for inner in one.all() if (found := inner.attributes.get("data-menu"))]
        if not menus:
            continue
        if "switch" in one.classes:
            options = list(one.all(tag="label"))
            chosen = [next(option.all(tag="input")) for option in options]
            marks = ["checked" in mark.attributes for mark in chosen]
            legend = next(one.all(tag="legend")).text
        elif "choice" in one.classes:
            options = list(one.all(tag="option"))
            marks = ["selected" in option.attributes for option in options]
            legend = "".join(text for text in one.inside if isinstance(text, str))
        else:
            continue
        labels = tuple(option.text for option in options)
        yield Control(
            menu=int(menus[0]), legend=legend, labels=labels, chosen=labels[marks.index(True)]
        )


def _without_pictures(parts: Sequence[Element]) -> tuple[Element, ...]:
    """The parts but for galleries, and headings of nothing else."""
    kept: list[Element] = []
    gone = False
    for part in reversed(parts):
        gone = part.has(PICTURED) or (gone and part.tag in HEADINGS)
        if not gone:
            kept.insert(0, part)
    return tuple(kept)
