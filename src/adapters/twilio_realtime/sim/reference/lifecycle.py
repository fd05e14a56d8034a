"""What is always true of a machine, of its links, and of the end of a call."""

from typing import Final

from twilio_realtime_core.commands import HangUp
from twilio_realtime_core.machine.actions import Close, Open, Peer, SendPing
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import CallEnded, EndReason
from twilio_realtime_core.protocols import realtime, twilio

from .facts import Facts
from .links import OVER, Leg
from .sent_audio import yields
from .step_record import CLIENT_EVENTS, Invariant, TimedOut, Told, is_later

__all__ = ["Contract", "End", "Legs", "Liveness"]

_ALIVE: Final = (Leg.OPENING, Leg.OPEN)


class Contract(Invariant):
    """After `handle_timeout` the deadline lies ahead; called early, it changes nothing."""

    number = 0
    inputs = (TimedOut,)

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        now, before, deadline = told.now, told.deadline_before, told.deadline
        if (before is None or now < before) and (told.outputs or deadline != before):
            return "handle_timeout before the deadline changed something"
        if deadline is not None and deadline <= now:
            return f"after handle_timeout({now}) the deadline is {deadline}"
        return None


class Legs(Invariant):
    """Nothing goes to Twilio before `start` or after its end, nothing to Realtime before it is open
    or after its end, no caller audio before the session is configured; if the server refuses the
    event that is to configure it, the call ends."""

    number = 1
    inputs = (realtime.ErrorEvent,)
    outputs = (twilio.Media, twilio.Mark, twilio.Clear, SendPing, *CLIENT_EVENTS)

    def __init__(self, facts: Facts) -> None:
        self._line = facts.line
        self._first_update: str | None = None
        """The event id of what is to configure the session, while it does not."""

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        match told.event:
            case realtime.ErrorEvent(error) if self._line.live and not self._line.ready:
                refused = error.event_id is not None and error.event_id == self._first_update
            case _:
                return None
        if refused and not any(isinstance(each, Close) for each in told.outputs):
            return "the server refuses to configure the session, and the call goes on"
        return None

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        match value:
            case realtime.AppendAudio() if not self._line.ready:
                return "audio for a session that is not configured"
            case realtime.UpdateSession(event_id=event_id) if not self._line.ready:
                self._first_update = self._first_update or event_id
            case twilio.Media() | twilio.Mark() | twilio.Clear():
                if not self._line.streaming:
                    return f"{type(value).__name__} to Twilio, where no stream is"
                if value.stream_sid != self._line.stream_sid:
                    return f"{type(value).__name__} to another stream than that of start"
            case SendPing(Peer.TWILIO):
                if not self._line.streaming:
                    return "a ping to Twilio, where no stream is"
            case _:
                if self._line.legs[Peer.REALTIME] is not Leg.OPEN:
                    return f"{type(value).__name__} to Realtime, which is not open"
        return None


class End(Invariant):
    """The end of a leg ends both, each with one close; `CallEnded` comes once both are closed, or
    were waited for in vain. After it there are no outputs to any input, and no deadline. A call
    that is to be hung up once all was heard, ends then, and no sooner: unless somebody
    interrupts, or no sign of playing comes."""

    number = 10
    inputs = (HangUp,)
    outputs = (object,)
    ends = (object,)

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._line = facts.line
        self._waits = self._hung_up = self._too_early = False

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        match told.event:
            case HangUp(after_playback=True):
                self._waits = True
            case _:
                self._hung_up = True
        return None

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        if self._line.ended:
            return "an output after CallEnded"
        match value:
            case Close(Peer() as peer):
                self._judge_close(told)
                if self._line.legs[peer] not in _ALIVE:
                    return f"{peer.value} is closed, though it is not open"
            case CallEnded(reason):
                if self._too_early and reason is EndReason.HUNG_UP:
                    return "the call was hung up before all was heard"
                in_vain = isinstance(told.event, TimedOut)
                if not in_vain and any(leg not in OVER for leg in self._line.legs.values()):
                    return "CallEnded before both legs are closed"
            case _:
                pass
        return None

    def _judge_close(self, told: Told) -> None:
        """Note whether a hang-up, if this is one, cuts off what was to be heard."""
        if self._waits and self._line.live and not self._hung_up:
            speech = self._facts.speech
            excused = speech.interrupting or isinstance(told.event, TimedOut)
            unheard = speech.sound.unheard(told.now)  # hold sound is for whoever waits
            self._too_early = not excused and not all(map(yields, unheard))

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        line = self._line
        if line.ended:
            return "a deadline after CallEnded" if told.deadline is not None else None
        if line.live:
            return self._judge_goodbye(told)
        if any(leg in _ALIVE for leg in line.legs.values()):
            return "one leg has ended, and the other goes on"
        if all(leg in OVER for leg in line.legs.values()):
            return "both legs are closed, and there is no CallEnded"
        return None

    def _judge_goodbye(self, told: Told) -> str | None:
        """Whether a call that is to be hung up once all was heard goes on when the last echo says
        that it was."""
        if not self._waits or not isinstance(told.event, twilio.MarkEvent):
            return None
        asks, speech = self._facts.asks, self._facts.speech
        silent = speech.sound.sent == speech.sound.confirmed and speech.idle
        over = silent and asks.free and not asks.waiting and not asks.vague
        return "all was heard, and the call goes on" if over else None


class Liveness(Invariant):
    """A stream, a configuration and a session are waited for no longer than is stated. A call that
    something has ended is over within a stated time, whatever its peers do; one that waits until
    all was heard looks again."""

    number = 13
    inputs = (HangUp,)
    outputs = (Open, Close, CallEnded)
    ends = (object,)

    def __init__(self, facts: Facts) -> None:
        self._line, self._config = facts.line, facts.config
        self._waits = False

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        self._waits |= isinstance(told.event, HangUp)
        return None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        line = self._line
        if line.ended:
            return None
        if line.ending_since is None:
            waits_ns = self._waits_ns()
            if waits_ns is not None and is_later(told.deadline, line.waits_since + waits_ns):
                return "what comes next is waited for, and may be for longer than is stated"
            never = self._waits and told.deadline is None
            return "the call is to end, and nothing is to be done about it" if never else None
        if is_later(told.deadline, line.ending_since + self._config.closing_timeout_ms * MS):
            return "the call is ending, and may take longer than it is given"
        return None

    def _waits_ns(self) -> int | None:
        """How long what comes next may be waited for; `None`: nothing has to come."""
        line, config = self._line, self._config
        if line.legs[Peer.TWILIO] is Leg.NONE or line.ready:
            return None
        if not line.stream_sid:
            return config.start_timeout_ms * MS
        if line.legs[Peer.REALTIME] is Leg.NONE:
            return config.configure_timeout_ms * MS
        return config.session_timeout_ms * MS

    def overdue(self, now: int) -> str | None:
        """What is wrong if the call goes on at `now`, when it must have ended."""
        return None if self._line.ended else f"the call goes on at {now / 1e9:.3f} s"
