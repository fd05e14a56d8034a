"""Traces of calls, in an exporter in memory."""

import importlib
import json
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from phone_network import ENVIRONMENT, PhoneNetwork, run_network
from twilio_realtime import Agent, Call, HangUp, PlaybackFinished, UsageError, serving
from twilio_realtime.telemetry.call_traces import MAX_OPEN_SPANS, CallTracer
from twilio_realtime_core import Fault, FaultKind, Peer
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
    InterruptedItem,
    InterruptionCause,
    ItemAdded,
    KeyPressed,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.values.items import FunctionOutput
from twilio_realtime_core.values.usage import Tokens, Usage

STARTED = CallStarted("MZ1", "CA1", "AC1", {"name": "Ann"})
HUNG_UP = CallEnded(EndReason.HUNG_UP, usage=Usage(Tokens(100), Tokens(), Tokens(7)))
WORDS = ("where is my order", "on its way", '{"id": "order 17"}', "it left at noon")

CALL: list[object] = [
    STARTED,
    SessionReady({"model": "gpt-realtime-2.1"}),
    CallerSpeechStarted("u", 0),
    CallerSpeechStopped("u", 900),
    CallerTranscript("u", WORDS[0], True),  # noqa: FBT003
    ResponseStarted("r"),
    FunctionCallRequested("c", "find_order", WORDS[2], "r", "f"),
    ResponseFinished("r", "completed", None, Usage(Tokens(50), Tokens(20), Tokens(3))),
    ItemAdded(FunctionOutput("o", "c", WORDS[3]), None),
    ResponseStarted("s"),
    PlaybackStarted("s", "i", 0),
    AgentTranscript("s", "i", 0, WORDS[1], True),  # noqa: FBT003
    Interrupted(InterruptionCause.CALLER, (InterruptedItem("s", "i", 0, 400, 900),)),
    ResponseFinished("s", "cancelled", None, None),
    KeyPressed("5"),
    HUNG_UP,
]


def trace(*events: object, with_words: bool = False) -> dict[str, Any]:
    """Return the spans of a call whose notifications come every 100 ms, by their names."""
    provider, exporter = make_provider()
    observer = CallTracer(provider, with_words=with_words).observe_call()
    for number, event in enumerate(events):
        observer.on_notification(event, number * 100 * MS)
    return {span.name: span for span in exporter.get_finished_spans()}


def make_provider() -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def parent_of(spans: dict[str, Any], name: str) -> str | None:
    ids = {span.context.span_id: each for each, span in spans.items()}
    parent = spans[name].parent
    return None if parent is None else ids[parent.span_id]


def lasted_ms(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) // MS


def test_spans_form_call_turn_response_and_function() -> None:
    spans = trace(*CALL)
    assert set(spans) == {"call", "turn", "chat gpt-realtime-2.1", "execute_tool find_order"}
    assert parent_of(spans, "call") is None
    assert parent_of(spans, "turn") == "call"
    assert parent_of(spans, "chat gpt-realtime-2.1") == "turn"
    assert spans["call"].kind is SpanKind.SERVER
    assert lasted_ms(spans["call"]) == 1500
    assert lasted_ms(spans["execute_tool find_order"]) == 200


def test_attributes_follow_the_conventions() -> None:
    spans = trace(*CALL[:8], HUNG_UP)
    response = dict(spans["chat gpt-realtime-2.1"].attributes)
    assert response == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-realtime-2.1",
        "gen_ai.response.id": "r",
        "gen_ai.response.finish_reasons": ("completed",),
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.output_tokens": 3,
    }
    call = dict(spans["call"].attributes)
    assert call["gen_ai.conversation.id"] == "CA1"
    assert call["gen_ai.usage.output_tokens"] == 7
    assert call["twilio_realtime.end_reason"] == "hung up"
    tool = dict(spans["execute_tool find_order"].attributes)
    assert tool["gen_ai.tool.call.id"] == "c"


def test_names_are_those_of_the_conventions() -> None:
    conventions = importlib.import_module(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    names = vars(conventions)
    known = {value for name, value in names.items() if name.startswith("GEN_AI_")}
    spans = trace(*CALL, with_words=True)
    used = {name for span in spans.values() for name in span.attributes}
    assert {each for each in used if each.startswith("gen_ai.")} <= known


def test_latency_and_interruptions_are_noted_in_the_turn() -> None:
    turn = trace(*CALL)["turn"]
    assert turn.attributes["twilio_realtime.response_latency_ms"] == 700
    (event,) = turn.events
    assert event.name == "interrupted"
    assert event.attributes["twilio_realtime.heard_ms"] == (400,)


def test_no_words_are_kept() -> None:
    text = "".join(span.to_json() for span in trace(*CALL).values())
    assert not any(word in text for word in (*WORDS, "Ann", "AC1"))


def test_words_are_kept_where_they_are_asked_for() -> None:
    spans = trace(*CALL, with_words=True)
    (said,) = json.loads(spans["turn"].attributes["gen_ai.input.messages"])
    assert said["parts"][0]["content"] == WORDS[0]
    (answer,) = json.loads(spans["chat gpt-realtime-2.1"].attributes["gen_ai.output.messages"])
    assert answer["role"] == "assistant"
    tool = spans["execute_tool find_order"].attributes
    assert tool["gen_ai.tool.call.arguments"] == WORDS[2]
    assert tool["gen_ai.tool.call.result"] == WORDS[3]


def test_a_call_that_fails_is_marked() -> None:
    spans = trace(STARTED, ResponseStarted("r"), CallEnded(EndReason.REALTIME_LOST))
    assert spans["call"].status.status_code is StatusCode.ERROR
    assert spans["call"].attributes["error.type"] == "realtime lost"
    assert spans["chat"].end_time == spans["call"].end_time


def test_a_failed_response_is_marked() -> None:
    spans = trace(
        STARTED, ResponseStarted("r"), ResponseFinished("r", "failed", None, None), HUNG_UP
    )
    assert spans["chat"].status.status_code is StatusCode.ERROR


def test_events_before_the_first_turn_belong_to_the_call() -> None:
    events = (
        Fault(Peer.TWILIO, FaultKind.NOT_JSON, "x"),
        SessionLost(EndReason.REALTIME_LOST, "", 1, 0),
        SessionRestored((), (), {}),
    )
    call = trace(STARTED, STARTED, *events, HUNG_UP, *events)["call"]
    assert [each.name for each in call.events] == ["fault", "session lost", "session restored"]


def test_open_spans_are_bounded() -> None:
    provider, exporter = make_provider()
    observer = CallTracer(provider).observe_call()
    observer.on_notification(STARTED, 0)
    for number in range(MAX_OPEN_SPANS + 9):
        observer.on_notification(ResponseStarted(f"r{number}"), 0)
        request = FunctionCallRequested(f"c{number}", "f", "{}", "r", "i")
        observer.on_notification(request, 0)
    observer.on_notification(ItemAdded(FunctionOutput("o", "unknown", ""), None), 0)
    observer.on_notification(ResponseFinished("unknown", None, None, None), 0)
    observer.on_notification(HUNG_UP, 0)
    assert len(exporter.get_finished_spans()) == 2 * MAX_OPEN_SPANS + 1


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_a_served_call_is_traced(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    provider, exporter = make_provider()
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    agent = Agent(greeting="Greet.")
    agent.on(PlaybackFinished)(lambda call, _: hang_up(call))

    async def use(network: PhoneNetwork) -> None:
        async with serving(agent, traces=True, **network.settings):
            await network.call_in()

    run_network(PhoneNetwork(runtime), use)
    names = {span.name.partition(" ")[0] for span in exporter.get_finished_spans()}
    assert {"call", "chat"} <= names


def hang_up(call: Call) -> None:
    call.send(HangUp())


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match="tracing"):
        CallTracer()
