"""Traces of calls for OpenTelemetry (the extra `tracing`): call, turn, response, function.

    service = Service(config, observers=[CallTracer().observe_call])

The program chooses where traces go, by the SDK that it sets up; without one nothing happens. Names
are those of OpenTelemetry's conventions for generative AI (https://opentelemetry.io/docs/specs/
semconv/gen-ai/, read 2026-12-01), and `twilio_realtime.*` for what these do not have. What people
say, and what functions get and return, is left out unless it is asked for.
"""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from twilio_realtime_core.errors import Fault, redact
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    AgentTranscript,
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallStarted,
    EndReason,
    FunctionCallRequested,
    Interrupted,
    ItemAdded,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.values.items import FunctionOutput

from ..errors import UsageError
from .observer import ResponseClock

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["MAX_OPEN_SPANS", "CallTraceObserver", "CallTracer"]

MAX_OPEN_SPANS: Final = 64
"""Responses and functions of a call that are traced at a time: more than a model has open. Those
beyond are left out."""

_NORMAL_ENDS: Final = (EndReason.CALLER_HUNG_UP, EndReason.HUNG_UP, EndReason.GOING_AWAY)

_TRACED: Final = frozenset(
    {
        AgentTranscript,
        CallEnded,
        CallStarted,
        CallerSpeechStarted,
        CallerSpeechStopped,
        CallerTranscript,
        Fault,
        FunctionCallRequested,
        Interrupted,
        ItemAdded,
        PlaybackStarted,
        ResponseFinished,
        ResponseStarted,
        SessionLost,
        SessionReady,
        SessionRestored,
    }
)
"""The notifications that are traced; all others cost one look-up."""


def _import_api() -> Any:
    try:
        from opentelemetry import trace  # noqa: PLC0415 - it is an extra
    except ModuleNotFoundError:
        raise UsageError(
            "traces need opentelemetry-api: pip install 'twilio-realtime-core[tracing]'"
        ) from None
    return trace


@define(eq=False)
class CallTracer:
    """Traces calls. `provider` is that of the program by default. `with_words`: keep what both
    sides say, and what functions get and return.

    Raises `UsageError` if opentelemetry-api is not installed.
    """

    provider: "TracerProvider | None" = None
    with_words: bool = field(default=False, kw_only=True)
    model_provider: str = field(default="openai", kw_only=True)
    """Whose model it is, in the words of the conventions: "openai" or "azure.ai.openai"."""
    _tracer: "Tracer" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tracer = _import_api().get_tracer("twilio_realtime", tracer_provider=self.provider)

    def observe_call(self) -> "CallTraceObserver":
        """Return the observer of a new call."""
        return CallTraceObserver(self._tracer, self.with_words, self.model_provider)


@define(eq=False)
class CallTraceObserver:
    """Makes the spans of one call."""

    _tracer: "Tracer"
    _with_words: bool
    _model_provider: str
    _clock: ResponseClock = field(init=False, factory=ResponseClock)
    _unix_offset_ns: int = field(init=False, default=0)
    _model: str | None = field(init=False, default=None)
    _call: "Span | None" = field(init=False, default=None)
    _turn: "Span | None" = field(init=False, default=None)
    _responses: "dict[str, Span]" = field(init=False, factory=dict[str, "Span"])
    _functions: "dict[str, Span]" = field(init=False, factory=dict[str, "Span"])

    def on_notification(self, event: object, now: int) -> None:
        """Trace a notification."""
        if type(event) not in _TRACED:
            return
        if isinstance(event, CallStarted):
            self._start_call(event, now)
        elif self._call is not None:
            self._trace(event, now, self._call)

    def _trace(self, event: object, now: int, call: "Span") -> None:
        match event:
            case SessionReady(session=session):
                self._note_model(call, session.get("model"))
            case CallerSpeechStarted():
                self._start_turn(now)
                self._clock.speech_started()
            case CallerSpeechStopped():
                self._clock.speech_stopped(now)
            case PlaybackStarted():
                latency_ns = self._clock.playback_started(now)
                if latency_ns is not None:
                    name = "twilio_realtime.response_latency_ms"
                    (self._turn or call).set_attribute(name, latency_ns // MS)
            case ResponseStarted(response_id=response_id):
                self._start_response(response_id, now)
            case ResponseFinished():
                self._finish_response(event, now)
            case FunctionCallRequested():
                self._start_function(event, now)
            case ItemAdded(item=FunctionOutput() as output):
                self._finish_function(output, now)
            case Interrupted():
                heard_ms = [each.heard_ms for each in event.items]
                fields = {"twilio_realtime.cause": event.cause.value}
                self._note("interrupted", fields | {"twilio_realtime.heard_ms": heard_ms}, now)
            case CallerTranscript(text=text, final=True) if self._with_words:
                self._note_words(self._turn or call, "gen_ai.input.messages", "user", text)
            case AgentTranscript(response_id=response_id, text=text, final=True):
                span = self._responses.get(response_id)
                if self._with_words and span is not None:
                    self._note_words(span, "gen_ai.output.messages", "assistant", text)
            case Fault(kind=kind):
                self._note("fault", {"twilio_realtime.kind": kind.value}, now)
            case SessionLost(cause=cause):
                self._note("session lost", {"twilio_realtime.reason": cause.value}, now)
            case SessionRestored():
                self._note("session restored", {}, now)
            case CallEnded():
                self._finish_call(event, now, call)
            case _:
                pass

    # The call and its turns.

    def _start_call(self, event: CallStarted, now: int) -> None:
        if self._call is not None:
            return  # a second stream of the same socket
        self._unix_offset_ns = time.time_ns() - now
        fields = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": self._model_provider,
        }
        if event.call_sid is not None:
            fields["gen_ai.conversation.id"] = redact(event.call_sid)
        self._call = self._start_span("call", None, fields, now, is_server=True)

    def _note_model(self, call: "Span", model: object) -> None:
        if isinstance(model, str):
            self._model = model
            call.set_attribute("gen_ai.request.model", model)

    def _start_turn(self, now: int) -> None:
        self._end(self._turn, now)
        self._turn = self._start_span("turn", self._call, {}, now)

    def _finish_call(self, event: CallEnded, now: int, call: "Span") -> None:
        for span in (*self._functions.values(), *self._responses.values(), self._turn):
            self._end(span, now)
        self._functions.clear()
        self._responses.clear()
        call.set_attribute("twilio_realtime.end_reason", event.reason.value)
        call.set_attribute("gen_ai.usage.input_tokens", event.usage.input.total)
        call.set_attribute("gen_ai.usage.output_tokens", event.usage.output.total)
        if event.reason not in _NORMAL_ENDS:
            self._mark_failed(call, event.reason.value)
        self._end(call, now)
        self._call = self._turn = None

    # Responses and functions.

    def _start_response(self, response_id: str, now: int) -> None:
        fields = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._model_provider,
            "gen_ai.response.id": response_id,
        }
        if self._model is not None:
            fields["gen_ai.request.model"] = self._model
        if len(self._responses) < MAX_OPEN_SPANS:
            name = "chat" if self._model is None else f"chat {self._model}"
            parent = self._turn or self._call
            self._responses[response_id] = self._start_span(name, parent, fields, now)

    def _finish_response(self, event: ResponseFinished, now: int) -> None:
        span = self._responses.pop(event.response_id, None)
        if span is None:
            return
        if event.status is not None:
            span.set_attribute("gen_ai.response.finish_reasons", [redact(event.status)])
        if event.usage is not None:
            usage = event.usage
            span.set_attribute("gen_ai.usage.input_tokens", usage.input.total)
            span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cached.total)
            span.set_attribute("gen_ai.usage.output_tokens", usage.output.total)
        if event.status == "failed":
            self._mark_failed(span, "failed")
        self._end(span, now)

    def _start_function(self, event: FunctionCallRequested, now: int) -> None:
        fields = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.call.id": event.call_id,
            "gen_ai.tool.type": "function",
        }
        if self._with_words:
            fields["gen_ai.tool.call.arguments"] = event.arguments
        if len(self._functions) < MAX_OPEN_SPANS:
            parent = self._responses.get(event.response_id) or self._turn or self._call
            name = f"execute_tool {event.name}"
            self._functions[event.call_id] = self._start_span(name, parent, fields, now)

    def _finish_function(self, output: FunctionOutput, now: int) -> None:
        span = self._functions.pop(output.call_id, None)
        if span is not None and self._with_words:
            span.set_attribute("gen_ai.tool.call.result", output.output)
        self._end(span, now)

    # Spans.

    def _start_span(
        self,
        name: str,
        parent: "Span | None",
        attributes: Mapping[str, Any],
        now: int,
        *,
        is_server: bool = False,
    ) -> "Span":
        api = _import_api()
        return self._tracer.start_span(  # type: ignore[no-any-return, unused-ignore]
            name,
            context=None if parent is None else api.set_span_in_context(parent),
            kind=api.SpanKind.SERVER if is_server else api.SpanKind.INTERNAL,
            attributes=attributes,
            start_time=now + self._unix_offset_ns,
        )

    def _end(self, span: "Span | None", now: int) -> None:
        if span is not None:
            span.end(now + self._unix_offset_ns)

    def _note(self, name: str, attributes: Mapping[str, Any], now: int) -> None:
        """Add an event to the turn, or to the call before the first."""
        span = self._turn or self._call
        if span is not None:
            span.add_event(name, attributes, now + self._unix_offset_ns)

    def _note_words(self, span: "Span", name: str, role: str, text: str) -> None:
        message = {"role": role, "parts": [{"type": "text", "content": text}]}
        span.set_attribute(name, json.dumps([message], ensure_ascii=False))

    def _mark_failed(self, span: "Span", reason: str) -> None:
        span.set_status(_import_api().StatusCode.ERROR, reason)
        span.set_attribute("error.type", reason)
