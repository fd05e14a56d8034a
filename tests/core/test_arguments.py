"""Misuse is caught at the door, by an error that names the argument, its type and its unit."""

import time
from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest
from msgspec import UNSET

import twilio_realtime_core
from calling import Call
from twilio_realtime_core import (
    AnswerApproval,
    Bridge,
    CallConfig,
    Configure,
    HangUp,
    Interrupt,
    InterruptionPolicy,
    LocalProtocolError,
    Peer,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    SessionConfig,
    commands,
)
from twilio_realtime_core.config import call as call_config
from twilio_realtime_core.config import interruption_policy, session, tools
from twilio_realtime_core.config.interruption_policy import InterruptionLimit
from twilio_realtime_core.config.model_silence_policy import ModelSilencePolicy
from twilio_realtime_core.machine.actions import Notify, Refusal
from twilio_realtime_core.machine.arguments import FieldRule
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClearInputAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    RawClientEvent,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
    client_event,
)
from twilio_realtime_core.transport.handshake import HttpRequest, HttpResponse
from twilio_realtime_core.transport.http import HttpConnection
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig
from twilio_realtime_core.values.items import (
    AudioPart,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
)

_WRONG_TIME: Final = "now must be an instant of a monotonic clock in whole nanoseconds"
WRONG_TIMES: Final[list[Any]] = [
    1.5,
    1e9,
    float("nan"),
    True,
    None,
    "1",
    pytest.param(time.monotonic(), id="seconds of a clock"),
]
LINK: Final = LinkConfig(max_message_bytes=1024)


def random_bytes(count: int) -> bytes:
    return bytes(count)


# Time.


def bridge_steps(bridge: Bridge, now: Any) -> list[Callable[[], object]]:
    return [
        lambda: bridge.opened(Peer.TWILIO, now),
        lambda: bridge.receive_text(Peer.TWILIO, "{}", now),
        lambda: bridge.pong(Peer.TWILIO, b"", now),
        lambda: bridge.closed(Peer.TWILIO, 1000, "", now),
        lambda: bridge.send(HangUp(), now),
        lambda: bridge.handle_timeout(now),
        lambda: bridge.playback_positions(now),
    ]


@pytest.mark.parametrize("now", WRONG_TIMES)
def test_every_method_of_a_bridge_refuses_a_time_that_is_no_int(now: Any) -> None:
    bridge = Bridge()
    with pytest.raises(LocalProtocolError, match=_WRONG_TIME):
        bridge.start(now)
    bridge.start(0)
    for step in bridge_steps(bridge, now):
        with pytest.raises(LocalProtocolError, match=_WRONG_TIME):
            step()
    assert bridge.opened(Peer.TWILIO, 0) == []  # nothing has changed
    assert bridge.deadline == 10_000_000_000


@pytest.mark.parametrize("now", WRONG_TIMES)
def test_every_method_of_a_stack_refuses_a_time_that_is_no_int(now: Any) -> None:
    stack = Stack(Bridge(), {Peer.REALTIME: LINK}, random_bytes)
    steps: list[Callable[[], object]] = [
        lambda: stack.start(now),
        lambda: stack.connected(Peer.REALTIME, now),
        lambda: stack.headers_resolved(Peer.REALTIME, {}, now),
        lambda: stack.connect_failed(Peer.REALTIME, "", now),
        lambda: stack.receive_bytes(Peer.REALTIME, b"", now),
        lambda: stack.receive_eof(Peer.REALTIME, now),
        lambda: stack.perform([], now),
        lambda: stack.handle_timeout(now),
    ]
    for step in steps:
        with pytest.raises(LocalProtocolError, match=r"now must be .* nanoseconds \(int\)"):
            step()


@pytest.mark.parametrize("now", WRONG_TIMES)
def test_every_method_of_an_http_connection_refuses_a_time_that_is_no_int(now: Any) -> None:
    def respond(request: HttpRequest) -> Any:
        raise AssertionError(request)

    http = HttpConnection(peer="peer", respond=respond, random_bytes=random_bytes)
    with pytest.raises(LocalProtocolError, match=r"now must be .* nanoseconds \(int\)"):
        http.start(now)
    http.start(0)
    steps: list[Callable[[], object]] = [
        lambda: http.connected("peer", now),
        lambda: http.receive_bytes("peer", b"", now),
        lambda: http.receive_eof("peer", now),
        lambda: http.handle_timeout(now),
    ]
    for step in steps:
        with pytest.raises(LocalProtocolError, match=r"now must be .* nanoseconds \(int\)"):
            step()


def test_a_time_before_start_is_named_as_such() -> None:
    with pytest.raises(LocalProtocolError, match=r"start\(\) must be called"):
        Bridge().handle_timeout(0)


# What is received.


@pytest.mark.parametrize("text", [b"{}", {"event": "connected"}, None, 1])
def test_only_text_is_received(text: Any) -> None:
    bridge = Bridge()
    bridge.start(0)
    bridge.opened(Peer.TWILIO, 0)
    with pytest.raises(LocalProtocolError, match=r"text must be text"):
        bridge.receive_text(Peer.TWILIO, text, 0)


class Text(str):
    """Text of another class."""

    __slots__ = ()


def test_text_of_a_subclass_is_received() -> None:
    bridge = Bridge()
    bridge.start(0)
    bridge.opened(Peer.TWILIO, 0)
    exact = Bridge()
    exact.start(0)
    exact.opened(Peer.TWILIO, 0)
    for text in ('{"event":"connected"}', '{"event":"stop"}', "{"):
        expected = exact.receive_text(Peer.TWILIO, text, 0)
        assert bridge.receive_text(Peer.TWILIO, Text(text), 0) == expected


def test_arguments_of_pong_and_closed_have_their_types() -> None:
    bridge: Any = Bridge()
    bridge.start(0)
    bridge.opened(Peer.TWILIO, 0)
    with pytest.raises(LocalProtocolError, match="payload must be bytes, not str"):
        bridge.pong(Peer.TWILIO, "x", 0)
    with pytest.raises(LocalProtocolError, match=r"code must be a whole number .* not None"):
        bridge.closed(Peer.TWILIO, None, "", 0)
    with pytest.raises(LocalProtocolError, match="reason must be text, not bytes"):
        bridge.closed(Peer.TWILIO, 1000, b"", 0)


def test_only_bytes_are_received_from_a_byte_stream() -> None:
    stack: Any = Stack(Bridge(), {Peer.REALTIME: LINK}, random_bytes)
    stack.start(0)
    with pytest.raises(LocalProtocolError, match="data must be bytes, not str"):
        stack.receive_bytes(Peer.REALTIME, "x", 0)
    with pytest.raises(LocalProtocolError, match="reason must be text, not None"):
        stack.connect_failed(Peer.REALTIME, None, 0)


def test_a_peer_of_a_stack_is_hashable() -> None:
    stack: Any = Stack(Bridge(), {Peer.REALTIME: LINK}, random_bytes)
    stack.start(0)
    with pytest.raises(LocalProtocolError, match="a peer must be hashable, not list"):
        stack.receive_bytes([], b"x", 0)


@pytest.mark.parametrize("actions", [None, "ab", ["x"], [HangUp()], [Notify("x"), None], 5])
def test_only_actions_are_performed(actions: Any) -> None:
    stack = Stack(Bridge(), {Peer.REALTIME: LINK}, random_bytes)
    stack.start(0)
    with pytest.raises(LocalProtocolError, match=r"^actions must be a list or tuple, .* each O"):
        stack.perform(actions, 5)
    assert stack.perform([Notify("x")], 0) == [Notify("x")]  # nothing has changed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("503", None, None, "x"),
            r"Refusal\.status must be a whole number from 100 to .*, not str",
        ),
        ((503, "x", None, "x"), r"Refusal\.retry_after_ms must be 0 to .* ms \(int\), or None"),
        ((503, None, 5, "x"), r"Refusal\.error_code must be text, or None, not int"),
        ((503, None, None, None), r"Refusal\.message must be text, not None"),
    ],
)
def test_fields_of_a_refusal_have_their_types(arguments: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        Refusal(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("404",), r"HttpResponse\.status must be a whole number from 100 to 999, not str"),
        ((99999,), r"HttpResponse\.status must be .* it is out of range"),
        ((True,), r"HttpResponse\.status must be .* not bool"),
        ((404, "x"), r"HttpResponse\.body must be bytes, not str"),
        ((404, b"x", 5), r"HttpResponse\.content_type must be text, not int"),
        ((404, b"x", "x", 5), r"HttpResponse\.headers must be a tuple of pairs of text"),
        ((404, b"x", "x", (("a", 1),)), r"HttpResponse\.headers must be a tuple of pairs of text"),
    ],
)
def test_fields_of_a_response_have_their_types(arguments: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        HttpResponse(*arguments)


# What machines are made of.


def any_call(*arguments: Any, of: Any, **named: Any) -> Callable[[], object]:
    return lambda: of(*arguments, **named)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (any_call(SessionConfig(), of=Bridge), "config must be CallConfig, or None, not Session"),
        (any_call(None, of=Bridge, make_lifecycle=1), "make_lifecycle must be callable"),
        (
            any_call(Bridge(), [], random_bytes, of=Stack),
            "link_configs must be a mapping, not list",
        ),
        (any_call(Bridge(), {1: None}, random_bytes, of=Stack), r"link_configs\[1\] must be LinkC"),
        (any_call(None, {}, random_bytes, of=Stack), "machine must be a MessageMachine, not None"),
        (any_call(Bridge, {}, random_bytes, of=Stack), "MessageMachine, not the class Bridge"),
        (any_call(Bridge(), {}, b"", of=Stack), "random_bytes must be callable, not bytes"),
        (
            any_call(of=HttpConnection, peer=1, respond=None, random_bytes=random_bytes),
            "respond must be callable, not None",
        ),
    ],
)
def test_parts_of_a_machine_have_their_types(create: Callable[[], object], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        create()


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (
            any_call(of=CallConfig, session={}),
            r"CallConfig\.session must be SessionConfig, not dict",
        ),
        (any_call(of=CallConfig, session=CallConfig), "not the class CallConfig"),
        (any_call(of=CallConfig, model=None), r"CallConfig\.model must be text .*, not None"),
        (any_call(of=CallConfig, url=b"wss://x"), r"CallConfig\.url must be a ws:.*, not bytes"),
        (any_call(of=CallConfig, session_timeout_ms=15), r"100 to 2147483647 ms \(int\), not 15"),
        (any_call(of=CallConfig, session_timeout_ms=15.0), r"ms \(int\), not 15\.0"),
        (any_call(of=CallConfig, session_timeout_ms=15 * 10**9), r"ms \(int\), not 15000000000"),
        (any_call(of=CallConfig, resume=None), r"CallConfig\.resume must be a list .*, not None"),
        (any_call(of=CallConfig, resume=5), r"CallConfig\.resume must be a list .*, not int"),
        (
            any_call(of=CallConfig, resume=[5]),
            r"CallConfig\.resume\[0\] must be Message or",
        ),
        (
            any_call(of=CallConfig, resume=[Message("a", Role.USER, (TextPart("\ud800"),))]),
            r"CallConfig\.resume\[0\]\.parts\[0\]\.text must be text: it has lone surrogates",
        ),
        (any_call(of=ModelSilencePolicy, hang_up=None), r"hang_up must be True or False, not None"),
        (any_call(of=CallConfig, interruption="never"), "interruption must be InterruptionPolicy"),
        (any_call(of=CallConfig, notify_agent_audio=1), "notify_agent_audio must be True or False"),
        (
            any_call(of=CallConfig, raw_messages={Peer.TWILIO}),
            "must be a frozenset of Peer, not set",
        ),
        (any_call(of=CallConfig, start_delay_history=()), "must be StartDelayHistory, not tuple"),
        (any_call(of=InterruptionPolicy, after_speech_ms=0.3), r"ms \(int\), not 0\.3"),
        (any_call(of=InterruptionPolicy, allowed=None), "allowed must be True or False, not None"),
        (any_call(of=InterruptionPolicy, predicate=True), "predicate must be callable, or None"),
        (any_call(of=InterruptionPolicy, limit=3), "limit must be InterruptionLimit, or None"),
        (any_call(3, 60.0, of=InterruptionLimit), r"per_ms must be 1 to 2147483647 ms \(int\)"),
        (
            any_call(of=LinkConfig, max_message_bytes="1"),
            "max_message_bytes must be a whole number",
        ),
        (
            any_call(of=LinkConfig, max_message_bytes=1, pong_timeout_ms=20),
            r"LinkConfig\.pong_timeout_ms must be 100 to 2147483647 ms \(int\), not 20",
        ),
        (
            any_call(of=LinkConfig, max_message_bytes=1, headers={"a": "b"}),
            "headers must be a tuple of pairs of text",
        ),
    ],
)
def test_fields_of_a_configuration_have_their_types(
    create: Callable[[], object], message: str
) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        create()


# Commands.


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (any_call(b"hi", of=SendMessage), r"SendMessage\.content must be text, a TextPart"),
        (any_call(None, of=SendMessage), r"SendMessage\.content must be text, .* not None"),
        (any_call([b"hi"], of=SendMessage), r"content\[0\] must be TextPart or .*, not bytes"),
        (any_call(["hi"], of=SendMessage), r"content\[0\] must be TextPart or .*, not str"),
        (any_call([Text("hi")], of=SendMessage), r"content\[0\] must be TextPart or .*, not Text"),
        (any_call([TextPart(b"x")], of=SendMessage), r"SendMessage\.content\[0\]\.text must be te"),  # type: ignore[arg-type]
        (any_call([ImagePart("u", 1)], of=SendMessage), r"content\[0\]\.detail must be text, or N"),  # type: ignore[arg-type]
        (
            any_call([ImagePart("u", "zzz")], of=SendMessage),
            r"\[0\]\.detail must be 'auto' or 'l",
        ),
        (any_call("hi", 1, of=SendMessage), r"SendMessage\.respond must be True or False"),
        (any_call("hi", extra_fields=[], of=SendMessage), "extra_fields must be a mapping"),
        (any_call("hi", of=SendAudio), r"SendAudio\.audio must be bytes, not str"),
        (any_call(b"x", 1, of=SendAudio), r"SendAudio\.commit must be True or False"),
        (any_call("c", {"a": 1}, of=SendFunctionOutput), r"output must be text, not dict"),
        (any_call(None, "x", of=SendFunctionOutput), r"call_id must be text that is not empty"),
        (any_call("c", "\ud800", of=SendFunctionOutput), "output must be text: it has lone surr"),
        (any_call("a", approve=True, reason="\ud800", of=AnswerApproval), "reason must be text"),
        (any_call("a", "yes", of=AnswerApproval), r"AnswerApproval\.approve must be True or False"),
        (any_call(5, of=ResetHistory), r"ResetHistory\.items must be a list of conversation items"),
        (any_call("ab", of=ResetHistory), r"ResetHistory\.items must be a list"),
        (any_call([{"id": "a"}], of=ResetHistory), r"items\[0\] must be Message or .*, not dict"),
        (
            any_call([Message("a", "user")], of=ResetHistory),  # type: ignore[arg-type]
            r"items\[0\]\.role must be Role, not str",
        ),
        (
            any_call([Message("a", Role.USER, phase=5)], of=ResetHistory),  # type: ignore[arg-type]
            r"items\[0\]\.phase must be text, or None, not int",
        ),
        (
            any_call([FunctionOutput("a", "c", "\ud800")], of=ResetHistory),
            r"items\[0\]\.output must be text: it has lone surrogates",
        ),
        (
            any_call([Message("a", Role.USER, [TextPart("x")])], of=ResetHistory),  # type: ignore[arg-type]
            r"items\[0\]\.parts must be a tuple of parts, not list",
        ),
        (
            any_call([Message("a", Role.USER, (AudioPart("x", heard_ms=1.5),))], of=ResetHistory),  # type: ignore[arg-type]
            r"items\[0\]\.parts\[0\]\.heard_ms must be 0 to .* ms \(int\), or None, not 1\.5",
        ),
        (
            any_call([FunctionCall("a", "c", "f", {})], of=ResetHistory),  # type: ignore[arg-type]
            r"items\[0\]\.arguments must be text, not dict",
        ),
        (
            any_call([UnknownItem("a", "x", None)], of=ResetHistory),  # type: ignore[arg-type]
            r"items\[0\]\.data must be a mapping, not None",
        ),
        (any_call("x", of=Play), r"Play\.audio must be bytes, not str"),
        (any_call(b"x", name=None, of=Play), r"Play\.name must be text, not None"),
        (any_call(b"x", until_agent_speaks="yes", of=Play), "until_agent_speaks must be True or"),
        (any_call(12, of=PressKeys), r"PressKeys\.keys must be text"),
        (any_call("", of=PressKeys), r"PressKeys\.keys is empty"),
        (any_call("1x", of=PressKeys), r"PressKeys\.keys\[1\] is not a key"),
        (any_call("1" * 301, of=PressKeys), r"keys must take at most 60000 ms, not 60200 ms"),
        (any_call("1", 5, of=PressKeys), r"PressKeys\.tone_ms must be 40 to 5000 ms .*, not 5$"),
        (any_call("1", pause_ms=0, of=PressKeys), r"pause_ms must be 40 to 5000 ms .*, not 0$"),
        (any_call("1", 0.1, of=PressKeys), r"PressKeys\.tone_ms must be .* ms \(int\), not 0\.1"),
        (any_call(5, of=HangUp), r"HangUp\.after_playback must be True or False"),
        (any_call(0, of=Interrupt), r"Interrupt\.cancel must be True or False"),
        (
            any_call(CallConfig(), of=Configure),
            r"Configure\.session must be SessionConfig, or None",
        ),
        (any_call(model="", of=Configure), r"Configure\.model must be text that is not empty"),
        (any_call("response.create", of=SendEvent), r"SendEvent\.event must be a client event"),
        (any_call(CreateResponse, of=SendEvent), "not the class CreateResponse"),
        (any_call([], of=client_event), "a client event must be a mapping, not list"),
    ],
)
def test_fields_of_a_command_have_their_types(create: Callable[[], object], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        create()


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (any_call(None, of=UpdateSession), r"UpdateSession\.session must be a mapping"),
        (any_call({}, 5, of=UpdateSession), r"UpdateSession\.event_id must be text of at most 512"),
        (any_call("x" * 513, of=CommitAudio), "of at most 512 .*, or None: it has 513 characters"),
        (any_call(1, of=ClearInputAudio), r"ClearInputAudio\.event_id must be text"),
        (any_call([], of=CreateItem), r"CreateItem\.item must be a mapping, not list"),
        (any_call({}, 1, of=CreateItem), r"CreateItem\.previous_item_id must be text, or None"),
        (any_call(None, of=DeleteItem), r"DeleteItem\.item_id must be text, not None"),
        (any_call(5, of=RetrieveItem), r"RetrieveItem\.item_id must be text"),
        (
            any_call("a", 0, 1.5, of=TruncateItem),
            r"audio_end_ms must be whole ms \(int\).*not 1\.5",
        ),
        (any_call("a", None, 1, of=TruncateItem), r"content_index must be a whole number \(int\)"),
        (any_call("x", of=CreateResponse), r"CreateResponse\.response must be a mapping, or None"),
        (any_call(5, of=CancelResponse), r"CancelResponse\.response_id must be text, or None"),
        (any_call("x", None, of=RawClientEvent), r"RawClientEvent\.body must be a mapping"),
    ],
)
def test_fields_of_a_client_event_have_their_types(
    create: Callable[[], object], message: str
) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        create()


NO_JSON: Final = {
    ("CallConfig", "model"),
    ("Configure", "model"),
    ("Interrupt", "response_id"),
    ("NotifyAfterPlayback", "name"),
    ("Play", "name"),
    ("PressKeys", "keys"),
}
"""Texts of commands and configurations that are not sent as JSON."""


AS_VALUES: Final[list[Callable[[str], Any]]] = [lambda text: text, lambda text: [text]]


def text_fields() -> list[tuple[str, FieldRule, Any]]:
    """The fields of commands and configurations that are sent as JSON and can hold text, with a
    function that makes a value of a text."""
    found: list[tuple[str, FieldRule, Any]] = []
    modules = (call_config, commands, interruption_policy, session, tools)
    kinds = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    for kind in sorted(filter(attrs.has, kinds), key=lambda each: each.__name__):
        for each in attrs.fields(kind):
            rule: Any = each.validator
            if isinstance(rule, FieldRule) and (kind.__name__, each.name) not in NO_JSON:
                name = f"{kind.__name__}.{each.name}"
                found += [
                    (name, rule, make)
                    for make in AS_VALUES
                    if any(rule.accepts(make(text)) for text in SOME_TEXTS)
                ]
    return found


SOME_TEXTS: Final = ("x", "auto", "low", "near_field", "direct", "always", "none", "inf")
TEXT_FIELDS: Final = text_fields()


@pytest.mark.parametrize(
    ("rule", "make"), [each[1:] for each in TEXT_FIELDS], ids=[each[0] for each in TEXT_FIELDS]
)
def test_every_text_that_is_sent_is_one_that_json_can_hold(
    rule: FieldRule, make: Callable[[str], Any]
) -> None:
    assert not rule.accepts(make("\ud800"))
    assert not any(rule.accepts(make(Text(text))) for text in SOME_TEXTS)


def test_the_texts_of_commands_and_configurations_are_found() -> None:
    names = {name for name, _, _ in TEXT_FIELDS}
    assert {
        "SendFunctionOutput.call_id",
        "AnswerApproval.reason",
        "InterruptionLimit.instruction",
        "SessionConfig.instructions",
        "Transcription.keywords",
        "McpTool.authorization",
        "ChooseFunction.name",
        "SemanticVad.eagerness",
    } <= names


def test_audio_to_append_is_checked_when_it_is_sent() -> None:
    """It is created 50 times a second, so not before."""
    wrong: Any = b"AAAA"
    with pytest.raises(LocalProtocolError, match=r"AppendAudio\.audio must be text, not bytes"):
        Call.ready().send(AppendAudio(wrong))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (5, r"AppendAudio\.extra_fields must be a mapping, not int"),
        ([1], r"AppendAudio\.extra_fields must be a mapping, not list"),
        ({"x": object()}, r"input_audio_buffer\.append\.x must be JSON data, not object"),
        ({"audio": "no base64"}, r"extra_fields must not hold 'audio'"),
    ],
)
def test_unknown_fields_of_audio_are_checked_when_it_is_sent(more: Any, message: str) -> None:
    call = Call.ready()
    with pytest.raises(LocalProtocolError, match=message):
        call.send(AppendAudio("AAAA", extra_fields=more))
    assert len(call.send(AppendAudio("AAAA", extra_fields={"x": 1})).to_model) == 1


PCM: Final = {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (CreateResponse(extra_fields={"response": PCM}), r"CreateResponse.*'response'"),
        (CreateItem({}, extra_fields={"event_id": 5}), r"CreateItem.*'event_id'"),
        (UpdateSession({}, extra_fields={"session": PCM}), r"UpdateSession.*'session'"),
        (SendEvent(CommitAudio(extra_fields={"type": "x"})), r"CommitAudio.*'type'"),
        (SendMessage("x", extra_fields={"item": {}}), r"SendMessage.*'item'"),
        (SendMessage("x", extra_fields={"type": "x"}), r"SendMessage.*'type'"),
    ],
)
def test_unknown_fields_bypass_no_check(command: Any, message: str) -> None:
    call = Call.ready()
    with pytest.raises(LocalProtocolError, match=f"{message}, which .* sets: use its fields"):
        call.send(command)
    assert call.send(CreateResponse(extra_fields={"x": 1})).to_model  # nothing has changed


def test_a_raw_event_keeps_its_unknown_fields() -> None:
    call = Call.ready()
    body = {"type": "conversation.item.delete", "item_id": "i", "why": "x", "extra_fields": 1}
    (sent,) = call.send(RawClientEvent("conversation.item.delete", body)).to_model
    assert sent == DeleteItem("i", extra_fields={"why": "x", "extra_fields": 1})


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (any_call(of=CallConfig, model=UNSET), r"CallConfig\.model must be .*, not UnsetType"),
        (any_call(of=CallConfig, session=UNSET), r"CallConfig\.session must be SessionConfig"),
        (any_call(of=CallConfig, start_timeout_ms=UNSET), r"start_timeout_ms must be .* UnsetType"),
        (any_call(UNSET, of=Play), r"Play\.audio must be bytes, not UnsetType"),
        (any_call(UNSET, of=SendEvent), r"SendEvent\.event must be a client event"),
        (any_call(UNSET, of=UpdateSession), r"UpdateSession\.session must be a mapping, not Unset"),
        (any_call(UNSET, of=HangUp), r"HangUp\.after_playback must be True or False, not Unset"),
    ],
)
def test_a_field_that_has_no_server_default_cannot_be_unset(
    create: Callable[[], object], message: str
) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        create()


def test_every_command_is_exported() -> None:
    assert set(commands.__all__) <= set(twilio_realtime_core.__all__)


def test_a_class_is_no_command() -> None:
    wrong: Any = HangUp
    with pytest.raises(LocalProtocolError, match="the class HangUp is not a command: create an"):
        Call.ready().send(wrong)


def test_a_value_is_never_shown_in_an_error() -> None:
    secret: Any = b"sk-secret"
    with pytest.raises(LocalProtocolError) as raised:
        SendMessage(secret)
    assert "secret" not in str(raised.value)
