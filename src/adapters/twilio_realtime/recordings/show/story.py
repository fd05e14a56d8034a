"""The story of a call for the terminal: who spoke when, what was heard and cut, and how fast."""

from collections.abc import Iterable, Iterator

from rich.text import Text

from twilio_realtime_core.machine.units import MS, SECOND, ns_to_ms

from .call_view import CallView
from .events import ShownEvent, ShownEventKind
from .findings import find_moments
from .times import describe_duration, describe_instant
from .transcript import Speaker, TranscriptEntry, shorten
from .turns import ShownTurn

__all__ = ["tell_story"]

_MAX_CHARACTERS = 400
"""The most words of one entry that are printed; the page has more."""

_STYLES = {
    ShownEventKind.CLEAR: "bold red",
    ShownEventKind.TRUNCATE: "bold red",
    ShownEventKind.DELETE: "bold red",
    ShownEventKind.INTERRUPTION: "yellow",
    ShownEventKind.HELD: "yellow",
    ShownEventKind.FAULT: "bold red",
    ShownEventKind.WARNING: "yellow",
    ShownEventKind.KEY: "blue",
}


def tell_story(view: CallView) -> Iterator[Text]:
    """Yield the lines of the story."""
    yield _headline(view)
    for notice in view.notices:
        yield Text(f"  {notice}", "yellow")
    yield Text()
    yield from _entries(view)
    if view.turns:
        yield Text()
        yield from _latencies(view)
    findings = find_moments(view)
    if findings:
        yield Text()
        yield Text("  worth a look", "bold")
    for each in findings:
        yield Text.assemble((f"{each.at_ns / SECOND:8.2f} s  ", "dim"), _printable(each.text))


def _headline(view: CallView) -> Text:
    parts = [describe_duration(view.duration_ns)]
    if view.recorded_at is not None:
        parts.insert(0, describe_instant(view.recorded_at))
    parts.append(view.end_reason or "the end is not recorded")
    return Text(_printable(" · ".join(parts)), "bold")


def _entries(view: CallView) -> Iterable[Text]:
    lines = [(each.at_ns, 1, _speech_line(each)) for each in view.transcript]
    lines += [(each.at_ns, 0, _event_line(each)) for each in view.events]
    for each in view.functions:
        took = "no output was sent"
        if each.answered_ns is not None:
            duration_ms = ns_to_ms(each.answered_ns - each.requested_ns)
            took = f"its output was sent after {duration_ms:,} ms"
        line = _line(each.requested_ns, "function", f"{each.name}: {took}")
        lines.append((each.requested_ns, 0, line))
    return (line for _, _, line in sorted(lines, key=lambda each: each[:2]))


def _line(at_ns: int, what: str, text: str, style: str = "") -> Text:
    return Text.assemble(
        (f"{at_ns / SECOND:8.2f} s  ", "dim"), (f"{what:13}", style), _printable(text)
    )


def _speech_line(entry: TranscriptEntry) -> Text:
    is_caller = entry.speaker is Speaker.CALLER
    style = "blue" if is_caller else "green"
    line = _line(entry.at_ns, entry.speaker.value, "", style)
    seconds = f"{(entry.end_ns - entry.at_ns) / SECOND:.1f} s"
    if not (entry.heard or entry.unheard):
        line.append("speaks, without a transcript")
    else:
        line.append(f"“{_printable(shorten(entry.heard or '', _MAX_CHARACTERS))}")
        if entry.unheard:
            unheard = _printable(shorten(entry.unheard, _MAX_CHARACTERS))
            line.append(f"[not heard: {unheard}]", "strike dim")
        line.append("”")
    if entry.is_text:
        line.append("  written", "dim")
    elif is_caller:
        line.append(f"  {seconds}", "dim")
    elif entry.is_cut:
        line.append(f"  heard {entry.heard_ms or 0:,} of {entry.sent_ms or 0:,} ms", "yellow")
    else:
        line.append(f"  {seconds}", "dim")
    return line


def _event_line(event: ShownEvent) -> Text:
    kind = event.kind
    reasons = [f"{each.decision}: {each.reason}".replace("_", " ") for each in event.reasons]
    if kind is ShownEventKind.DECISION:
        line = _line(event.at_ns, kind.value, ", ".join(reasons))
        line.stylize("dim")
        return line
    line = _line(event.at_ns, kind.value, event.text, _STYLES.get(kind, ""))
    for each in reasons:
        line.append(f"  ({_printable(each)})", "dim")
    return line


def _latencies(view: CallView) -> Iterator[Text]:
    yield Text("  speech ended     noticed   request   first audio   heard      total", "dim")
    for turn in view.turns:
        yield _turn_line(turn)
    summary = view.latency
    if summary is not None:
        yield Text(
            f"  {summary.count} answered turn{'s' * (summary.count != 1)}: "
            f"median {summary.median_ms:,} ms, "
            f"90 % within {summary.p90_ms:,} ms, longest {summary.longest_ms:,} ms",
            "bold",
        )


def _turn_line(turn: ShownTurn) -> Text:
    cells = ["—" if each is None else f"+{each / MS:,.0f} ms" for each in turn.stages_ns]
    total = "not answered" if turn.latency_ns is None else f"{turn.latency_ns / MS:,.0f} ms"
    noticed, request, delta, heard = cells
    what = "  greeting" if turn.is_greeting else ""
    text = (
        f"{turn.speech_end_ns / SECOND:12.2f} s {noticed:>11} {request:>9} {delta:>13} {heard:>7}"
    )
    return Text(f"{text} {total:>10}{what}")


def _printable(text: str) -> str:
    """Replace characters that could control a terminal, or the order of a line."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
