"""What a recording shows of its line: round trips, echoes, frames of the caller, and responses.

It is taken from what both peers sent and received. What the bridge concluded is not used, so
recordings of any release show the same.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from attrs import define, field

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, samples_to_ns

from ..errors import UsageError
from .format import check_header, decode_line

__all__ = ["ResponseObservations", "StreamObservations", "observe_recording"]

_SURELY_QUEUED_NS: Final = 250 * MS
"""How far the end of a mark's audio must lie ahead when a `clear` discards it: then its echo comes
from the `clear`, not from the player, whatever jitter there is."""

_MAX_PINGS: Final = 64
"""Pings without an answer: of a peer that answers none, the last."""

_MAX_RESPONSES: Final = 10_000
"""Responses of a call that are observed: more than a day has."""

_LEAST_DELTAS: Final = 3
"""Deltas of audio that show the pace of a response: two have one pause between them."""


@define(eq=False)
class _Burst:
    """Audio sent without a pause: the position where it starts, and when."""

    start: int
    sent_at_ns: int
    late_ns: list[int] = field(factory=list[int])

    def reached_at_ns(self, position: int) -> int:
        return self.sent_at_ns + samples_to_ns(position - self.start)


@define(eq=False)
class _SentMark:
    """A mark without an echo. `burst` is `None` if nothing was queued, or what was is not clear."""

    position: int
    sent_at_ns: int
    is_probe: bool
    burst: _Burst | None


@define(eq=False)
class StreamObservations:
    """What one media stream shows; times in ns. `late_ns` holds a list for each burst of audio:
    when each echo came, less when it would have on a line without delays."""

    round_trips_ns: list[int] = field(factory=list[int])
    pings_ns: list[int] = field(factory=list[int])
    late_ns: list[list[int]] = field(factory=list[list[int]])
    frame_gaps_ns: list[int] = field(factory=list[int])
    has_marks: bool = False
    has_audio: bool = False
    _sent: int = field(init=False, default=0)
    _confirmed: int = field(init=False, default=0)
    _ends_at_ns: int = field(init=False, default=0)
    _burst: _Burst | None = field(init=False, default=None)
    _marks: dict[str, _SentMark] = field(init=False, factory=dict[str, _SentMark])
    _freed_mark: tuple[str, int] | None = field(init=False, default=None)
    _pings_sent_ns: deque[int] = field(init=False, factory=lambda: deque[int](maxlen=_MAX_PINGS))
    _frame_at_ns: int | None = field(init=False, default=None)

    def media_sent(self, samples: int, now: int) -> None:
        """Note audio to the phone."""
        self.has_audio = True
        if now > self._ends_at_ns:
            # Audio that follows what may still be playing does not show when the player starts.
            is_clear = self._confirmed == self._sent
            self._burst = _Burst(self._sent, now) if is_clear else None
            if self._burst is not None:
                self.late_ns.append(self._burst.late_ns)
        self._ends_at_ns = max(self._ends_at_ns, now) + samples * SAMPLE_NS
        self._sent += samples

    def mark_sent(self, name: str, now: int) -> None:
        """Note a mark to the phone."""
        is_probe = self._confirmed == self._sent
        self._marks[name] = _SentMark(self._sent, now, is_probe, None if is_probe else self._burst)

    def clear_sent(self, now: int) -> None:
        """Note a `clear` to the phone."""
        self._freed_mark = next(
            (
                (name, now)
                for name, mark in self._marks.items()
                if mark.burst is not None
                and mark.burst.reached_at_ns(mark.position) > now + _SURELY_QUEUED_NS
            ),
            None,
        )
        self._marks.clear()
        self._confirmed, self._ends_at_ns, self._burst = self._sent, 0, None

    def mark_echoed(self, name: str, now: int) -> None:
        """Note a mark from the phone."""
        if self._freed_mark is not None and self._freed_mark[0] == name:
            self.round_trips_ns.append(now - self._freed_mark[1])
            self._freed_mark = None
        mark = self._marks.get(name)
        if mark is None:
            return
        self.has_marks = True
        while name in self._marks:  # those before it were echoed before, or are lost
            del self._marks[next(iter(self._marks))]
        self._confirmed = max(self._confirmed, mark.position)
        if mark.is_probe:
            self.round_trips_ns.append(now - mark.sent_at_ns)
        elif mark.burst is not None:
            reached_at_ns = mark.burst.reached_at_ns(mark.position)
            if mark.sent_at_ns < reached_at_ns:
                mark.burst.late_ns.append(now - reached_at_ns)

    def ping_sent(self, now: int) -> None:
        """Note a ping to the phone."""
        self._pings_sent_ns.append(now)

    def pong_received(self, now: int) -> None:
        """Note a pong from the phone: pings are answered in order. (Their texts are redacted.)"""
        if self._pings_sent_ns:
            self.pings_ns.append(now - self._pings_sent_ns.popleft())

    def frame_received(self, now: int) -> None:
        """Note a frame of the caller's."""
        if self._frame_at_ns is not None:
            self.frame_gaps_ns.append(now - self._frame_at_ns)
        self._frame_at_ns = now


@define(eq=False)
class _Response:
    created_at_ns: int
    after_speech_ns: int | None
    first_audio_at_ns: int | None = None
    last_audio_at_ns: int = 0
    later_samples: int = 0
    deltas: int = 0


@define(eq=False)
class ResponseObservations:
    """What a call shows of the model's responses; times in ns."""

    response_ns: list[int] = field(factory=list[int])
    """From the end of the caller's speech to the first audio of the response to it."""
    first_audio_ns: list[int] = field(factory=list[int])
    """From the creation of a response to its first audio."""
    _responses: dict[str, _Response] = field(init=False, factory=dict[str, _Response])
    _speech_stopped_ns: int | None = field(init=False, default=None)

    @property
    def paces(self) -> Iterator[tuple[int, int]]:
        """For each response with enough audio: how long audio it generated took to play (ns), and
        to generate (ns)."""
        for each in self._responses.values():
            took_ns = each.last_audio_at_ns - (each.first_audio_at_ns or 0)
            if each.deltas >= _LEAST_DELTAS and took_ns > 0:
                yield samples_to_ns(each.later_samples), took_ns

    def take(self, event: Mapping[str, Any], now: int) -> None:
        """Take an event of the model's server."""
        match event:
            case {"type": "input_audio_buffer.speech_started"}:
                self._speech_stopped_ns = None
            case {"type": "input_audio_buffer.speech_stopped"}:
                self._speech_stopped_ns = now
            case {"type": "response.created", "response": {"id": str(response_id)}}:
                if len(self._responses) < _MAX_RESPONSES:
                    after_ns, self._speech_stopped_ns = self._speech_stopped_ns, None
                    self._responses.setdefault(response_id, _Response(now, after_ns))
            case {
                "type": "response.output_audio.delta",
                "response_id": str(response_id),
                "delta": str(delta),
            } if response_id in self._responses:
                self._take_audio(self._responses[response_id], count_samples(delta) or 0, now)
            case _:
                pass

    def _take_audio(self, response: _Response, samples: int, now: int) -> None:
        response.deltas += 1
        response.last_audio_at_ns = now
        if response.first_audio_at_ns is not None:
            response.later_samples += samples
            return
        response.first_audio_at_ns = now
        self.first_audio_ns.append(now - response.created_at_ns)
        if response.after_speech_ns is not None:
            self.response_ns.append(now - response.after_speech_ns)


def observe_recording(
    lines: Iterable[bytes],
) -> tuple[list[StreamObservations], ResponseObservations]:
    """Return what a recording shows: one observation for each of its streams, and one of its
    responses.

    `lines` have their ends; a last one without is ignored, since a crash has cut it off. Raises
    `UsageError` for what is not a recording, or has another version of the format.
    """
    observer = _Observer()
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.endswith(b"\n"))
    first = next(numbered, None)
    if first is None:
        raise UsageError("this is not a recording: it has no whole line")
    check_header(_decode(*first))
    last_ns = 0
    for number, line in numbered:
        data = _decode(number, line)
        if "unrecordable" in data:
            break
        at_ns = data.get("at_ns")
        if type(at_ns) is not int or at_ns < last_ns:
            raise UsageError(f"line {number} is not a step of a recording: it has no time `at_ns`")
        last_ns = at_ns
        observer.take_step(data, at_ns)
    return observer.streams, observer.responses


def _decode(number: int, line: bytes) -> dict[str, Any]:
    try:
        data = decode_line(line.decode())
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        return cast("dict[str, Any]", data)
    if number == 1:
        raise UsageError("this is not a recording: its first line is not a JSON object")
    raise UsageError(f"line {number} is not a step of a recording: it is not a JSON object")


@define(eq=False)
class _Observer:
    """Takes the steps of a recording."""

    streams: list[StreamObservations] = field(init=False, factory=list[StreamObservations])
    responses: ResponseObservations = field(init=False, factory=ResponseObservations)

    def take_step(self, step: Mapping[str, Any], now: int) -> None:
        match step:
            case {"method": "receive_text", "arguments": ["twilio", str(text)]}:
                self._take_twilio(_event(text), now)
            case {"method": "receive_text", "arguments": [str(), str(text)]}:
                self.responses.take(_event(text), now)
            case {"method": "pong", "arguments": ["twilio", *_]} if self.streams:
                self.streams[-1].pong_received(now)
            case _:
                pass
        match step:
            case {"actions": [*actions]} if self.streams:
                for each in actions:
                    _take_action(self.streams[-1], each, now)
            case _:
                pass

    def _take_twilio(self, event: Mapping[str, Any], now: int) -> None:
        match event:
            case {"event": "start"}:
                self.streams.append(StreamObservations())
            case {"event": "mark", "mark": {"name": str(name)}} if self.streams:
                self.streams[-1].mark_echoed(name, now)
            case {"event": "media", "media": {**media}} if self.streams:
                if media.get("track", "inbound") == "inbound":
                    self.streams[-1].frame_received(now)
            case _:
                pass


def _event(text: str) -> Mapping[str, Any]:
    """The message in a text; none if it is no JSON object, which a peer may send too."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else {}


def _take_sent(stream: StreamObservations, message: object, now: int) -> None:
    match message:
        case {"event": "media", "media": {"payload": str(payload)}}:
            samples = count_samples(payload)
            if samples:
                stream.media_sent(samples, now)
        case {"event": "mark", "mark": {"name": str(name)}}:
            stream.mark_sent(name, now)
        case {"event": "clear"}:
            stream.clear_sent(now)
        case _:
            pass


def _take_action(stream: StreamObservations, action: object, now: int) -> None:
    match action:
        case {"@": "Send", "peer": "twilio"}:
            _take_sent(stream, cast("Mapping[str, object]", action).get("message"), now)
        case {"@": "SendPing", "peer": "twilio"}:
            stream.ping_sent(now)
        case _:
            pass
