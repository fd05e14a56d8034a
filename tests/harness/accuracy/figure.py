"""Draws the errors of all algorithms as distributions, a panel for each world."""

import math
from statistics import median
from typing import Final

from .measuring import OURS, Results, quantile
from .worlds import WORLDS

__all__ = ["draw"]

COLUMNS: Final = 3
NAMES, PANEL, ROW, HEAD, FOOT = 200, 250, 15, 34, 26
LOWEST_MS, HIGHEST_MS = 0.5, 10_000.0
TICKS: Final = {1: "1 ms", 10: "10", 100: "100", 1_000: "1 s", 10_000: "10 s"}
FRAME_MS: Final = 20
GOOD, OTHER, INK, FAINT, GRID = "#059669", "#d97706", "#1f2937", "#9ca3af", "#e5e7eb"


def draw(results: dict[str, dict[str, Results]]) -> str:
    """The picture, as SVG: for each algorithm the middle half of its errors as a bar, a line from
    the 5th to the 95th percentile, and the median."""
    names = _ordered(results)
    rows = math.ceil(len(results) / COLUMNS)
    height = HEAD + ROW * len(names) + FOOT
    width = NAMES + COLUMNS * PANEL + 16
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {rows * height + 8}" '
            'role="img" font-family="system-ui, sans-serif" font-size="11">'
        ),
        "<title>How far what was told is from what was heard, by world and algorithm</title>",
        f'<rect width="{width}" height="{rows * height + 8}" rx="8" fill="#ffffff"/>',
    ]
    for number, (world, found) in enumerate(results.items()):
        row, column = divmod(number, COLUMNS)
        left, top = NAMES + column * PANEL, row * height
        if column == 0:
            parts += [
                _text(left - 10, top + HEAD + ROW * index + 11, name, _colour(name), "end")
                for index, name in enumerate(names)
            ]
        parts += _panel(world, [(name, found[name]) for name in names], left, top)
    return "\n".join([*parts, "</svg>\n"])


def _ordered(results: dict[str, dict[str, Results]]) -> list[str]:
    """All algorithms, those first that are right in most worlds."""

    def typical(name: str) -> float:
        return median(median(found[name].errors) for found in results.values())

    names = next(iter(results.values()))
    return sorted(names, key=lambda name: (name != OURS, typical(name)))


def _panel(world: str, found: list[tuple[str, Results]], left: int, top: int) -> list[str]:
    what = next(each.what for each in WORLDS if each.name == world)
    bottom = top + HEAD + ROW * len(found)
    parts = [
        f"<g><title>{what}</title>",
        f'<text x="{left}" y="{top + 22}" fill="{INK}" font-weight="600">{world}</text>',
        (
            f'<rect x="{_x(LOWEST_MS, left):.1f}" y="{top + HEAD}" '
            f'width="{_x(FRAME_MS, left) - left:.1f}" height="{bottom - top - HEAD}" '
            'fill="#ecfdf5"/>'
        ),
    ]
    for tick, label in TICKS.items():
        x = _x(tick, left)
        parts.append(f'<path d="M{x:.1f} {top + HEAD}V{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 13, label, FAINT, "middle"))
    for index, (name, each) in enumerate(found):
        parts.append(_row(name, each.errors, left, top + HEAD + ROW * index + 7.5))
    return [*parts, "</g>"]


def _row(name: str, errors: list[float], left: int, y: float) -> str:
    low, begin, middle, end, high = (
        _x(quantile(errors, share), left) for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    colour = _colour(name)
    return (
        f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{colour}"/>'
        f'<path d="M{begin:.1f} {y}H{max(end, begin + 1):.1f}" stroke="{colour}" '
        'stroke-width="6" stroke-opacity="0.45"/>'
        f'<circle cx="{middle:.1f}" cy="{y}" r="2.5" fill="{colour}"/>'
    )


def _x(ms: float, left: int) -> float:
    """Where an error lies: on a logarithmic scale, those below the lowest at its begin."""
    share = math.log(max(ms, LOWEST_MS) / LOWEST_MS) / math.log(HIGHEST_MS / LOWEST_MS)
    return left + (PANEL - 30) * min(1.0, share)


def _colour(name: str) -> str:
    return GOOD if name == OURS else OTHER


def _text(x: float, y: float, words: str, colour: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:g}" fill="{colour}" text-anchor="{anchor}">{words}</text>'
