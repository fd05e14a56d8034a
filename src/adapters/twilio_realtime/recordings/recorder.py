"""A recorder: it takes the place of a bridge and writes each step as a line of a recording.

    bridge = Recorder(Bridge(config), config, write)

`replay` in `replay` runs a bridge on what it has written.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any

from attrs import Attribute, define, field, frozen

from twilio_realtime_core.commands import Command
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Notify, Refusal
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import CallEnded

from .bridge_wrapper import BridgeWrapper
from .format import encode_line, encode_reason, make_header
from .redactor import Redactor

__all__ = ["RecordedStep", "Recorder"]


@frozen
class RecordedStep:
    """One method call of a bridge as it happened, not redacted: its time in ns since `start`, the
    method, its arguments without `now`, the actions that it returned, and the reasons for them."""

    at_ns: int
    method: str
    arguments: tuple[object, ...]
    actions: tuple[Action, ...]
    reasons: tuple[Reason, ...] = ()


def _do_nothing(*_: object) -> None:
    """The default callback."""


def _check_time_zone(
    recorder: "Recorder", attribute: "Attribute[datetime | None]", value: datetime | None
) -> None:
    del recorder, attribute
    if value is not None and value.tzinfo is None:
        raise ValueError("recorded_at needs a time zone")


@define(eq=False, weakref_slot=True)
class Recorder(BridgeWrapper):
    """Takes the place of a bridge, changes nothing, and writes each step as a line of JSON.

    `write` receives whole lines, with their ends, as they arise, and nothing after `CallEnded`;
    `on_close` is called after the last line. The `redactor` replaces audio by silence of the same
    length, unless it keeps audio; it removes keys, tokens, accounts, custom parameters and all
    digits that were said or pressed. `recorded_at` is the time of day at which the call starts
    (`ValueError`: without a time zone); calls in virtual time have none. `on_step` receives each
    step that did not raise, not redacted; its exceptions are raised to the caller of the step.

    Recording never changes or ends a call. A step that cannot be encoded is replaced by a last line
    that names the exception; after an exception of `write` nothing more is written.
    """

    _config: CallConfig
    _write: Callable[[str], object]
    _redactor: Redactor = field(factory=Redactor)
    _recorded_at: datetime | None = field(
        default=None, kw_only=True, alias="recorded_at", validator=_check_time_zone
    )
    _on_step: Callable[[RecordedStep], object] = field(
        default=_do_nothing, kw_only=True, alias="on_step"
    )
    _on_close: Callable[[], object] = field(default=_do_nothing, kw_only=True, alias="on_close")
    _started_ns: int | None = field(init=False, default=None)
    _is_closed: bool = field(init=False, default=False)

    @property
    def started_ns(self) -> int | None:
        """The `now` of `start`; steps are recorded relative to it."""
        return self._started_ns

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        """See `Bridge.start`. The wall clock is that of `recorded_at`, unless it is stated."""
        if self._started_ns is None:
            self._started_ns = now
            self._write_line(self._header)
        if unix_ns is None and self._recorded_at is not None:
            unix_ns = int(self._recorded_at.timestamp() * 1000) * MS
        clock = () if unix_ns is None else (unix_ns,)

        def start(*arguments: int) -> list[Action]:
            *given, instant = arguments
            return self._bridge.start(instant, *given)

        return self._record(lambda: [*clock], start, now, *clock)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """See `Bridge.opened`."""
        return self._record(lambda: [_peer_name(peer)], self._bridge.opened, now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `Bridge.receive_text`."""
        return self._record(
            lambda: [_peer_name(peer), self._redactor.redact_message(text)],
            *(self._bridge.receive_text, now, peer, text),
        )

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `Bridge.pong`."""
        method = self._bridge.pong
        return self._record(lambda: [_peer_name(peer), payload.hex()], method, now, peer, payload)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """See `Bridge.refused`."""
        return self._record(
            lambda: [_peer_name(peer), self._redactor.encode_refusal(refusal)],
            *(self._bridge.refused, now, peer, refusal),
        )

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `Bridge.closed`."""
        return self._record(
            lambda: [_peer_name(peer), code, self._redactor.redact_reason(reason)],
            *(self._bridge.closed, now, peer, code, reason),
        )

    def handle_timeout(self, now: int) -> list[Action]:
        """See `Bridge.handle_timeout`."""
        return self._record(list, self._bridge.handle_timeout, now)

    def send(self, command: Command, now: int) -> list[Action]:
        """See `Bridge.send`."""
        return self._record(
            lambda: [self._redactor.encode(command)], self._bridge.send, now, command
        )

    def _record(
        self,
        encode_arguments: Callable[[], list[Any]],
        method: Callable[..., list[Action]],
        now: int,
        *arguments: object,
    ) -> list[Action]:
        """Call a method, write the step, and return or raise what the method does. Arguments are
        encoded after the call, so that a failure to encode them changes nothing."""
        if self._started_ns is None:  # misuse, which raises
            return method(*arguments, now)
        at_ns = now - self._started_ns
        step = partial(self._step, at_ns, method, encode_arguments)
        try:
            actions = method(*arguments, now)
        except LocalProtocolError:
            self._write_line(lambda: {**step(), "misuse": True})
            raise
        except Exception as error:  # a bug: this is the step that shows it
            name = type(error).__name__
            self._write_line(lambda: {**step(), "raised": name})
            raise
        is_last = any(map(_is_end, actions))
        self._write_line(lambda: {**step(), **self._outcome(actions)}, is_last=is_last)
        reasons = self._bridge.reasons
        self._on_step(RecordedStep(at_ns, method.__name__, arguments, tuple(actions), reasons))
        return actions

    def _header(self) -> dict[str, Any]:
        return {
            **make_header(self._recorded_at),
            "has_audio": self._redactor.keep_audio,
            "config": self._redactor.encode(self._config),
        }

    def _step(
        self, at_ns: int, method: Callable[..., object], encode_arguments: Callable[[], list[Any]]
    ) -> dict[str, Any]:
        return {"at_ns": at_ns, "method": method.__name__, "arguments": encode_arguments()}

    def _outcome(self, actions: Iterable[Action]) -> dict[str, Any]:
        deadline = self._bridge.deadline
        outcome: dict[str, Any] = {
            "actions": [self._redactor.encode(action) for action in actions],
            "deadline_ns": None if deadline is None else deadline - (self._started_ns or 0),
        }
        if reasons := self._bridge.reasons:
            outcome["why"] = [encode_reason(each) for each in reasons]
        return outcome

    def _write_line(
        self, make_line: Callable[[], Mapping[str, Any]], *, is_last: bool = False
    ) -> None:
        if self._is_closed:
            return
        try:
            text = encode_line(make_line())
        except Exception as error:  # without this step, later ones could not be replayed
            text, is_last = encode_line({"unrecordable": type(error).__name__}), True
        try:
            self._write(text)
        except Exception:  # the line may have been written in part
            is_last = True
        if is_last:
            self._is_closed = True
            with suppress(Exception):
                self._on_close()


def _is_end(action: Action) -> bool:
    return isinstance(action, Notify) and isinstance(action.event, CallEnded)


def _peer_name(peer: Hashable) -> object:
    return peer.value if isinstance(peer, Enum) else str(peer)
