"""Draws bars as SVG: a panel for each scale, the spread as a line, what is aimed at as a mark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 860
LABELS = 270
BARS = 400
ROW = 26
BAR = 14
HEAD = 44
MARGIN = 16
MET, MISSED, PLAIN = "#2f7d5b", "#b5552b", "#5b6f8f"
INK, FAINT = "#222222", "#d5d9e0"


@dataclass(frozen=True, slots=True)
class Bar:
    """A median with its spread, and what is aimed at."""

    title: str
    value: float
    lowest: float
    highest: float
    per_second: int | Sequence[int]
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of one scale. `is_less_better` where a mark is what a bar may reach at most."""

    title: str
    bars: Sequence[Bar]
    is_less_better: bool = False

    @property
    def height(self) -> int:
        """In pixels."""
        return HEAD + ROW * len(self.bars)


def draw(panels: Sequence[Panel]) -> str:
    """An SVG document of all panels, one below the other."""
    legend = HEAD
    height = MARGIN + sum(panel.height + MARGIN for panel in panels) + legend
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    top = MARGIN
    for panel in panels:
        parts += _panel(panel, top)
        top += panel.height + MARGIN
    parts += [*_legend(top), "</svg>"]
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, top: int) -> list[str]:
    scale = BARS / max(max(bar.highest, bar.mark or 0, 1) for bar in panel.bars)
    first, bottom = top + HEAD - 8, top + panel.height - 4
    # Where the base itself would end.
    one = LABELS + scale
    parts = [
        f'<text x="{MARGIN}" y="{top + 20}" font-weight="bold">{escape(panel.title)}</text>',
        _line(LABELS, first, LABELS, bottom, INK),
        _line(one, first, one, bottom, FAINT),
        f'<text x="{one:.1f}" y="{first - 3}" font-size="11" text-anchor="middle">1</text>',
    ]
    for number, bar in enumerate(panel.bars):
        parts += _bar(bar, top + HEAD + number * ROW, scale, panel.is_less_better)
    return parts


def _bar(bar: Bar, top: int, scale: float, is_less_better: bool) -> list[str]:
    middle, right = top + BAR / 2, LABELS + bar.value * scale
    low, high = LABELS + bar.lowest * scale, LABELS + bar.highest * scale
    parts = [
        f'<text x="{LABELS - 8}" y="{top + 11}" text-anchor="end">{escape(bar.title)}</text>',
        f'<rect x="{LABELS}" y="{top}" width="{right - LABELS:.1f}" height="{BAR}" '
        f'fill="{_colour(bar, is_less_better)}"/>',
        _line(low, middle, high, middle, INK),
        _line(low, middle - 4, low, middle + 4, INK),
        _line(high, middle - 4, high, middle + 4, INK),
    ]
    end = high
    if bar.mark is not None:
        mark = LABELS + bar.mark * scale
        parts.append(_line(mark, top - 4, mark, top + BAR + 4, INK, 'stroke-dasharray="3 2"'))
        end = max(high, mark)
    rates = [bar.per_second] if isinstance(bar.per_second, int) else bar.per_second
    told = f"{bar.value:.2f}  ({' / '.join(f'{rate:,}' for rate in rates)} a second)"
    parts.append(f'<text x="{end + 8:.1f}" y="{top + 11}" font-size="12">{told}</text>')
    return parts


def _colour(bar: Bar, is_less_better: bool) -> str:
    if bar.mark is None:
        return PLAIN
    is_met = bar.value <= bar.mark if is_less_better else bar.value >= bar.mark
    return MET if is_met else MISSED


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'
    )


def _legend(top: int) -> list[str]:
    told = [(MET, "aim met"), (MISSED, "aim missed"), (PLAIN, "no aim set")]
    parts = []
    for number, (colour, text) in enumerate(told):
        left = MARGIN + number * 110
        parts += [
            f'<rect x="{left}" y="{top}" width="{BAR}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{left + 20}" y="{top + 12}" font-size="12">{text}</text>',
        ]
    left = MARGIN + len(told) * 110
    return [
        *parts,
        _line(left, top - 2, left, top + BAR + 2, INK, 'stroke-dasharray="3 2"'),
        f'<text x="{left + 8}" y="{top + 12}" font-size="12">what is aimed at</text>',
        _line(left + 130, top + BAR / 2, left + 160, top + BAR / 2, INK),
        f'<text x="{left + 168}" y="{top + 12}" font-size="12">lowest to highest round</text>',
    ]
