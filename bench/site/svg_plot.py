"""Plots as inline SVG, in the colours of the page, light or dark; a value is told where it is pointed at or reached by the arrow keys."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

SHAPES = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "M-2.7-2.7h5.4v5.4h-5.4z",
    "M0-3.8L3.8 0L0 3.8L-3.8 0z",
    "M0-3.5L3.4 2.6h-6.8z",
    "M0 3.5L3.4-2.6h-6.8z",
    "M-1.1-3.4h2.2v2.3h2.3v2.2h-2.3v2.3h-2.2v-2.3h-2.3v-2.2h2.3z",
    "M-3-1.5L0-3.6L3-1.5V1.5L0 3.6L-3 1.5z",
    "M-3.2-2L-2-3.2L0-1.2L2-3.2L3.2-2L1.2 0L3.2 2L2 3.2L0 1.2L-2 3.2L-3.2 2L-1.2 0z",
)
"""Of the looks: circle, square, diamond, triangles, plus, hexagon, cross."""
LEFT, TOP, BOTTOM, RIGHT = 48, 22, 34, 10
MOST = 7
"""Ticks of a logarithmic scale."""


@dataclass(frozen=True)
class Mark:
    """A value, what is said of it and, where it has an interval, its ends."""

    x: float
    y: float
    said: str
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Line:
    """Marks of one kind; `look` is its colour and shape, none for a grey dashed line."""

    name: str
    look: int | None
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Axis:
    """A scale: its name, whether it is logarithmic, its ticks where they are known."""

    name: str
    log: bool = False
    ticks: Sequence[float] = field(default_factory=tuple)
    unit: str = ""

    def at(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ends(self, values: Sequence[float]) -> tuple[float, float]:
        low, high = min(map(self.at, values)), max(map(self.at, values))
        room = 0.07 * (high - low) or 0.5
        return low - room, high + room

    def between(self, low: float, high: float) -> list[float]:
        """Ticks between two ends of the scale."""
        if self.ticks:
            return [tick for tick in self.ticks if low <= self.at(tick) <= high]
        if not self.log:
            return steps(low, high)
        decades = range(math.floor(low), math.ceil(high) + 1)
        for within in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
            found = [m * 10.0**d for d in decades for m in within if low <= math.log10(m) + d <= high]
            if 3 <= len(found) <= MOST:
                return found
        return found[:: -(-len(found) // MOST)] if len(found) > MOST else steps(10**low, 10**high)

    def word(self, tick: float) -> str:
        if self.log and not 1e-3 <= abs(tick) < 1e6:
            return f"{tick:.0e}{self.unit}"
        return f"{tick:,.6g}{self.unit}"


def steps(low: float, high: float) -> list[float]:
    """Four or five round numbers between two ends."""
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 4)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


@dataclass(frozen=True)
class Panel:
    """Lines on one pair of scales; `rules` are the places along x that something is said of."""

    title: str
    lines: Sequence[Line]
    rules: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Frame:
    """Where values of two axes lie in a drawing: `ends` are those of both scales."""

    x: Axis
    y: Axis
    ends: tuple[tuple[float, float], tuple[float, float]]
    wide: float
    high: float

    def across(self, value: float) -> float:
        low, high = self.ends[0]
        return LEFT + (self.x.at(value) - low) / (high - low) * (self.wide - LEFT - RIGHT)

    def up(self, value: float) -> float:
        low, high = self.ends[1]
        return self.high - BOTTOM - (self.y.at(value) - low) / (high - low) * (self.high - TOP - BOTTOM)

    def grid(self) -> Iterator[str]:
        floor = self.high - BOTTOM
        for tick in self.y.between(*self.ends[1]):
            yield f'<path class="grid" d="M{LEFT} {self.up(tick):.1f}H{self.wide - RIGHT}"/>'
            yield words(LEFT - 5, self.up(tick) + 3.5, self.y.word(tick), "end")
        for tick in self.x.between(*self.ends[0]):
            yield f'<path class="grid" d="M{self.across(tick):.1f} {TOP}V{floor}"/>'
            yield words(self.across(tick), floor + 13, self.x.word(tick), "middle")
        yield words((self.wide + LEFT) / 2, self.high - 5, self.x.name, "middle", "name")

    def line(self, line: Line) -> str:
        points = [(self.across(mark.x), self.up(mark.y)) for mark in line.marks]
        run = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        known = [mark for mark in line.marks if math.isfinite(mark.high)]
        bars = [f'<path class="bar" d="M{self.across(m.x):.1f} {self.up(m.low):.1f}V{self.up(m.high):.1f}"/>' for m in known]
        return group(line, [f'<path class="run" d="M{run}"/>', *bars, *(dot(m, p, line) for m, p in zip(line.marks, points, strict=True))])

    def rule(self, value: float, said: str) -> str:
        x = self.across(value)
        return f'<path class="one" d="M{x:.1f} {TOP}V{self.high - BOTTOM}"/>{words(x - 4, TOP + 9, said, "end", "name")}'

    def draw(self, panel: Panel) -> Markup:
        head = words(LEFT, 14, panel.title or self.y.name, "start", "head")
        rules = (self.rule(value, said) for value, said in panel.rules)
        return svg([*self.grid(), *rules, head, *map(self.line, panel.lines)], (self.wide, self.high))


def panels(title: str, found: Sequence[Panel], x: Axis, y: Axis) -> Markup:
    """A panel beside the other, on the same scales; "" without a mark."""
    marks = [mark for panel in found for line in panel.lines for mark in line.marks]
    if not marks:
        return Markup("")
    bars = [end for mark in marks for end in (mark.low, mark.high) if math.isfinite(end)]
    ends = x.ends([mark.x for mark in marks]), y.ends([*(mark.y for mark in marks), *bars])
    frame = Frame(x, y, ends, *((250, 190) if len(found) > 1 else (620, 300)))
    shown = Markup('<div class="{}">{}</div>').format("panels" if len(found) > 1 else "panel", Markup("").join(map(frame.draw, found)))
    return figure(title, shown, [line for panel in found for line in panel.lines])


def forest(title: str, rows: Sequence[tuple[str, Sequence[Line]]], x: Axis) -> Markup:
    """A row for each name, a mark for each line of it, with its interval; a rule at 1. Drawn twice: where a page is narrow the names stand
    above their rows."""
    if not any(line.marks for _, lines in rows for line in lines):
        return Markup("")
    beside = Rows(640, 26, 8 + 6.8 * max(len(name) for name, _ in rows))
    drawn = Markup('<div class="panel wide">{}</div><div class="panel narrow">{}</div>').format(
        beside.draw(rows, x), Rows(340, 40, 12).draw(rows, x)
    )
    return figure(title, drawn, [line for _, lines in rows for line in lines])


@dataclass(frozen=True)
class Rows:
    """How rows are laid out: the width of all, the height of one, and where the scale begins."""

    wide: float
    step: float
    left: float

    def draw(self, rows: Sequence[tuple[str, Sequence[Line]]], x: Axis) -> Markup:
        marks = [mark for _, lines in rows for line in lines for mark in line.marks]
        x0, x1 = x.ends([1.0, *(value for m in marks for value in (m.x, m.low, m.high) if math.isfinite(value))])
        high, above = self.step * len(rows) + 52, self.left < 20
        low = high - BOTTOM - 8

        def at(value: float) -> float:
            return self.left + (x.at(value) - x0) / (x1 - x0) * (self.wide - self.left - RIGHT)

        parts = []
        for tick in x.between(x0, x1):
            parts.append(f'<path class="grid" d="M{at(tick):.1f} 8V{low}"/>')
            parts.append(words(at(tick), low + 14, x.word(tick), "middle"))
        parts.append(f'<path class="one" d="M{at(1):.1f} 4V{low}"/>')
        parts.append(words((self.wide + self.left) / 2, high - 6, x.name, "middle", "name"))
        for k, (name, lines) in enumerate(rows):
            y = 8 + self.step * (k + (0.7 if above else 0.5))
            label = words(self.left, y - 11, name, "start", "row") if above else words(self.left - 8, y + 4, name, "end", "row")
            parts.append(f'<path class="grid" d="M{self.left:.1f} {y:.1f}H{self.wide - RIGHT}"/>{label}')
            for line in lines:
                known = [m for m in line.marks if math.isfinite(m.high)]
                bars = [f'<path class="bar" d="M{at(m.low):.1f} {y:.1f}H{at(m.high):.1f}"/>' for m in known]
                parts.append(group(line, [*bars, *(dot(m, (at(m.x), y), line) for m in line.marks)]))
        return svg(parts, (self.wide, high))


def figure(title: str, drawn: Markup, lines: Sequence[Line]) -> Markup:
    """With a line that tells the value pointed at, and a legend, whose entries hide and show."""
    kinds = sorted({line.name: line for line in lines}.values(), key=lambda line: len(SHAPES) if line.look is None else line.look)
    legend = Markup("").join(map(entry, kinds))
    label = f"{title}. The arrow keys go through its values."
    return Markup(
        '<figure class="plot"><figcaption>{}</figcaption><div class="drawn" tabindex="0" role="group" aria-label="{}">{}</div>'
        '<p class="told" aria-live="polite"></p><ul class="legend">{}</ul></figure>'
    ).format(title, label, drawn, legend)


def entry(line: Line) -> Markup:
    shape = '<path class="run" d="M-5 0H5"/>' if line.look is None else f'<path class="dot" d="{SHAPES[line.look]}"/>'
    return Markup(
        '<li><button type="button" aria-pressed="true" class="{}" data-line="{}">'
        '<svg viewBox="-5 -5 10 10" aria-hidden="true">{}</svg>{}</button></li>'
    ).format(shade(line.look), line.name, Markup(shape), line.name)


def svg(parts: Sequence[str], size: tuple[float, float]) -> Markup:
    return Markup(f'<svg viewBox="0 0 {size[0]} {size[1]}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>')


def words(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def group(line: Line, parts: Sequence[str]) -> str:
    return f'<g class="line {shade(line.look)}" data-name="{escape(line.name)}">{"".join(parts)}</g>'


def dot(mark: Mark, at: tuple[float, float], line: Line) -> str:
    shape = SHAPES[line.look or 0]
    return f'<path class="dot" transform="translate({at[0]:.1f} {at[1]:.1f})" d="{shape}"><title>{escape(mark.said)}</title></path>'


def shade(look: int | None) -> str:
    return "grey" if look is None else f"s{look}"
