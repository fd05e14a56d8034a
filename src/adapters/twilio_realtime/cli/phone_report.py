"""What a call was like for its caller, and what Twilio would have logged of the server.

Source of the numbers: Twilio documentation, "Error and Warning Dictionary", 31900 to 31999.
"""

from typing import Final

from attrs import define, field

from twilio_realtime_core import ABNORMAL_CLOSURE, Fault, FaultKind
from twilio_realtime_core.errors import redact
from twilio_realtime_core.machine.units import MS, samples_to_ms, samples_to_ns

from ..errors import UsageError
from ..sim.phone.caller import HangUp, Say
from ..sim.phone.twilio_peer import CallOver, Cleared, CueTaken, StreamWarning
from .output import Output, Tone
from .phone_line import Caller, Line, StreamBegan

__all__ = ["PhoneReport"]

_NO_RESPONSE: Final = 31901
_REFUSED: Final = 31902
_BROKEN: Final = 31903
_UNREACHABLE: Final = 31904
_TLS_FAILURE: Final = 31910
_NO_HANDSHAKE: Final = 31920
_CLOSED_BY_SERVER: Final = 31921
_PROTOCOL_VIOLATION: Final = 31924
_BINARY: Final = 31950


@define(eq=False)
class PhoneReport:
    """Tells a call as it happens, and at its end what came of it. `server` is host and port."""

    caller: Caller
    line: Line
    _server: str
    _output: Output
    end_ns: int = field(init=False, default=0)
    """When the caller hung up, or the call was over; until then, when something was last told."""
    _hung_up: bool = field(init=False, default=False)
    _question_end_ns: int | None = field(init=False, default=None)
    _warnings: dict[int | None, str] = field(init=False, factory=dict[int | None, str])
    """What was wrong with the server, by Twilio's number for it; `None`: it has none."""

    def hear(self, event: object, now: int) -> None:
        """A notification of the line."""
        if not self._hung_up:
            self.end_ns = now
        match event:
            case StreamBegan():
                self._output.tell("stream_began", tone=Tone.GOOD)
            case CueTaken(at_ns, cue):
                self._act(at_ns, cue.act)
            case Cleared(heard=heard, discarded=discarded):
                self._output.tell(
                    "cleared",
                    {"heard_ms": samples_to_ms(heard), "discarded_ms": samples_to_ms(discarded)},
                    tone=Tone.CUT,
                )
            case StreamWarning(code, message):
                self._warn(code, message)
            case Fault():
                self._judge(event)
            case CallOver():
                self._end(event)
            case _:
                pass

    def tell_limit(self, limit_s: int) -> None:
        """The caller hangs up though the agent is not quiet, or has said nothing."""
        self._hung_up = True
        self._warn(None, f"after {limit_s} s the agent had not ended: the caller hung up")

    def finish(self) -> int:
        """Tell what came of the call; the exit status. Raises `UsageError` if there was none."""
        if self.line.unreachable is not None:
            code = _unreachable_code(self.line.unreachable)
            raise UsageError(
                f"cannot reach {self._server}: {self.line.unreachable} (Twilio would log {code}): "
                "see that the server runs there, and that the URL is right"
            )
        heard = self.caller.segments(self.end_ns)
        heard_ms = samples_to_ms(sum(len(segment.payload) for segment in heard))
        if not heard_ms and not self._warnings:
            self._warn(None, "the caller heard nothing")
        self._summarize(heard_ms, [segment.start_ns for segment in heard])
        return 1 if self._warnings else 0

    def _act(self, at_ns: int, act: object) -> None:
        match act:
            case Say(audio):
                self._question_end_ns = at_ns + samples_to_ns(len(audio))
                self._output.tell("caller_speaks", {"ms": samples_to_ms(len(audio))})
            case HangUp():
                self._hung_up = True
                self.end_ns = at_ns
                self._output.tell("caller_hangs_up", tone=Tone.GOOD)
            case _:
                pass

    def _judge(self, fault: Fault) -> None:
        """What Twilio would have logged."""
        if self.line.unreachable is not None:
            return
        began = self.caller.began_ns is not None
        code: int | None
        match fault.kind:
            case FaultKind.BINARY_MESSAGE:
                code = _BINARY
            case FaultKind.TIMED_OUT if self._hung_up:
                code = None
            case FaultKind.TIMED_OUT:
                code = _BROKEN if began else _NO_RESPONSE
            case _:
                code = _PROTOCOL_VIOLATION if began else _NO_HANDSHAKE
        self._warn(code, fault.message)

    def _end(self, over: CallOver) -> None:
        if over.hung_up or self._warnings.keys() & {_PROTOCOL_VIOLATION, _BROKEN}:
            return
        if self.caller.began_ns is None:
            return  # why, has been told
        if over.code == ABNORMAL_CLOSURE:
            self._warn(_BROKEN, "the server broke the connection")
        else:
            reason = f" {redact(over.reason)}" if over.reason else ""
            self._warn(_CLOSED_BY_SERVER, f"the server closed the stream: {over.code}{reason}")

    def _warn(self, code: int | None, message: str) -> None:
        if code in self._warnings and code is not None:
            return  # Twilio logs each once a stream
        self._warnings[code] = message
        self._output.tell("warning", {"code": code, "message": message}, tone=Tone.BAD)

    def _summarize(self, heard_ms: int, starts: list[int]) -> None:
        asked = self._question_end_ns
        delays = [(start - asked) // MS for start in starts if asked is not None and start >= asked]
        discarded = sum(clear.discarded for clear in self.caller.clears)
        self._output.tell(
            "summary",
            {
                "heard_ms": heard_ms,
                "answered_after_ms": delays[0] if delays else None,
                "clears": len(self.caller.clears),
                "discarded_ms": samples_to_ms(discarded),
                "twilio_would_log": [code for code in self._warnings if code is not None],
            },
            tone=Tone.BAD if self._warnings else Tone.GOOD,
        )


def _unreachable_code(reason: str) -> int:
    if "TLS" in reason:
        return _TLS_FAILURE
    if "refused" in reason:
        return _REFUSED
    return _NO_RESPONSE if "timed out" in reason else _UNREACHABLE
