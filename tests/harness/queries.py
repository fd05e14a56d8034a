"""Every query of the core: what answers a question about a call, and must change nothing.

asked = query_all(bridge, now)
"""

import inspect
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from itertools import islice
from typing import Any, Final, cast

from twilio_realtime_core import Bridge, LocalProtocolError, Peer, RealtimeLink
from twilio_realtime_core.downlink.play_queue import Burst
from twilio_realtime_core.machine.timers import Timer
from twilio_realtime_core.protocols.realtime import CreateResponse, DeleteItem, ServerError
from twilio_realtime_core.responses.request import Request
from twilio_realtime_core.responses.responses import ResponseRecord
from twilio_realtime_core.values.items import FunctionOutput
from twilio_realtime_core.values.playback_position import Clip

__all__ = ["query_all"]

_PREFIXES: Final = ("is_", "has_", "can_", "check_", "starts_")

_LOOKUPS: Final = frozenset(
    {
        "evaluate",
        "get",
        "heard_ms",
        "of_item",
        "plan_reset",
        "playback_positions",
        "position_at",
        "positions",
        "reached_at_ns",
        "samples_before",
        "silence_due_at_ns",
        "snapshot",
        "split_at_cut",
        "split_transcript",
        "to_part",
        "wanted",
    }
)
"""Queries by another name; `evaluate` is that of the interruption gate."""

_ARGUMENTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "approval_request_id": ("unknown",),
    "burst": (Burst(0, 0, 0),),
    "call_id": ("unknown",),
    "clip": (Clip(99, "unknown", 1),),
    "content_index": (0, 1),
    "described": (None,),
    "events": (0, 1, 1000),
    "error": (ServerError("no", event_id="unknown"), ServerError("response.create")),
    "heard_ms": (0, 1000),
    "is_speaking": (True, False),
    "item_id": ("r0i0", "unknown"),
    "items": ((),),
    "event": (DeleteItem("unknown"),),
    "item": (FunctionOutput("unknown", "unknown"),),
    "link": (Peer.REALTIME, RealtimeLink(99)),
    "name": ("0", "unknown"),
    "position": (0, 1, 10**9),
    "record": (ResponseRecord("unknown"),),
    "request": (Request(CreateResponse(), 1, is_automatic=True, item_keys=("unknown",)),),
    "response_id": ("r0", "unknown"),
    "samples": (0, 160, 10**9),
    "speech": ("r0", Clip(99, "unknown", 1)),
    "speech_ms": (0, 1000),
    "timer": tuple(Timer),
}
"""What a query is called with, by the name of its parameter."""

_MOST: Final = 3
"""How many values of a collection are queried."""


def query_all(bridge: Bridge, now: int) -> set[str]:
    """Call every query of a bridge and of all its parts. Returns their qualified names."""
    instants = {"now": (now,), "instant_ns": (0, now)}
    return {
        f"{type(part).__qualname__}.{name}"
        for part in _parts_of(bridge)
        for name in _queries_of(cast("Hashable", type(part)))
        if _query(part, name, {**_ARGUMENTS, **instants})
    }


def _query(part: object, name: str, arguments: Mapping[str, tuple[Any, ...]]) -> bool:
    if isinstance(inspect.getattr_static(type(part), name), property):
        getattr(part, name)
        return True
    method = getattr(part, name)
    parameters = inspect.signature(method).parameters
    for index in range(max((len(arguments[each]) for each in parameters), default=1)):
        chosen = {each: arguments[each][index % len(arguments[each])] for each in parameters}
        with suppress(LocalProtocolError):  # what a check says
            method(**chosen)
    return True


@cache
def _queries_of(kind: Hashable) -> tuple[str, ...]:
    return tuple(
        name
        for name, member in inspect.getmembers_static(kind)
        if isinstance(member, property)
        or (inspect.isfunction(member) and (name.startswith(_PREFIXES) or name in _LOOKUPS))
    )


def _parts_of(bridge: Bridge) -> list[object]:
    """The bridge, and all objects of the core that it holds."""
    found: dict[int, object] = {}
    queued = deque[object]([bridge])
    while queued:
        part = queued.popleft()
        if id(part) not in found:
            found[id(part)] = part
            queued.extend(each for value in _values_of(part) for each in _flattened(value))
    return list(found.values())


def _values_of(part: object) -> Iterator[object]:
    yield from getattr(part, "__dict__", {}).values()
    for kind in type(part).__mro__:
        slots: Iterable[str] = vars(kind).get("__slots__", ())
        yield from (getattr(part, name, None) for name in slots if name not in _SPECIAL)


_SPECIAL: Final = ("__weakref__", "__dict__")


def _flattened(value: object) -> Iterator[object]:
    match value:
        case dict():
            pairs = cast("dict[object, object]", value).items()
            yield from (each for pair in _some(pairs) for each in _flattened(pair))
        case list() | tuple() | set() | deque():
            members = cast("Iterable[object]", value)
            yield from (each for member in _some(members) for each in _flattened(member))
        case Enum():
            pass
        case _ if type(value).__module__.startswith("twilio_realtime_core."):
            yield value
        case _:
            pass


def _some(values: Iterable[object]) -> Iterator[object]:
    return islice(values, _MOST)
