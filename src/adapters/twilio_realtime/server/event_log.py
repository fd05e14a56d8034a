"""The log of a service: events with fields, through the standard library's `logging`.

Each event is a record of the logger `twilio_realtime`: the attribute `event` is its name, such as
`call.ended`, its fields are attributes as well (`extra`), and the message shows both. So any
handler can write them; `log_output` has one that never makes a call wait. No field holds a key, a
token, a phone number, words or audio.
"""

import logging
import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from threading import Lock
from time import monotonic_ns
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from attrs import define, field, frozen

from twilio_realtime_core.errors import redact
from twilio_realtime_core.machine.units import SECOND

__all__ = [
    "LOGGER",
    "MAX_LIKE_LINES",
    "MAX_LINES",
    "WINDOW_NS",
    "EventLog",
    "LogFieldValue",
    "hide_path",
]

LOGGER: Final = logging.getLogger("twilio_realtime")
"""The logger of all events."""
LOGGER.addHandler(logging.NullHandler())  # without it, warnings would be printed to stderr

WINDOW_NS: Final = 10 * SECOND
"""How long like lines are counted before a line with their number is written."""

MAX_LIKE_LINES: Final = 5
"""Lines that are alike and are written in a window; the others are counted. A person sees from five
that something repeats."""

MAX_LINES: Final = 200
"""Lines of one kind of event for one call in a window, alike or not: 20 a second, more than both
sides of a call ever cause."""

_MAX_COUNTED: Final = 1_000
"""Kinds of lines that are counted at a time. All kinds beyond are counted as one."""

_NEVER: Final = 1 << 63

LogFieldValue: TypeAlias = str | int | float | bool | None
"""The value of a field."""

_MAX_HOST_CHARACTERS: Final = 253
"""Characters of the longest name of a host (RFC 1035, section 2.3.4)."""

_TOKEN: Final = re.compile(r"(?=[^/]*[0-9])[A-Za-z0-9_.~%+=-]{16,}|[A-Za-z0-9_.~%+=-]{32,}")
"""A segment of a path that may be a token or an id."""


@frozen(eq=False)
class _Message:
    """The message of a record, for handlers that know nothing of its fields. The text is made only
    where such a handler writes it."""

    event: str
    fields: Mapping[str, LogFieldValue]

    def __str__(self) -> str:
        text = self.fields.get("text")
        if text is not None:
            return str(text)
        return " ".join((self.event, *(f"{name}={value}" for name, value in self.fields.items())))


@define(eq=False)
class _Window:
    """The lines of one kind since the window was opened."""

    ends_ns: int
    lines: int = 0
    left_out: int = 0
    last: tuple[int, str, Mapping[str, LogFieldValue]] | None = None
    """The last line that was left out."""


@define(eq=False)
class EventLog:
    """Writes events, and counts like ones where there are too many.

    Of lines that are alike, `MAX_LIKE_LINES` are written in a window of `WINDOW_NS`; of those of
    one event and call, `MAX_LINES`. The last of those left out is written when the window is over,
    with their number in the field `repeated`. Any thread may write. `clock` (ns) is monotonic.
    """

    _clock: Callable[[], int] = field(default=monotonic_ns, alias="clock")
    _windows: dict[tuple[object, ...], _Window] = field(
        init=False, factory=dict[tuple[object, ...], _Window]
    )
    """In the order in which they end: all last as long."""
    _next_end_ns: int = field(init=False, default=_NEVER)
    """When the first window ends."""
    _lock: Lock = field(init=False, factory=Lock)

    def write(
        self,
        level: int,
        event: str,
        fields: Mapping[str, LogFieldValue] = {},
        *,
        like: object = None,
    ) -> None:
        """Write an event, or count it. Fields that are `None` are left out. Events with the same
        name, the same `call` and an equal `like`, if there is one, are alike."""
        now = self._clock()
        if now >= self._next_end_ns:
            self.flush(now)
        kinds: list[tuple[tuple[object, ...], int]] = [((event, fields.get("call")), MAX_LINES)]
        if like is not None:
            kinds.append(((event, fields.get("call"), like), MAX_LIKE_LINES))
        with self._lock:
            windows = [self._window(kind, now) for kind, _ in kinds]
            for window, (_, limit) in zip(windows, kinds, strict=True):
                if window.lines >= limit:
                    window.left_out += 1
                    window.last = (level, event, fields)
                    return
            for window in windows:
                window.lines += 1
        _emit(level, event, fields)  # without the lock: a handler may block

    def flush(self, now: int | None = None, *, call: int | None = None) -> None:
        """Write the numbers of lines left out: of windows that are over at `now` (ns), or, without
        it, of all; with `call`, of this call's."""
        with self._lock:
            if now is None:
                over = [kind for kind in self._windows if call is None or kind[1] == call]
            else:
                over = list(takewhile(lambda kind: self._is_over(kind, now), self._windows))
            windows = [self._windows.pop(kind) for kind in over]
            first = next(iter(self._windows.values()), None)
            self._next_end_ns = _NEVER if first is None else first.ends_ns
        for window in windows:
            if window.last is not None:
                level, event, fields = window.last
                _emit(level, event, {**fields, "repeated": window.left_out})

    def _is_over(self, kind: tuple[object, ...], now: int) -> bool:
        return self._windows[kind].ends_ns <= now

    def _window(self, kind: tuple[object, ...], now: int) -> _Window:
        window = self._windows.get(kind)
        if window is None:
            if len(self._windows) >= _MAX_COUNTED:
                kind = ("other", None)
            window = self._windows.setdefault(kind, _Window(now + WINDOW_NS))
            self._next_end_ns = min(self._next_end_ns, window.ends_ns)
        return window


def _emit(level: int, event: str, fields: Mapping[str, LogFieldValue]) -> None:
    if LOGGER.isEnabledFor(level):
        present = {name: value for name, value in fields.items() if value is not None}
        # `LOGGER.log` would walk the stack to find its caller, which is always this line.
        message: Any = _Message(event, present)
        extra = {"event": event, **present}
        record = LOGGER.makeRecord(LOGGER.name, level, __file__, 0, message, (), None, extra=extra)
        LOGGER.handle(record)


def hide_path(url: str) -> str:
    """Return a URL, or a path, fit for a log: without its query, and with `…` for each segment of
    the path that may hold a token, such as that behind /media-stream/."""
    try:
        # What starts with a slash is a path, as in a request, and has no host, even behind two.
        parts = urlsplit(f"//{url}" if url.startswith("/") else url)
        port = f":{parts.port}" if parts.port is not None else ""
        host = parts.hostname or ""
    except ValueError:
        return "?"
    host = f"[{host}]" if ":" in host else host[:_MAX_HOST_CHARACTERS]
    segments = parts.path.split("/")
    hidden = [
        "…"
        if _TOKEN.search(segment) or segments[index - 1 : index] == ["media-stream"]
        else segment
        for index, segment in enumerate(segments)
    ]
    origin = f"{parts.scheme}://{host}{port}" if parts.scheme else ""
    return origin + redact("/".join(hidden)) + ("?…" if parts.query else "")
