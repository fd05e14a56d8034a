"""One call: how it begins, how audio passes, every way it ends, and what its driver may not do."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from calling import (
    PCMU,
    SESSION,
    SID,
    Call,
    StepResult,
    audio,
    audio_done,
    connected,
    created,
    delta,
    dtmf,
    item_done,
    mark,
    media,
    response_done,
    server_error,
    speech_started,
    start,
    stop,
)
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Command,
    Configure,
    Fault,
    FaultKind,
    HangUp,
    Interrupt,
    LocalProtocolError,
    Notify,
    Peer,
    RealtimeLink,
    Refusal,
    SendEvent,
    SessionConfig,
)
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    AgentTranscript,
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    EndReason,
    PlaybackFinished,
    PlaybackStarted,
    RealtimeEvent,
    ResponseFinished,
    ResponseStarted,
    SessionReady,
    TwilioMessage,
    TypedRealtimeEvent,
)
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    RawClientEvent,
    UpdateSession,
)

A_FRAME = audio(160)
TWILIO, REALTIME = Peer.TWILIO, Peer.REALTIME
STAGES: list[Callable[[], Call]] = [
    Call,
    Call.answered,
    Call.streaming,
    Call.connected,
    Call.ready,
    lambda: Call.talking(800),
]
AT_ANY_STAGE = pytest.mark.parametrize(
    "stage", STAGES, ids=["new", "answered", "streaming", "connected", "ready", "talking"]
)


def pcm_session() -> dict[str, Any]:
    other = {"format": {"type": "audio/pcm", "rate": 24000}}
    return {"type": "session.updated", "session": {"audio": {"input": other, "output": other}}}


# Caller audio.


def test_caller_audio_is_forwarded_unchanged_and_in_order() -> None:
    call = Call.ready()
    frames = [audio(size, size) for size in (160, 160, 1, 320)]
    assert [call.phone(media(each)).to_model for each in frames] == [
        [AppendAudio(each)] for each in frames
    ]


@pytest.mark.parametrize("payload", ["", "=", "AAA", "A===", "AA==AA==", "AA\n=", "äöüß", "AA A"])
def test_caller_audio_that_is_not_base64_is_reported(payload: str) -> None:
    call = Call.ready()
    done = call.phone(media(payload))
    assert done.events == [
        Fault(TWILIO, FaultKind.BAD_AUDIO, "media: payload is not base64, or empty")
    ]
    assert len(done.actions) == 1


def test_caller_audio_cannot_inject_json() -> None:
    payload = 'AAAA"},"type":"response.create","x":{"y":"AAAA'
    done = Call.ready().phone(media(payload))
    assert (done.faults, done.to_model) == ([FaultKind.BAD_AUDIO], [])


# What the model's server tells.


def test_speech_and_words_of_the_caller_are_notified() -> None:
    call = Call.ready()
    about = "conversation.item.input_audio_transcription"
    assert call.model(speech_started()).events == [CallerSpeechStarted("u", 640)]
    done = call.model(type="input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=2080)
    assert done.events == [CallerSpeechStopped("u", 2080)]
    assert call.model(type="input_audio_buffer.committed", item_id="u").events == []
    done = call.model(type=f"{about}.delta", item_id="u", delta="Hel")
    assert done.events == [CallerTranscript("u", "Hel", final=False)]
    done = call.model(type=f"{about}.delta", item_id="u")
    assert done.events == [CallerTranscript("u", "", final=False)]
    done = call.model(type=f"{about}.completed", item_id="u", transcript="Hello")
    assert done.events == [CallerTranscript("u", "Hello", final=True)]


def test_words_of_the_agent_are_notified() -> None:
    call = Call.ready()
    about = "response.output_audio_transcript"
    part: dict[str, Any] = {"response_id": "r", "item_id": "i", "content_index": 1}
    done = call.model(type=f"{about}.delta", **part, delta="Hel")
    assert done.events == [AgentTranscript("r", "i", 1, "Hel", final=False)]
    done = call.model(type=f"{about}.done", **part, transcript="Hello")
    assert done.events == [AgentTranscript("r", "i", 1, "Hello", final=True)]


def test_a_turn_out_of_order_is_a_fault_and_notified() -> None:
    call = Call.ready()
    call.model(speech_started())
    done = call.model(speech_started())
    assert done.events == [
        Fault(REALTIME, FaultKind.UNEXPECTED, "speech started while the caller's turn is speaking"),
        CallerSpeechStarted("u", 640),
    ]


def test_a_turn_committed_by_the_application_may_still_stop() -> None:
    call = Call.ready()
    call.model(speech_started())
    call.send(CommitAudio())
    call.model(type="input_audio_buffer.committed", item_id="u")
    done = call.model(type="input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1)
    assert done.events == [CallerSpeechStopped("u", 1)]


def test_an_error_of_the_server_is_reported_redacted() -> None:
    call = Call.ready()
    done = call.model(server_error("bad key sk-abcdef for +1 555 123 4567", code="some_code"))
    assert done.events == [
        Fault(REALTIME, FaultKind.SERVER_ERROR, "bad key [hidden] for [hidden]", "some_code")
    ]
    assert call.phone(media(A_FRAME)).to_model == [AppendAudio(A_FRAME)]


def test_the_code_of_an_error_is_redacted_and_short() -> None:
    (fault,) = (
        Call.ready().model(server_error("no", code="sk-abcdef" + " x" * 1000)).notified(Fault)
    )
    assert fault.code is not None
    assert fault.code.startswith("[hidden] x x")
    assert len(fault.code) <= 301


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", FaultKind.NOT_JSON),
        ('{"type":', FaultKind.NOT_JSON),
        ("null", FaultKind.NOT_JSON),
        ("{}", FaultKind.BAD_MESSAGE),
        ('{"type":1}', FaultKind.BAD_MESSAGE),
        ('{"type":"session.updated","session":"x"}', FaultKind.BAD_MESSAGE),
        ('{"type":"response.created","response":[]}', FaultKind.BAD_MESSAGE),
        ('{"type":"response.output_audio.delta","response_id":"r"}', FaultKind.BAD_MESSAGE),
        ('{"type":"error","error":[]}', FaultKind.BAD_MESSAGE),
    ],
)
def test_s49_a_bad_event_is_a_fault(text: str, kind: FaultKind) -> None:
    call = Call.ready()
    done = call.model(text)
    assert done.faults == [kind]
    assert len(done.actions) == 1
    assert call.model(delta(160)).audio_samples == [160]


def test_typed_events_of_the_model_are_notified_where_asked_for() -> None:
    call = Call.ready(CallConfig(notify_typed_events=True, raw_messages=frozenset({REALTIME})))
    done = call.model(created())
    assert [type(each) for each in done.events] == [
        RealtimeEvent,
        TypedRealtimeEvent,
        ResponseStarted,
    ]
    (typed,) = done.notified(TypedRealtimeEvent)
    assert typed.event == realtime.decode(json.dumps(created()))
    part = {"type": "audio", "transcript": "secret"}
    added = call.model(type="response.content_part.added", response_id="r", item_id="i", part=part)
    event = realtime.ContentPartAddedEvent("r", "i", part=part)
    assert added.notified(TypedRealtimeEvent) == [TypedRealtimeEvent(event)]
    assert "secret" not in repr(added.notified(TypedRealtimeEvent))
    (new,) = call.model(type="from.the.future").notified(TypedRealtimeEvent)
    assert new == TypedRealtimeEvent(realtime.UnknownServerEvent("from.the.future"))
    assert call.model("{").notified(TypedRealtimeEvent) == []
    assert Call.ready().model(created()).notified(TypedRealtimeEvent) == []


def test_s49_an_unknown_event_has_no_effect() -> None:
    call = Call.ready()
    assert call.model(type="input_audio_buffer.cleared").actions == []
    assert call.model(type="from.the.future").actions == []


@pytest.mark.parametrize("told", [frozenset[Peer](), frozenset({TWILIO}), frozenset({REALTIME})])
def test_raw_messages_of_configured_peers_are_notified_first(
    told: frozenset[Peer],
) -> None:
    call = Call.ready(CallConfig(raw_messages=told))
    phone, model = call.phone("{"), call.model('{"type":"x"}')
    assert phone.notified(TwilioMessage) == ([TwilioMessage("{")] if TWILIO in told else [])
    assert model.events == ([RealtimeEvent('{"type":"x"}')] if REALTIME in told else [])
    assert isinstance(phone.events[-1], Fault)


def test_a_response_is_notified_and_played_to_its_end() -> None:
    call = Call.ready()
    steps = [created(), delta(170), audio_done(), item_done(), response_done()]
    done = [call.model(each) for each in steps]
    assert [each.audio_samples for each in done] == [[], [160], [10], [], []]
    assert [each.marks for each in done] == [[], ["1"], ["2"], [], []]
    assert [type(event) for each in done for event in each.events] == [
        ResponseStarted,
        ResponseFinished,
    ]
    assert call.phone(mark("2")).events == [
        PlaybackStarted("r", "i", 0),
        PlaybackFinished("r", "i", 0),
    ]


def test_a_late_cancel_is_no_fault() -> None:
    call = Call.talking(160)
    call.send(Interrupt())
    late = server_error("no active response found", "bridge-cancel-r", "response_cancel_not_active")
    assert call.model(late).actions == []


def test_another_start_is_notified_and_opens_nothing() -> None:
    done = Call.ready().phone(start("MZ2"))
    assert [type(each).__name__ for each in done.actions] == ["Notify", "Send", "SendPing"]


def test_a_pong_of_the_model_has_no_effect() -> None:
    assert Call.ready().bridge.pong(REALTIME, b"", 0) == []


# The end.


@pytest.mark.parametrize(
    ("peer", "said", "told"),
    [
        (TWILIO, (1000, ""), (EndReason.CALLER_HUNG_UP, "1000")),
        (TWILIO, (1005, ""), (EndReason.CALLER_HUNG_UP, "1005")),
        (TWILIO, (1006, ""), (EndReason.TWILIO_LOST, "1006")),
        (REALTIME, (1001, "60 minutes"), (EndReason.REALTIME_CLOSED, "1001 60 minutes")),
        (REALTIME, (1006, "reset"), (EndReason.REALTIME_LOST, "1006 reset")),
        (REALTIME, (3000, "bad key sk-x"), (EndReason.REALTIME_CLOSED, "3000 bad key [hidden]")),
    ],
)
@pytest.mark.parametrize("stage", [Call.connected, Call.ready])
def test_a_closed_socket_closes_the_other_and_ends_the_call(
    stage: Callable[[CallConfig], Call],
    peer: Peer,
    said: tuple[int, str],
    told: tuple[EndReason, str],
) -> None:
    call = stage(CallConfig(reconnect=None))
    other = REALTIME if peer is TWILIO else TWILIO
    done = call.closed(peer, *said)
    assert (done.closes, done.events) == ([other], [])
    done = call.closed(other)
    assert done.actions == [Notify(CallEnded(*told))]
    assert call.bridge.deadline is None


@pytest.mark.parametrize("code", [1000, 1006])
def test_s89_a_model_that_cannot_be_reached_ends_the_call(code: int) -> None:
    call = Call.streaming(CallConfig(reconnect=None))
    assert call.closed(REALTIME, code, "refused").closes == [TWILIO]
    assert call.closed(TWILIO).events == [
        CallEnded(EndReason.REALTIME_UNREACHABLE, f"{code} refused")
    ]


def test_a_twilio_socket_that_never_opened_ends_the_call() -> None:
    assert Call().closed(TWILIO, 1006).events == [CallEnded(EndReason.TWILIO_LOST, "1006")]


def end_by_stop(call: Call) -> StepResult:
    return call.phone(stop())


def end_by_hang_up(call: Call) -> StepResult:
    return call.send(HangUp())


def end_by_a_refusal(call: Call) -> StepResult:
    return call.model(server_error("no", "configure-session"))


def end_by_another_format(call: Call) -> StepResult:
    return call.model(pcm_session())


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (end_by_stop, EndReason.CALLER_HUNG_UP),
        (end_by_hang_up, EndReason.HUNG_UP),
        (end_by_another_format, EndReason.SESSION_REFUSED),
        (end_by_a_refusal, EndReason.SESSION_REFUSED),
    ],
)
@pytest.mark.parametrize("first", [TWILIO, REALTIME])
def test_other_ends_close_both_sockets_for_the_first_reason(
    end: Callable[[Call], StepResult], why: EndReason, first: Peer
) -> None:
    call = Call.connected()
    assert end(call).closes == [TWILIO, REALTIME]
    second = REALTIME if first is TWILIO else TWILIO
    assert call.closed(first, 1006).actions == []
    (ended,) = call.closed(second, 1006).events
    assert isinstance(ended, CallEnded)
    assert ended.reason is why


def test_a_stream_without_start_is_closed() -> None:
    call = Call.answered()
    assert call.wait(9_999).actions == []
    done = call.wait(1)
    assert done.events == [Fault(TWILIO, FaultKind.TIMED_OUT, "no start message was received")]
    assert done.closes == [TWILIO]
    assert call.closed(TWILIO).events == [
        CallEnded(EndReason.STREAM_NOT_STARTED, "no start message was received")
    ]


@pytest.mark.parametrize("stage", [Call.streaming, Call.connected])
def test_a_session_not_ready_in_time_ends_the_call(
    stage: Callable[[CallConfig], Call],
) -> None:
    call = stage(CallConfig(reconnect=None))
    call.wait(14_999)
    done = call.wait(1)  # the round trip is due in the same instant
    assert done.events == [Fault(REALTIME, FaultKind.TIMED_OUT, "the session is not ready")]
    assert done.closes == [REALTIME, TWILIO]
    call.closed(TWILIO)
    (ended,) = call.closed(REALTIME).events
    assert ended == CallEnded(EndReason.SESSION_NOT_READY, "the session is not ready")


def test_a_silent_twilio_socket_ends_the_call() -> None:
    call = Call.answered()
    call.phone(connected())
    assert call.wait(60_000).notified(CallEnded) == [
        CallEnded(EndReason.STREAM_NOT_STARTED, "no start message was received")
    ]
    assert call.bridge.deadline is None


@AT_ANY_STAGE
def test_a_call_ends_though_no_closed_socket_is_reported(
    stage: Callable[[], Call],
) -> None:
    call = stage()
    ended = call.send(HangUp()).notified(CallEnded) or call.wait(10_000).notified(CallEnded)
    assert ended == [CallEnded(EndReason.HUNG_UP)]
    assert call.bridge.deadline is None


def test_the_shortest_times_end_a_call() -> None:
    config = CallConfig(
        configure_timeout_ms=1, session_timeout_ms=100, closing_timeout_ms=100, reconnect=None
    )
    call = Call.streaming(config)
    done = call.wait(201)
    assert [type(each) for each in done.events] == [Fault, CallEnded]
    assert done.closes == [REALTIME, TWILIO]


def ended_call() -> Call:
    call = Call.talking(800)
    call.send(HangUp())
    call.closed(TWILIO)
    call.closed(REALTIME)
    return call


class OddHash:
    """What raises when it is compared or hashed."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError(other)

    def __hash__(self) -> int:
        raise AssertionError


class OddLink(RealtimeLink):
    """A link that no `Open` has."""


WRONG_NUMBERS: list[Any] = ["sk-secret", True, None, -1, 0, 1, 2.0]
WRONG_PEERS: list[Any] = [
    "sk-secret",
    b"sk-secret",
    None,
    True,
    1,
    (),
    ["sk-secret"],
    {"sk-secret": 1},
    Peer,
    object(),
    OddHash(),
    OddLink(2),
    *map(RealtimeLink, WRONG_NUMBERS),
    RealtimeLink(2),
    RealtimeLink(cast("Any", OddHash())),
]


@pytest.mark.parametrize("has_ended", [False, True])
@pytest.mark.parametrize("peer", WRONG_PEERS, ids=range(len(WRONG_PEERS)))
def test_what_is_no_peer_is_misuse_and_not_shown(peer: Any, *, has_ended: bool) -> None:
    bridge = Bridge()
    bridge.start(0)
    bridge.opened(TWILIO, 0)
    if has_ended:
        bridge.closed(TWILIO, 1000, "", 0)
    assert bridge.has_ended == has_ended
    steps: list[Callable[[], object]] = [
        lambda: bridge.opened(peer, 0),
        lambda: bridge.receive_text(peer, "{}", 0),
        lambda: bridge.pong(peer, b"", 0),
        lambda: bridge.closed(peer, 1000, "", 0),
        lambda: bridge.refused(peer, Refusal(500, None, None, ""), 0),
    ]
    for step in steps:
        with pytest.raises(
            LocalProtocolError, match=r"^peer must be a Peer, or .*, not "
        ) as raised:
            step()
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (None, "NoneType is not a command"),
        (5, "int is not a command"),
        (HangUp, "the class HangUp is not a command"),
        (AppendAudio(cast("Any", b"AAAA")), r"AppendAudio\.audio must be text, not bytes"),
        (SendEvent(AppendAudio("AAAA", cast("Any", 5))), r"AppendAudio\.event_id must be text"),
    ],
)
def test_what_is_no_command_is_misuse_after_the_end_too(command: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        ended_call().send(command)


LATE: list[Callable[[Call], StepResult]] = [
    lambda call: call.phone(media(A_FRAME)),
    lambda call: call.phone("{"),
    lambda call: call.phone(stop()),
    lambda call: call.model(delta(160)),
    lambda call: call.model(speech_started()),
    lambda call: call.opened(TWILIO),
    lambda call: call.opened(REALTIME),
    lambda call: call.closed(TWILIO),
    lambda call: call.closed(REALTIME, 1006),
    lambda call: call.pong(b"round-trip-1"),
    lambda call: call.wait(100_000),
    lambda call: call.send(Interrupt()),
    lambda call: call.send(Configure()),
    lambda call: call.send(SendEvent(CreateResponse())),
    lambda call: call.send(SendEvent(UpdateSession({"audio": {"input": {"format": "pcm"}}}))),
    lambda call: call.send(HangUp()),
]


@pytest.mark.parametrize("late", LATE)
def test_s09_s10_after_the_end_nothing_has_an_effect(late: Callable[[Call], StepResult]) -> None:
    call = ended_call()
    assert late(call).actions == []
    assert call.bridge.deadline is None


@pytest.mark.parametrize("late", LATE[:5] + LATE[9:10] + LATE[11:])
def test_inputs_that_cross_our_close_have_no_effect(late: Callable[[Call], StepResult]) -> None:
    call = Call.talking(800)
    call.send(HangUp())
    assert late(call).actions == []
    call.closed(TWILIO)
    assert call.closed(REALTIME).events == [CallEnded(EndReason.HUNG_UP)]


@AT_ANY_STAGE
def test_hanging_up_twice_closes_once(stage: Callable[[], Call]) -> None:
    call = stage()
    call.send(HangUp())
    assert call.send(HangUp()).actions == []


# Commands.


def test_configure_answers_call_started() -> None:
    call = Call.streaming(CallConfig(configure_timeout_ms=1_000))
    session = SessionConfig(voice="cedar")
    assert call.send(Configure(session)).urls == [
        "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    ]
    assert call.opened(REALTIME).to_model == [session.to_update_event("configure-session")]


def test_a_configuration_before_start_is_used() -> None:
    call = Call.answered()
    assert call.send(Configure(model="m", url="wss://u")).actions == []
    assert call.phone(start()).urls == ["wss://u?model=m"]


def test_events_of_the_application_are_sent_unchanged() -> None:
    call = Call.ready()
    event = CreateResponse({"instructions": "say hello"}, "e")
    assert call.send(SendEvent(event)).to_model == [event]
    assert call.send(SendEvent({"type": "x.y", "z": 1})).to_model == [
        RawClientEvent("x.y", {"type": "x.y", "z": 1})
    ]
    assert call.send(SendEvent(AppendAudio(A_FRAME, "a"))).to_model == [AppendAudio(A_FRAME, "a")]


@AT_ANY_STAGE
def test_an_interruption_of_nothing_does_nothing(stage: Callable[[], Call]) -> None:
    call = stage()
    call.send(Interrupt())
    assert call.send(Interrupt()).actions == []


# Misuse.


PCM = {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}
MISUSE_OF_COMMANDS: list[Command] = [
    Configure(model="late"),
    SendEvent(UpdateSession({"audio": PCM})),
    SendEvent(CreateResponse({"audio": PCM})),
    SendEvent(RawClientEvent("x", {"type": "session.update"})),
    SendEvent(CreateItem({"text": object()})),
    SendEvent(CreateItem({"text": "\ud800"})),
    SendEvent(RawClientEvent("x", {"type": "x", "y": {1j}})),
    SendEvent(AppendAudio("no base64")),
    SendEvent(AppendAudio("")),
    cast(Command, "hang up"),
]


@pytest.mark.parametrize("command", MISUSE_OF_COMMANDS)
@pytest.mark.parametrize("stage", [Call.connected, lambda: Call.talking(800)])
def test_an_impossible_command_is_misuse_and_changes_nothing(
    stage: Callable[[], Call], command: Command
) -> None:
    call, untouched = stage(), stage()
    with pytest.raises(LocalProtocolError):
        call.bridge.send(command, call.now + 10 * SECOND)
    assert_alike(call, untouched)


MISUSES: list[Callable[[Call, int], Any]] = [
    lambda call, now: call.bridge.start(now),
    lambda call, now: call.bridge.opened(TWILIO, now),
    lambda call, now: call.bridge.opened(REALTIME, now),
    lambda call, now: call.bridge.opened("twilio", now),
    lambda call, now: call.bridge.receive_text("twilio", "{}", now),
    lambda call, now: call.bridge.closed("twilio", 1000, "", now),
    lambda call, now: call.bridge.pong("twilio", b"", now),
    lambda call, now: call.bridge.pong(None, b"", now),
    lambda call, _: call.bridge.receive_text(TWILIO, "{}", call.now - 1),
    lambda call, _: call.bridge.opened(TWILIO, call.now - 1),
    lambda call, _: call.bridge.closed(TWILIO, 1000, "", call.now - 1),
    lambda call, _: call.bridge.pong(TWILIO, b"", call.now - 1),
    lambda call, _: call.bridge.handle_timeout(call.now - 1),
    lambda call, _: call.bridge.send(HangUp(), call.now - 1),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_by_the_driver_raises_and_changes_nothing(
    misuse: Callable[[Call, int], Any],
) -> None:
    call, untouched = Call.talking(800), Call.talking(800)
    with pytest.raises(LocalProtocolError):
        misuse(call, call.now + 10 * SECOND)
    assert_alike(call, untouched)


TOO_EARLY: list[Callable[[Bridge], Any]] = [
    lambda bridge: bridge.opened(TWILIO, 0),
    lambda bridge: bridge.receive_text(TWILIO, "{}", 0),
    lambda bridge: bridge.pong(TWILIO, b"", 0),
    lambda bridge: bridge.closed(TWILIO, 1000, "", 0),
    lambda bridge: bridge.handle_timeout(0),
    lambda bridge: bridge.send(HangUp(), 0),
]


@pytest.mark.parametrize("misuse", TOO_EARLY)
def test_anything_before_start_is_misuse(misuse: Callable[[Bridge], Any]) -> None:
    bridge = Bridge()
    with pytest.raises(LocalProtocolError, match=r"start\(\)"):
        misuse(bridge)
    assert bridge.start(0) == []


@pytest.mark.parametrize(
    ("stage", "peer"),
    [(Call, TWILIO), (Call, REALTIME), (Call.answered, REALTIME), (Call.streaming, REALTIME)],
)
def test_text_of_a_socket_that_is_not_open_is_misuse(stage: Callable[[], Call], peer: Peer) -> None:
    with pytest.raises(LocalProtocolError, match="not open"):
        stage().bridge.receive_text(peer, "{}", 0)


@pytest.mark.parametrize("stage", [Call, Call.answered])
def test_the_end_of_an_unrequested_socket_is_misuse(stage: Callable[[], Call]) -> None:
    with pytest.raises(LocalProtocolError, match="cannot have closed"):
        stage().closed(REALTIME)


def assert_alike(call: Call, untouched: Call) -> None:
    """Both calls answer all that follows in the same way."""
    assert call.bridge.deadline == untouched.bridge.deadline
    answers = [
        [
            each.wait(40),
            each.timeout(),
            each.phone(media(A_FRAME)),
            each.phone(dtmf("5")),
            each.pong(b"round-trip-1"),
            each.phone(mark("1")),
            each.model(created("s")),
            each.model(delta(900, "s", "j")),
            each.wait(10),
            each.model(speech_started()),
            each.model(response_done("s")),
            each.model(type="session.updated", session=SESSION),
            each.send(SendEvent(CommitAudio())),
            each.wait(20_000),
            each.phone(stop()),
            each.closed(TWILIO),
            each.closed(REALTIME),
        ]
        for each in (call, untouched)
    ]
    assert answers[0] == answers[1]


def test_changed_calls_have_different_actions() -> None:
    changed = Call.talking(800)
    changed.model(delta(10))
    with pytest.raises(AssertionError):
        assert_alike(changed, Call.talking(800))


def test_a_call_may_run_on_any_clock() -> None:
    bridge = Bridge()
    before = -5 * SECOND
    bridge.start(before)
    bridge.opened(TWILIO, before + MS)
    assert bridge.deadline == before + MS + 10 * SECOND
    bridge.receive_text(TWILIO, '{"event":"start","streamSid":"MZ1","start":{}}', before + MS)
    assert bridge.deadline == before + MS + SECOND


def test_the_whole_of_a_short_call_in_order() -> None:
    call = Call()
    call.opened(TWILIO)
    steps = [
        call.phone(connected()),
        call.phone(start()),
        call.opened_and_configured(),
        call.phone(media(A_FRAME)),
        call.model(created()),
        call.model(delta(160)),
        call.phone(stop()),
        call.closed(TWILIO),
        call.closed(REALTIME),
    ]
    assert [[type(each).__name__ for each in done.actions] for done in steps] == [
        [],
        ["Notify", "Send", "SendPing", "Open"],
        ["Notify"],
        ["Send"],
        ["Notify"],
        ["Send", "Send"],
        ["Close", "Close"],
        [],
        ["Notify"],
    ]
    assert steps[2].notified(SessionReady)[0].session["audio"]["output"]["format"] == PCMU
    assert steps[1].marks == ["0"]
    assert SID in steps[1].to_twilio[0].encode()


def test_a_late_cancel_of_the_application_is_no_fault() -> None:
    """S91."""
    call = Call.talking(800)
    (cancel,) = call.send(SendEvent({"type": "response.cancel"})).to_model
    assert isinstance(cancel, CancelResponse)
    late = server_error("no", cancel.event_id, "response_cancel_not_active")
    assert call.model(late).faults == []


def test_a_cancel_with_an_event_id_is_sent_unchanged() -> None:
    call = Call.talking(800)
    own = CancelResponse(event_id="mine")
    assert call.send(own).to_model == [own]


class Open(Call):
    """A call whose bridge can be asked."""

    open: Bridge

    def build(self) -> Bridge:
        self.open = Bridge(self.config)
        return self.open


def test_the_conversation_and_positions_can_be_queried() -> None:
    call = Open.ready()
    assert (call.open.items, call.open.playback_positions(0), call.open.has_ended) == (
        (),
        (),
        False,
    )
    call.model(created())
    item = {"id": "i", "type": "message", "role": "assistant", "status": "in_progress"}
    call.model(type="conversation.item.added", previous_item_id=None, item=item)
    call.model(delta(800))
    call.play(50)
    (heard,) = call.open.playback_positions(call.now)
    assert (heard.confirmed_samples, heard.estimated_samples, heard.sent_samples) == (160, 400, 800)
    assert [each.id for each in call.open.items] == ["i"]
