"""The report of a call by `phone`: its events, and what Twilio would have logged of the server.

Source of the numbers: Twilio documentation, "Error and Warning Dictionary", 31900 to 31999.
"""

from typing import Final

from attrs import define, field

from twilio_realtime_core import ABNORMAL_CLOSURE, Fault, FaultKind
from twilio_realtime_core.errors import redact
from twilio_realtime_core.machine.units import MS, samples_to_ms, samples_to_ns

from ..errors import UsageError
from ..sim.phone.caller import CallerHangsUp, CallerSays
from ..sim.phone.twilio_peer import CueStarted, PhoneDisconnected, QueueCleared, StreamWarning
from .output import LineStyle, Output
from .phone_connection import PhonePeer, PhoneStack, StreamStarted

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

_NORMAL_CLOSURE: Final = 1000
"""The close code of a server that has nothing more to say (RFC 6455, section 7.4.1)."""


@define(eq=False)
class PhoneReport:
    """Prints the events of a call as they happen, and a summary. `server` is host and port."""

    phone: PhonePeer
    stack: PhoneStack
    _server: str
    _output: Output
    _expects_hang_up: bool = field(default=False, kw_only=True, alias="expects_hang_up")
    _max_latency_ms: int | None = field(default=None, kw_only=True, alias="max_latency_ms")
    end_ns: int = field(init=False, default=0)
    """When the caller hung up or the call ended; until then, the time of the last notification."""
    _has_hung_up: bool = field(init=False, default=False)
    _question_ends_ns: list[int] = field(init=False, factory=list[int])
    latencies_ms: list[int] = field(init=False, factory=list[int])
    """From the end of each speech of the caller to the first sound of the agent after it; known
    after `finish`."""
    _warnings: dict[int | None, str] = field(init=False, factory=dict[int | None, str])
    """Warnings about the server by Twilio's number; `None` for those without a number."""

    def on_notification(self, event: object, now: int) -> None:
        """Print a notification of the phone or its stack."""
        if not self._has_hung_up:
            self.end_ns = now
        match event:
            case StreamStarted():
                self._output.write_event("stream_started", style=LineStyle.SUCCESS)
            case CueStarted(at_ns, cue):
                self._report_act(at_ns, cue.act)
            case QueueCleared(heard_bytes=heard, discarded_bytes=discarded):
                self._output.write_event(
                    "cleared",
                    {"heard_ms": samples_to_ms(heard), "discarded_ms": samples_to_ms(discarded)},
                    style=LineStyle.INTERRUPTION,
                )
            case StreamWarning(code, message):
                self._report_warning(code, message)
            case Fault():
                self._report_fault(event)
            case PhoneDisconnected():
                self._report_end(event)
            case _:
                pass

    @property
    def failures(self) -> list[str]:
        """What was wrong with the call."""
        return list(self._warnings.values())

    def report_limit(self, limit_s: int) -> None:
        """Warn that the caller hangs up while the agent speaks, or before it has spoken."""
        self._has_hung_up = True
        self._report_warning(
            None, f"the agent had not finished after {limit_s} s: the caller hung up"
        )

    def finish(self) -> int:
        """Print the summary; return the exit status. Raises `UsageError` if the server could not be
        reached."""
        if (reason := self.stack.unreachable_reason) is not None:
            code = _unreachable_code(reason)
            raise UsageError(
                f"cannot reach {self._server}: {reason} (Twilio would log {code}): "
                "check that the server is running, and the URL"
            )
        heard = self.phone.segments(self.end_ns)
        heard_ms = samples_to_ms(sum(len(segment.audio) for segment in heard))
        if not heard_ms and not self._warnings:
            self._report_warning(None, "the caller heard nothing")
        self.latencies_ms = self._measure_latencies([segment.start_ns for segment in heard])
        slowest = max(self.latencies_ms, default=0)
        if self._max_latency_ms is not None and slowest > self._max_latency_ms:
            self._report_warning(
                None, f"an answer took {slowest} ms, more than {self._max_latency_ms} ms"
            )
        self._report_summary(heard_ms)
        return 1 if self._warnings else 0

    def _report_act(self, at_ns: int, act: object) -> None:
        match act:
            case CallerSays(audio):
                self._question_ends_ns.append(at_ns + samples_to_ns(len(audio)))
                self._output.write_event("caller_speaks", {"ms": samples_to_ms(len(audio))})
            case CallerHangsUp():
                self._has_hung_up = True
                self.end_ns = at_ns
                self._output.write_event("caller_hangs_up", style=LineStyle.SUCCESS)
            case _:
                pass

    def _report_fault(self, fault: Fault) -> None:
        """Print the warning that Twilio would have logged."""
        if self.stack.unreachable_reason is not None:
            return
        has_started = self.phone.stream_started_ns is not None
        code: int | None
        match fault.kind:
            case FaultKind.BINARY_MESSAGE:
                code = _BINARY
            case FaultKind.TIMED_OUT if self._has_hung_up:
                code = None
            case FaultKind.TIMED_OUT:
                code = _BROKEN if has_started else _NO_RESPONSE
            case _:
                code = _PROTOCOL_VIOLATION if has_started else _NO_HANDSHAKE
        self._report_warning(code, fault.message)

    def _report_end(self, over: PhoneDisconnected) -> None:
        if over.caller_hung_up or self._warnings.keys() & {_PROTOCOL_VIOLATION, _BROKEN}:
            return
        if self.phone.stream_started_ns is None:
            return  # the reason has been printed
        if over.code == ABNORMAL_CLOSURE:
            self._report_warning(_BROKEN, "the server broke the connection")
        else:
            if self._expects_hang_up and over.code == _NORMAL_CLOSURE:
                self._output.write_event("agent_hangs_up", style=LineStyle.SUCCESS)
                return
            reason = f" {redact(over.reason)}" if over.reason else ""
            self._report_warning(
                _CLOSED_BY_SERVER, f"the server closed the stream: {over.code}{reason}"
            )

    def _report_warning(self, code: int | None, message: str) -> None:
        if code in self._warnings and code is not None:
            return  # Twilio logs each once per stream
        self._warnings[code] = message
        self._output.write_event(
            "warning", {"code": code, "message": message}, style=LineStyle.FAILURE
        )

    def _measure_latencies(self, starts_ns: list[int]) -> list[int]:
        ends = self._question_ends_ns
        latencies: list[int] = []
        for number, end in enumerate(ends):
            following = ends[number + 1] if number + 1 < len(ends) else self.end_ns + 1
            answers = [start for start in starts_ns if end <= start < following]
            latencies += [(start - end) // MS for start in answers[:1]]
        return latencies

    def _report_summary(self, heard_ms: int) -> None:
        discarded = sum(clear.discarded_bytes for clear in self.phone.clears)
        self._output.write_event(
            "summary",
            {
                "heard_ms": heard_ms,
                "answered_after_ms": self.latencies_ms[0] if self.latencies_ms else None,
                "latencies_ms": self.latencies_ms if len(self.latencies_ms) > 1 else None,
                "clears": len(self.phone.clears),
                "discarded_ms": samples_to_ms(discarded),
                "twilio_would_log": [code for code in self._warnings if code is not None],
            },
            style=LineStyle.FAILURE if self._warnings else LineStyle.SUCCESS,
        )


def _unreachable_code(reason: str) -> int:
    if "TLS" in reason:
        return _TLS_FAILURE
    if "refused" in reason:
        return _REFUSED
    return _NO_RESPONSE if "timed out" in reason else _UNREACHABLE
