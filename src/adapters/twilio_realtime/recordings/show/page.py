"""The page of a call: one HTML file that needs no network, and may use none.

The words, the figures and the tables are in the HTML; the scripts draw the lanes, play the voices
and show the messages of a moment. The policy of the page names the scripts and styles by their
hashes, so that nothing else runs in it, whatever was said in the call.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final

from twilio_realtime_core.machine.units import MS, SECOND

from ..what_if import WhatIf
from .call_view import CallView, view_call
from .events import ShownEventKind
from .explanations import explain_reason
from .findings import Finding, find_moments
from .messages import MessageEntry, Messages
from .page_data import page_data
from .page_latency import latency_section
from .page_parts import time_button
from .page_what_if import what_if_section
from .times import describe_duration, describe_instant
from .transcript import Speaker, TranscriptEntry, shorten

__all__ = ["SCRIPTS", "render_page", "render_recording"]

SCRIPTS: Final = (
    *(
        "model.js",
        "view.js",
        "chips.js",
        "lanes.js",
        "what_if.js",
        "answers.js",
        "player.js",
        "moment.js",
        "main.js",
    ),
)
"""The scripts of the page, in the order in which they run; they share their top-level names."""

_ASSETS: Final = files(__name__.rpartition(".")[0]) / "assets"
_STYLE: Final = "page.css"
_TEMPLATE: Final = "page.html"


def render_page(
    view: CallView,
    messages: Sequence[MessageEntry],
    *,
    title: str,
    with_audio: bool = True,
    what_if: WhatIf | None = None,
) -> str:
    """Return the page of a call as HTML. `with_audio`: the voices can be played, if the recording
    has them. `what_if`: what the bridge would have done under another configuration, to be shown
    beside what it did."""
    style = _asset(_STYLE)
    scripts = [_asset(name) for name in SCRIPTS]
    data = page_data(view, messages, what_if)
    parts = {
        "policy": _policy(style, scripts),
        "style": style,
        "title": escape(title),
        "subtitle": escape(_subtitle(view)),
        "notices": "".join(f"<li>{escape(each)}</li>" for each in view.notices),
        "figures": "".join(_figures(view)),
        "findings": "".join(map(_finding, find_moments(view))),
        "transcript": "".join(map(_transcript_entry, view.transcript)),
        "what_if": "" if what_if is None else what_if_section(what_if),
        "latency": latency_section(view),
        "events": "".join(_events(view)),
        "data": _inert_json(data),
        "audio": "".join(_audio(view)) if with_audio and view.has_audio else "",
        "scripts": "\n".join(f"<script>{each}</script>" for each in scripts),
    }
    return _fill(_asset(_TEMPLATE), parts)


def render_recording(lines: Iterable[bytes], *, title: str, with_audio: bool = True) -> str:
    """Return the page of a recording as HTML. Raises `UsageError` for what is no recording."""
    messages = Messages()
    view = view_call(lines, messages.add_step)
    return render_page(view, messages.entries, title=title, with_audio=with_audio)


def _fill(template: str, parts: dict[str, str]) -> str:
    """Put the parts in place of their names in the template; a part may hold any text."""
    first, *rest = template.split("{{")
    pieces = [first]
    for each in rest:
        name, _, after = each.partition("}}")
        pieces += (parts[name], after)
    # JSON may hold halves of characters, which no text can be encoded with.
    return "".join(pieces).encode(errors="replace").decode()


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


def _policy(style: str, scripts: Sequence[str]) -> str:
    def hashes(texts: Sequence[str]) -> str:
        digests = (b64encode(sha256(each.encode()).digest()).decode() for each in texts)
        return " ".join(f"'sha256-{each}'" for each in digests)

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes([style])}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _inert_json(data: Any) -> str:
    """Return JSON that cannot end the element it stands in: `<` only occurs in strings."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _subtitle(view: CallView) -> str:
    parts = [] if view.recorded_at is None else [describe_instant(view.recorded_at)]
    is_known = view.end_reason is not None
    parts.append(f"ended: {view.end_reason}" if is_known else "the end is not recorded")
    return " · ".join(parts)


def _figures(view: CallView) -> Iterator[str]:
    latency = view.latency
    median = "—" if latency is None else f"{latency.median_ms:,} ms"
    longest = "—" if latency is None else f"{latency.longest_ms:,} ms"
    unheard_ns = sum(each.end_ns - each.start_ns for each in view.playback.cut)
    faults = view.count(ShownEventKind.FAULT)
    is_cleared = view.count(ShownEventKind.CLEAR) > 0
    cut = "Cut speech" if is_cleared or not unheard_ns else "Cut by the end of the call"
    for name, value, kind in (
        ("Duration", describe_duration(view.duration_ns), ""),
        ("Answers", str(0 if latency is None else latency.count), ""),
        ("Median answer", median, ""),
        ("Slowest answer", longest, ""),
        ("Interruptions", str(view.count(ShownEventKind.INTERRUPTION)), ""),
        (cut, f"{unheard_ns / SECOND:.1f} s", ""),
        ("Faults", str(faults), " class=bad" if faults else ""),
    ):
        yield f"<div{kind}><dt>{name}</dt><dd>{escape(value)}</dd></div>"


def _finding(finding: Finding) -> str:
    return f"<li>{time_button(finding.at_ns)}<span>{escape(finding.text)}</span></li>"


def _transcript_entry(entry: TranscriptEntry) -> str:
    is_caller = entry.speaker is Speaker.CALLER
    words = _words(entry)
    seconds = f"{(entry.end_ns - entry.at_ns) / SECOND:.1f} s"
    if entry.is_text:
        note = "written"
    elif is_caller:
        note = seconds
    elif entry.is_cut:
        note = f"heard {(entry.heard_ms or 0) / 1000:.1f} of {(entry.sent_ms or 0) / 1000:.1f} s"
    else:
        note = seconds
    name = "Caller" if is_caller else "Agent"
    kind = f"{entry.speaker.value}{' cut' if entry.is_cut else ''}"
    span = f'data-at="{entry.at_ns / MS:.2f}" data-end="{entry.end_ns / MS:.2f}"'
    return (
        f'<li class="{kind}" {span}>{time_button(entry.at_ns)}'
        f'<div><h3>{name} <small>{note}</small></h3><p dir="auto">{words}</p></div></li>'
    )


def _words(entry: TranscriptEntry) -> str:
    if not entry.heard and not entry.unheard:
        return "<em>no transcript</em>"
    heard = escape(shorten(entry.heard or ""))
    if not entry.unheard:
        return heard
    unheard = escape(shorten(entry.unheard))
    return f'{heard}<del><span class="hidden"> not heard: </span>{unheard}</del>'


def _events(view: CallView) -> Iterator[str]:
    for each in view.events:
        why = " ".join(map(explain_reason, each.reasons))
        kind = each.kind.value
        yield (
            f'<tr class="{kind}"><td>{time_button(each.at_ns)}</td><td>{kind}</td>'
            f'<td dir="auto">{escape(each.text)}</td><td>{escape(why)}</td></tr>'
        )


def _audio(view: CallView) -> Iterator[str]:
    for name, track in (("caller", view.caller_track()), ("agent", view.agent_track())):
        encoded = b64encode(track).decode()
        attributes = f'type="text/plain" id="{name}-audio"'
        yield f"<script {attributes}>data:audio/basic;base64,{encoded}</script>"
