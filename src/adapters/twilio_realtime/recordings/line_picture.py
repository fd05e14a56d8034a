"""The picture of a line: a histogram for each quantity, as text and as SVG."""

from itertools import pairwise
from typing import Final

from ..sim.line_profile import Distribution, LineProfile

__all__ = ["TITLES", "draw_bars", "draw_svg"]

TITLES: Final = {
    "round_trip_ms": "round trip to the player, ms",
    "jitter_ms": "jitter of a message, ms",
    "start_delay_ms": "start delay of the player, ms",
    "start_delay_varies_ms": "and of each burst more, ms",
    "frame_gap_ms": "between the caller's frames, ms",
    "response_ms": "end of speech to first audio, ms",
    "first_audio_ms": "response to its first audio, ms",
    "audio_speed": "audio generated, times real time",
}
"""What each distribution is, for people."""

_BARS: Final = " ▁▂▃▄▅▆▇█"
_COLUMNS: Final = 2
_WIDTH, _PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN = 760, 350, 120, 20
_BIN_COUNT: Final = 35
_INK, _FAINT, _BAR = "#1f2937", "#6b7280", "#059669"


def _shares(distribution: Distribution, bins: int) -> list[float]:
    """The share of the samples in each of so many bins from the lowest value to the highest."""
    quantiles = distribution.quantiles
    low, width = quantiles[0], (quantiles[-1] - quantiles[0]) / bins
    step = 1 / (len(quantiles) - 1)
    shares = [0.0] * bins
    if not width:
        shares[0] = 1.0
        return shares
    for below, above in pairwise(quantiles):
        for number in range(bins):
            start, end = low + number * width, low + (number + 1) * width
            if above == below:
                inside = float(start <= below < end or (number == bins - 1 and below == end))
            else:
                inside = max(0.0, min(above, end) - max(below, start)) / (above - below)
            shares[number] += step * inside
    return shares


def draw_bars(distribution: Distribution, width: int) -> str:
    """Return a histogram as a line of `width` characters."""
    shares = _shares(distribution, width)
    most = max(shares)
    return "".join(
        _BARS[0 if not share else max(1, round(share / most * (len(_BARS) - 1)))]
        for share in shares
    )


def draw_svg(profile: LineProfile) -> str:
    """Return the histograms of all that is known as an SVG picture."""
    known = profile.distributions
    rows = -(-len(known) // _COLUMNS)
    height = rows * _PANEL_HEIGHT + 2 * _MARGIN
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
            'font-family="system-ui, sans-serif" font-size="12">'
        ),
        f"<title>How a line behaves, learned from recordings of {profile.calls} calls</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for number, (name, distribution) in enumerate(known.items()):
        row, column = divmod(number, _COLUMNS)
        left = _MARGIN + column * (_PANEL_WIDTH + _MARGIN)
        parts += _draw_panel(TITLES[name], distribution, left, _MARGIN + row * _PANEL_HEIGHT)
    return "\n".join([*parts, "</svg>\n"])


def _draw_panel(title: str, distribution: Distribution, left: int, top: int) -> list[str]:
    shares = _shares(distribution, _BIN_COUNT)
    most = max(shares)
    floor, tallest, width = top + 84, 60, _PANEL_WIDTH / _BIN_COUNT
    bars = [
        (
            f'<rect x="{left + number * width:.1f}" y="{floor - tallest * share / most:.1f}" '
            f'width="{width - 1:.1f}" height="{tallest * share / most:.1f}" fill="{_BAR}"/>'
        )
        for number, share in enumerate(shares)
        if share
    ]
    lowest, highest = (f"{each:,.1f}" for each in (distribution.quantiles[0], distribution.highest))
    return [
        _text(left, top + 14, title, _INK),
        _text(
            left + _PANEL_WIDTH,
            top + 14,
            f"median {distribution.median:,.1f} of {distribution.samples}",
            _FAINT,
            "end",
        ),
        *bars,
        f'<path d="M{left} {floor}H{left + _PANEL_WIDTH}" stroke="{_FAINT}"/>',
        _text(left, floor + 15, lowest, _FAINT),
        _text(left + _PANEL_WIDTH, floor + 15, highest, _FAINT, "end"),
    ]


def _text(left: float, top: float, words: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{left:g}" y="{top:g}" fill="{colour}" text-anchor="{anchor}">{words}</text>'
