"""What an agent can do with a call beyond commands: await playback, transfer, redirect, record."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any, Final, Literal

import anyio
from attrs import define, field

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.commands import Command, HangUp, NotifyAfterPlayback
from twilio_realtime_core.notifications import AllHeard, CallEnded, CallStarted, KeyPressed
from twilio_realtime_core.webhook import redirect_twiml

from ..twilio_api.client import TwilioClient
from ..twilio_api.errors import TwilioApiError
from .call_control import (
    AFTER_DIAL_PATH,
    RECORDING_PATH,
    CallControl,
    TwilioRecording,
    transfer_twiml,
)
from .decisions import Decision
from .phone_events import CallEvent, PhoneCallAnswered

__all__ = ["CallActions"]

_CALL_IS_OVER: Final = (20404, 21220)
"""Twilio's numbers for a call that cannot be changed, since it has ended."""


@define(eq=False, repr=False)
class CallActions(ABC):
    """The part of a `Call` that waits for playback, and has Twilio do things."""

    control: CallControl | None = field(default=None, kw_only=True)
    """What Twilio can be asked; `None` outside of a service."""
    started: CallStarted = field(init=False)
    ended: CallEnded | None = field(init=False, default=None)
    """How the call ended, as soon as it has; the agent may not have read that far."""
    answered: PhoneCallAnswered | None = field(init=False, default=None)
    """Who has answered an outbound call with machine detection, as soon as that is known."""
    _notices: dict[str, Callable[[], None]] = field(
        init=False, factory=dict[str, Callable[[], None]]
    )
    """What is called once all was heard, by the name of the notice."""
    _notice_numbers: "count[int]" = field(init=False, factory=lambda: count(1))
    _waits: set[anyio.Event] = field(init=False, factory=set[anyio.Event])
    """Of the tasks that wait for playback."""
    _unfollow: Callable[[], None] | None = field(init=False, default=None)

    @abstractmethod
    def send(self, command: Command) -> None:
        """Send a command to the bridge."""

    @abstractmethod
    def hold_mute(self) -> None:
        """Mute the caller until `release_mute`."""

    @abstractmethod
    def release_mute(self) -> None:
        """Undo one `hold_mute`."""

    @abstractmethod
    def watch(self, watcher: Callable[[CallEvent], None]) -> None:
        """Call `watcher` with each notification."""

    @abstractmethod
    def unwatch(self, watcher: Callable[[CallEvent], None]) -> None:
        """Call `watcher` no more."""

    @abstractmethod
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run `function(*args)` as a task of the call."""

    # Playback

    def after_playback(
        self, action: Command | Callable[..., Awaitable[object]], *args: object
    ) -> None:
        """Once all that the agent says was heard, send a command, or run `action(*args)` as a task
        of the call.

        That is also once the agent is silent after an interruption. If the call ends before,
        nothing is done. Raises `LocalProtocolError` where 32 things wait already.
        """
        if not callable(action) and args:
            raise LocalProtocolError("a command takes no arguments")
        if callable(action):
            self._on_all_heard(partial(self.start_soon, action, *args))
        else:
            self._on_all_heard(partial(self.send, action))

    async def wait_for_playback(self) -> bool:
        """Wait until all that the agent says was heard; return whether the call goes on."""
        if self.ended is None:
            heard = anyio.Event()
            self._on_all_heard(heard.set)
            self._waits.add(heard)
            try:
                await heard.wait()
            finally:
                self._waits.discard(heard)
        return self.ended is None

    # Keys

    async def collect_keys(
        self, count: int, *, end_key: str | None = "#", timeout_ms: int = 30_000
    ) -> str:
        """Return the keys that the caller presses: up to `count`, up to `end_key`, which is left
        out, or until none came for `timeout_ms`, or the call ended.

        Meanwhile the model hears silence, not the tones; a caller whom the application has muted
        stays muted. The agent is notified of the keys as well (`KeyPressed`); logs and recordings
        leave them out.
        """
        keys, pressed = list[str](), anyio.Event()

        def watch(event: CallEvent) -> None:
            if isinstance(event, KeyPressed):
                keys.append(event.digit)
                pressed.set()

        def is_complete() -> bool:
            return len(keys) >= count or end_key in keys or self.ended is not None

        self.hold_mute()
        self.watch(watch)
        try:
            while not is_complete():
                pressed = anyio.Event()
                self._waits.add(pressed)  # set when the call ends
                with anyio.move_on_after(timeout_ms / 1000) as scope:
                    await pressed.wait()
                self._waits.discard(pressed)
                if scope.cancelled_caught:
                    break
        finally:
            self.unwatch(watch)
            self.release_mute()
        end = keys.index(end_key) if end_key in keys else len(keys)
        return "".join(keys[: min(end, count)])

    # Twilio

    @property
    def twilio(self) -> TwilioClient:
        """The client for Twilio's REST API, for example to send a text message. Raises
        `UsageError` if there is none."""
        return self._control()[0].require_twilio()

    async def transfer(
        self,
        number: str,
        *,
        after_playback: bool = True,
        caller_id: str | None = None,
        ring_timeout_ms: int | None = None,
        if_unanswered: Decision | None = None,
    ) -> bool:
        """Connect the caller to another number, and end the stream. Return `False` if the call had
        ended before.

        `number` is in E.164, `sip:NAME@HOST` or `client:NAME`. `after_playback`: once all that the
        agent says was heard. `if_unanswered` is done if nobody answers, or the line is busy:
        `Accept()` brings the caller back to the agent, a TwiML document says what it says, and
        `None` hangs up.

        Raises `LocalProtocolError` for a number that is none, `TwilioApiError`, and `UsageError` if
        there is no way to redirect a call.
        """
        control, call_sid = self._control()
        twiml = transfer_twiml(
            number,
            action=control.base_url + AFTER_DIAL_PATH,
            caller_id=caller_id,
            ring_timeout_ms=ring_timeout_ms,
        )
        control.check_redirectable()
        if if_unanswered is not None:
            control.after_dial.put(call_sid, if_unanswered)
        return await self.redirect(twiml, after_playback=after_playback)

    async def redirect(self, target: str, *, after_playback: bool = False) -> bool:
        """Have Twilio do what TwiML says, a document or that at a URL, and end the stream. Return
        `False` if the call had ended before. `after_playback` and errors are those of `transfer`.
        """
        control, call_sid = self._control()
        control.check_redirectable()
        is_document = target.lstrip().startswith("<")
        document = target if is_document else redirect_twiml(target)
        if control.twilio is None:
            control.after_stream.put(call_sid, document)
            self.send(HangUp(after_playback=after_playback))
            return self.ended is None
        if after_playback and not await self.wait_for_playback():
            return False
        if self.ended is not None:
            return False
        try:
            if is_document:
                await control.twilio.update_call(call_sid, twiml=document)
            else:
                await control.twilio.update_call(call_sid, url=target)
        except TwilioApiError as error:
            if error.code in _CALL_IS_OVER:
                return False  # the caller has hung up meanwhile
            raise
        return True

    async def record(self, channels: Literal["mono", "dual"] = "dual") -> TwilioRecording:
        """Have Twilio record the call. With two channels, the caller is on the first.

        `TwilioRecordingStatus` is notified when it starts and when it is complete. Raises
        `TwilioApiError`, and `UsageError` without Twilio's REST API.
        """
        control, call_sid = self._control()
        twilio = control.require_twilio()
        answer = await twilio.start_recording(
            call_sid, channels=channels, status_callback=control.base_url + RECORDING_PATH
        )
        return TwilioRecording(str(answer.get("sid", "")), call_sid, twilio)

    def _control(self) -> tuple[CallControl, str]:
        """Return what Twilio can be asked, and the SID of the call."""
        call_sid = self.started.call_sid
        if self.control is None or call_sid is None:
            raise LocalProtocolError("the call is not one of Twilio's, so it cannot be changed")
        return self.control, call_sid

    def _on_all_heard(self, action: Callable[[], None]) -> None:
        if self.ended is None:
            name = f"call-{next(self._notice_numbers)}"
            self._notices[name] = action
            try:
                self.send(NotifyAfterPlayback(name))
            except LocalProtocolError:
                del self._notices[name]
                raise

    @abstractmethod
    def notify(self, event: CallEvent) -> None:
        """Take a notification."""

    def _follow_phone_call(self) -> None:
        """Be notified of what Twilio reports of the call."""
        call_sid = self.started.call_sid
        if self.control is not None and call_sid is not None and self._unfollow is None:
            self._unfollow = partial(self.control.unfollow, call_sid, self.notify)
            self.control.follow(call_sid, self.notify)

    def _unfollow_phone_call(self) -> None:
        if self._unfollow is not None:
            self._unfollow()

    def _take_notice(self, event: object) -> bool:
        """Do what waits for this notification; return whether it was a notice of this object."""
        if not isinstance(event, AllHeard):
            return False
        action = self._notices.pop(event.name, None)
        if action is not None:
            action()
        return action is not None

    def _end_waits(self) -> None:
        self._notices.clear()
        for each in self._waits:
            each.set()
