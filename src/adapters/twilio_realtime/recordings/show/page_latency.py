"""The latencies of a call's turns, as a section of its page."""

from collections.abc import Callable, Iterator
from html import escape
from typing import Final, TypeAlias

from twilio_realtime_core.machine.units import MS

from .answer_functions import FunctionTime, function_time
from .call_view import CallView
from .times import describe_time
from .turns import LatencySummary, ShownTurn

__all__ = ["latency_section"]

_Position: TypeAlias = Callable[[float], float]

_STAGES: Final = ("noticed", "requested", "generated", "played")
_STRIP_WIDTH: Final = 400
_STRIP_HEIGHT: Final = 64
_PADDING: Final = 12
_STEPS_MS: Final = (100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
_MAX_TICKS: Final = 5
_FEW: Final = 10
"""Of fewer answers, nine in ten are all of them."""
_MAX_ROWS: Final = 1_000
"""The most turns in the table; an hour of talk has some six hundred."""


def latency_section(view: CallView) -> str:
    """Return the HTML of the distribution and of the table."""
    if not view.turns:
        return "<p>The caller has ended no turn.</p>"
    summary = view.latency
    longest_ns = max((sum(each or 0 for each in turn.stages_ns) for turn in view.turns), default=0)
    rows = "".join(
        _row(turn, function_time(turn, view.functions), longest_ns or 1)
        for turn in view.turns[:_MAX_ROWS]
    )
    strip = "" if summary is None else _strip(view, summary)
    head = "".join(f'<th scope="col" class="{name}">{name}</th>' for name in _STAGES)
    return (
        f'{strip}<div class="scroll"><table class="turns"><thead><tr><th scope="col">speech '
        f'ended</th>{head}<th scope="col">total</th><th scope="col" class="bar">'
        f"stages</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(turn: ShownTurn, functions: FunctionTime | None, longest_ns: int) -> str:
    at_ms, time = round(turn.speech_end_ns / MS, 2), describe_time(turn.speech_end_ns)
    values = [("—" if each is None else f"{each / MS:,.0f}") for each in turn.stages_ns]
    if functions is not None:
        part = f"{functions.names} {functions.duration_ns / MS:,.0f}"
        values[_STAGES.index("generated")] += f"<small>{escape(part)}</small>"
    cells = "".join(f"<td>{each}</td>" for each in values)
    total = "no answer" if turn.latency_ns is None else f"{turn.latency_ns / MS:,.0f} ms"
    kind = ' class="greeting"' if turn.is_greeting else ""
    label = "<small>greeting</small>" if turn.is_greeting else ""
    return (
        f'<tr{kind}><td><button type="button" class="time" data-at="{at_ms}">'
        f"{time}</button>{label}</td>{cells}<td><b>{total}</b></td>"
        f'<td class="bar">{_bar(turn, functions, longest_ns)}</td></tr>'
    )


def _bar(turn: ShownTurn, functions: FunctionTime | None, longest_ns: int) -> str:
    parts: list[str] = []
    left = 0.0
    for name, each in zip(_STAGES, turn.stages_ns, strict=True):
        width = 200 * (each or 0) / longest_ns
        if width:
            parts.append(
                f'<rect class="{name}" x="{left:.1f}" y="0" width="{width:.1f}" height="12"/>'
            )
        left += width
    if functions is not None:
        x = 200 * (functions.start_ns - turn.speech_end_ns) / longest_ns
        width = 200 * functions.duration_ns / longest_ns
        shape = f'x="{x:.1f}" y="3" width="{width:.1f}" height="6"'
        parts.append(f'<rect class="function-time" {shape}/>')
    attributes = 'viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true"'
    return f"<svg {attributes}>{''.join(parts)}</svg>"


def _strip(view: CallView, summary: LatencySummary) -> str:
    """The latency of each turn as a dot on a line, with the median and the 90th percentile."""
    found = [
        turn.latency_ns / MS
        for turn in view.turns
        if turn.latency_ns is not None and not turn.is_greeting
    ]
    step_ms = next(
        (each for each in _STEPS_MS if summary.longest_ms / each <= _MAX_TICKS), _STEPS_MS[-1]
    )
    end_ms = step_ms * (summary.longest_ms // step_ms + 1)

    def x(ms: float) -> float:
        return _PADDING + (_STRIP_WIDTH - 2 * _PADDING) * ms / end_ms

    words = _summary(summary)
    if summary.count == 1:
        return f"<p>{words}</p>"
    drawn = "".join(_strip_parts(found, x, step_ms, end_ms, summary))
    return (
        f'<p>{words}</p><svg class="strip" viewBox="0 0 {_STRIP_WIDTH} {_STRIP_HEIGHT}" role="img" '
        f'aria-label="{words}">{drawn}</svg>'
    )


def _summary(summary: LatencySummary) -> str:
    if summary.count == 1:
        return f"One answer, which took {summary.longest_ms:,} ms."
    few = "" if summary.count < _FEW else f"nine in ten at most {summary.p90_ms:,} ms, "
    return (
        f"{summary.count} answers: the median took {summary.median_ms:,} ms, "
        f"{few}the slowest {summary.longest_ms:,} ms."
    )


def _strip_parts(
    found: list[float], x: _Position, step_ms: int, end_ms: int, summary: LatencySummary
) -> Iterator[str]:
    for ms in range(0, end_ms + 1, step_ms):
        yield f'<line class="grid" x1="{x(ms):.1f}" x2="{x(ms):.1f}" y1="16" y2="46"/>'
        anchor = "start" if ms == 0 else "end" if ms == end_ms else "middle"
        label = f"{ms / 1000:g} s"
        yield f'<text class="tick" x="{x(ms):.1f}" y="61" text-anchor="{anchor}">{label}</text>'
    for latency_ms in found:
        yield f'<circle cx="{x(latency_ms):.1f}" cy="31" r="5"/>'
    middle = x(summary.median_ms)
    yield f'<line class="median" x1="{middle:.1f}" x2="{middle:.1f}" y1="14" y2="48"/>'
    anchor = "end" if middle > _STRIP_WIDTH - 60 else "start" if middle < 60 else "middle"  # noqa: PLR2004
    yield f'<text class="median" x="{middle:.1f}" y="10" text-anchor="{anchor}">median</text>'
