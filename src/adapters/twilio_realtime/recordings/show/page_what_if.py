"""The section of the page with what the bridge would have done under another configuration, beside
what it did."""

import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

from ..encoded_actions import action_name
from ..what_if import Hypothetical, WhatIf, WhatIfDifference
from .messages import describe_data, is_repetition
from .page_parts import time_button
from .transcript import shorten

__all__ = ["difference_text", "what_if_section"]

_MAX_CHARACTERS: Final = 400
"""Of one action: enough for a message without audio; the recording has all of it."""
_MAX_ACTIONS: Final = 20
"""Of one step: a burst of audio is as many messages as it has frames."""


def difference_text(difference: WhatIfDifference) -> str:
    """Return one line that says what is left out and what is added."""
    sides = (("without", difference.left_out), ("with", difference.added))
    parts = [f"{side} {', '.join(_names(actions))}" for side, actions in sides if actions]
    return "; ".join(parts) or "the same in another order or number"


def what_if_section(result: WhatIf) -> str:
    """Return the section as HTML."""
    settings = " ".join(result.settings)
    summary = "".join(f"<li>{each}</li>" for each in _summary(result))
    table = _table(result) if result.differences else ""
    return (
        '<section class="what-if" aria-labelledby="what-if-title">'
        '<h2 id="what-if-title">With another configuration</h2>'
        f'<p class="settings"><code>{escape(settings)}</code></p>'
        f"<ul>{summary}</ul>{table}</section>"
    )


def _summary(result: WhatIf) -> Iterator[str]:
    if result.differs_from_recording is not None:
        yield (
            "This version of the bridge does not do what was recorded from line "
            f"{result.differs_from_recording} on; it is compared with itself."
        )
    if result.server_interrupts is not None:
        yield (
            "The server would interrupt by itself."
            if result.server_interrupts
            else "The server would leave interruptions to the bridge."
        )
    if result.differences:
        steps, first = result.different_steps, result.differences[0]
        count = "1 step differs" if steps == 1 else f"{steps:,} steps differ"
        yield f"{count}, first at {time_button(first.at_ns)}: {escape(difference_text(first))}."
    else:
        yield "The bridge would have done the same."
    if result.hypothetical is not None:
        yield _hypothetical_text(result.hypothetical)


def _hypothetical_text(hypothetical: Hypothetical) -> str:
    return (
        f"Hypothetical from {time_button(hypothetical.at_ns)} on: {escape(hypothetical.cause)}, "
        "and the recording cannot tell what would have been answered."
    )


def _table(result: WhatIf) -> str:
    is_cut = result.different_steps > len(result.differences)
    only = f", the first {len(result.differences)} of them" if is_cut else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Steps that differ">'
        f'<table><caption class="hidden">Steps that differ{only}</caption><thead><tr>'
        '<th scope="col">time</th><th scope="col">input</th><th scope="col">recorded</th>'
        '<th scope="col">with the other configuration</th></tr></thead>'
        f"<tbody>{''.join(_rows(result.differences))}</tbody></table></div>"
        f"{f'<p class=help>The table has{only[1:]}.</p>' if is_cut else ''}"
    )


def _rows(differences: Sequence[WhatIfDifference]) -> Iterator[str]:
    for is_hypothetical, group in groupby(differences, lambda each: each.is_hypothetical):
        if is_hypothetical:
            yield (
                '<tr class="boundary"><th colspan="4" scope="rowgroup">Hypothetical from here on: '
                "the recording cannot tell what would have been answered</th></tr>"
            )
        for each in group:
            yield _row(each)


def _row(difference: WhatIfDifference) -> str:
    kind = ' class="hypothetical"' if difference.is_hypothetical else ""
    note = "<small>hypothetical</small>" if difference.is_hypothetical else ""
    place = "before line" if difference.is_extra else "line"
    return (
        f"<tr{kind}><td>{time_button(difference.at_ns)}{note}</td>"
        f'<td dir="auto">{escape(_input_name(difference))} '
        f"<small>{place} {difference.line}</small></td>"
        f"<td>{_actions(difference.left_out, difference.recorded_reasons)}</td>"
        f"<td>{_actions(difference.added, difference.other_reasons)}</td></tr>"
    )


def _actions(actions: Sequence[str], reasons: Iterable[tuple[str, str]]) -> str:
    items = [_action(each) for each in actions[:_MAX_ACTIONS]]
    if len(actions) > _MAX_ACTIONS:
        items.append(f"<li>{len(actions) - _MAX_ACTIONS:,} more</li>")
    done = f"<ul>{''.join(items)}</ul>" if items else "<em>nothing</em>"
    why = "; ".join(": ".join(each).replace("_", " ") for each in reasons)
    return f'{done}<p class="why">{escape(why)}</p>' if why else done


def _action(text: str) -> str:
    action = json.loads(text)
    if is_repetition(action):
        return f"<li>{escape(action_name(action))}</li>"
    detail = shorten(describe_data(_content(action)), _MAX_CHARACTERS)
    return (
        f"<li><details><summary>{escape(action_name(action))}</summary>"
        f'<pre dir="auto">{escape(detail)}</pre></details></li>'
    )


def _content(action: Any) -> Any:
    """Return what an action sends or notifies of; of another one the action itself."""
    match action:
        case {"@": "Send", "message": content} | {"@": "Notify", "event": content}:
            return content
        case _:
            return action


def _names(actions: Iterable[str]) -> list[str]:
    """Return the names of actions; those that follow each other are counted."""
    names: list[str] = []
    for name, group in groupby(action_name(json.loads(each)) for each in actions):
        count = sum(1 for _ in group)
        names.append(name if count == 1 else f"{count} × {name}")
    return names[:_MAX_ACTIONS]


def _input_name(difference: WhatIfDifference) -> str:
    """Return a name for the input of a step: of its message, its command, or its method."""
    method, *arguments = json.loads(difference.step_input)
    match method, arguments:
        case "handle_timeout", _:
            return "a timer expires"
        case "receive_text", [_, str(text)]:
            return _message_name(text)
        case "send", [{"@": str(command)}, *_]:
            return command[:80]
        case _:
            return str(method).replace("_", " ")[:80]


def _message_name(text: str) -> str:
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "not JSON"
    match message:
        case {"type": str(kind)} | {"event": str(kind)}:
            return kind[:80]
        case _:
            return "not JSON"
