"""The Realtime session: asked for, opened, configured, ready, gone; and what waits for it."""

from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calling import (
    PCMU,
    SESSION,
    Call,
    StepResult,
    audio,
    connected,
    created,
    delta,
    media,
    server_error,
    speech_started,
    start,
)
from twilio_realtime_core import (
    CallConfig,
    Configure,
    Fault,
    FaultKind,
    HangUp,
    LocalProtocolError,
    Peer,
    SendEvent,
    SessionConfig,
)
from twilio_realtime_core.config.audio_format import enforce_session_format
from twilio_realtime_core.machine.outbox import Outbox
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    CallStarted,
    EndReason,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CommitAudio,
    CreateResponse,
    ServerError,
    UpdateSession,
)
from twilio_realtime_core.session.pending_events import DROPPED_SAMPLES, MAX_PENDING_EVENTS
from twilio_realtime_core.session.session import Session

WAITING = CallConfig(configure_timeout_ms=2_000)
OURS = "configure-session"


def updated(session: Any = SESSION) -> dict[str, Any]:
    return {"type": "session.updated", "session": session}


class Alone(Session):
    """A session without a call, and what it asks for."""

    def __init__(self, config: SessionConfig | None = None) -> None:
        self.outbox = Outbox()
        super().__init__(config or SessionConfig(), self.outbox)

    @classmethod
    def waiting(cls) -> Self:
        """Its first configuration is sent."""
        session = cls()
        session.open("wss://u", "m")
        assert session.opened(Peer.REALTIME)
        session.outbox.take_actions()
        return session

    @classmethod
    def configured(cls, **told: Any) -> Self:
        """It is ready; the server has told this beside the formats."""
        session = cls.waiting()
        session.tell(**told)
        session.outbox.take_actions()
        return session

    def tell(self, **told: Any) -> None:
        assert self.updated({**SESSION, **told}) is None
        self.send_pending()

    @property
    def done(self) -> StepResult:
        """What it has asked for since it was last asked."""
        return StepResult(self.outbox.take_actions())


# Opening.


def test_the_session_is_opened_after_start_at_its_url() -> None:
    call = Call.answered()
    assert call.phone(connected()).urls == []
    assert call.phone(start()).urls == ["wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"]


def test_model_and_url_can_be_set() -> None:
    config = CallConfig(model="gpt-realtime-2", url="ws://localhost:1/x")
    assert Call.answered(config).phone(start()).urls == ["ws://localhost:1/x?model=gpt-realtime-2"]


def test_once_open_it_is_configured_before_anything_else() -> None:
    call = Call.streaming(CallConfig(session=SessionConfig(voice="marin")))
    call.phone(media(audio(160)))
    assert call.opened(Peer.REALTIME).to_model == [
        SessionConfig(voice="marin").to_update_event(OURS)
    ]
    assert call.model(type="session.created", session={}).actions == []


def test_it_is_ready_once_the_server_confirms_our_format() -> None:
    call = Call.connected()
    assert call.model(updated()).events == [SessionReady(SESSION)]


# The application configures the call.


def test_configure_opens_the_session_at_once() -> None:
    call = Call.streaming(WAITING)
    done = call.send(Configure(SessionConfig(voice="cedar"), "m", "wss://other"))
    assert done.urls == ["wss://other?model=m"]
    assert call.opened(Peer.REALTIME).to_model == [
        SessionConfig(voice="cedar").to_update_event(OURS)
    ]
    assert call.wait(2000).urls == []


def test_fields_that_configure_leaves_out_are_unchanged() -> None:
    config = CallConfig(SessionConfig(voice="cedar"), "m", "wss://u", configure_timeout_ms=1_000)
    call = Call.streaming(config)
    assert call.send(Configure()).urls == ["wss://u?model=m"]
    assert call.opened(Peer.REALTIME).to_model == [
        SessionConfig(voice="cedar").to_update_event(OURS)
    ]


def test_the_defaults_are_used_after_the_configure_timeout() -> None:
    call = Call.streaming(WAITING)
    assert call.wait(1999).urls == []
    assert len(call.wait(1).urls) == 1


@pytest.mark.parametrize("config", [None, WAITING])
def test_configure_may_come_before_start(
    config: CallConfig | None,
) -> None:
    call = Call.answered(config)
    assert call.send(Configure(model="a", url="wss://u")).actions == []
    assert call.send(Configure(model="b")).actions == []
    assert call.phone(start()).urls == ["wss://u?model=b"]


def test_a_second_start_does_not_open_twice() -> None:
    call = Call.streaming(WAITING)
    call.wait(1500)
    assert call.phone(start("MZ2")).notified(CallStarted)
    assert len(call.wait(5_000).urls) == 1


def test_configure_too_late_is_misuse() -> None:
    call = Call.streaming()
    with pytest.raises(LocalProtocolError, match="configure_timeout_ms"):
        call.send(Configure(model="m"))


def test_configure_with_a_wrong_url_can_be_repeated() -> None:
    call = Call.streaming(WAITING)
    with pytest.raises(LocalProtocolError):
        call.send(Configure(url="https://u"))
    assert call.send(Configure(url="wss://u")).urls == ["wss://u?model=gpt-realtime-2.1"]


def test_a_call_cannot_be_configured_with_a_wrong_url() -> None:
    with pytest.raises(LocalProtocolError):
        CallConfig(url="u")


# What waits for it.


def test_earlier_caller_audio_is_sent_when_the_session_is_ready() -> None:
    call = Call.streaming()
    frames = [audio(160, value) for value in range(3)]
    assert call.phone(media(frames[0])).actions == []
    call.opened(Peer.REALTIME)
    assert call.phone(media(frames[1])).actions == []
    assert call.model(updated()).to_model == [AppendAudio(each) for each in frames[:2]]
    assert call.phone(media(frames[2])).to_model == [AppendAudio(frames[2])]
    assert call.model(updated()).to_model == []


def test_audio_beyond_ten_seconds_is_dropped_and_notified() -> None:
    call = Call.connected()
    frames = [audio(160, value) for value in range(502)]
    done = [call.phone(media(each)) for each in frames]
    assert [each.events for each in done[500:]] == [[CallerAudioDropped(51 * 160)], []]
    assert not any(each.actions for each in done[:500])
    assert call.model(updated()).to_model == [AppendAudio(each) for each in frames[51:]]


def test_drops_are_notified_once_a_second() -> None:
    call = Call.connected()
    done = [call.phone(media(audio(160))) for _ in range(1500)]
    dropped = [event for each in done for event in each.events]
    assert len(dropped) == 20
    assert {type(event) for event in dropped} == {CallerAudioDropped}


def test_a_frame_longer_than_all_room_is_dropped_itself() -> None:
    call = Call.connected()
    assert call.phone(media(audio(80_001))).events == [CallerAudioDropped(80_001)]
    assert call.model(updated()).to_model == []


def test_s41_events_of_the_application_are_queued_in_order() -> None:
    """S41."""
    session = Alone.waiting()
    session.send(CreateResponse())
    session.send(AppendAudio(audio(160, 1)), 160)
    session.send_update(UpdateSession({"instructions": "x"}, "e"))
    session.send(CommitAudio())
    assert session.done.actions == []
    session.tell()
    assert session.done.to_model == [
        CreateResponse(),
        AppendAudio(audio(160, 1)),
        UpdateSession(enforce_session_format({"instructions": "x"}), "e"),
        CommitAudio(),
    ]


def test_events_are_not_dropped_with_the_audio_around_them() -> None:
    call = Call.connected()
    call.phone(media(audio(40_000, 1)))
    call.send(SendEvent(CommitAudio()))
    call.phone(media(audio(40_000, 2)))
    assert call.phone(media(audio(1, 3))).events == [CallerAudioDropped(40_000)]
    assert call.model(updated()).to_model == [
        CommitAudio(),
        AppendAudio(audio(40_000, 2)),
        AppendAudio(audio(1, 3)),
    ]


def test_one_event_too_many_is_misuse_and_leaves_the_others() -> None:
    session = Alone.waiting()
    for _ in range(MAX_PENDING_EVENTS):
        session.check_capacity()
        session.send(CommitAudio())
    with pytest.raises(LocalProtocolError, match="SessionReady"):
        session.check_capacity()
    with pytest.raises(LocalProtocolError, match="SessionReady"):
        session.send_update(UpdateSession({}))
    session.tell()
    assert session.done.to_model == [CommitAudio()] * MAX_PENDING_EVENTS
    session.check_capacity()
    session.send_update(UpdateSession({}, "e"))
    assert session.done.to_model == [UpdateSession(enforce_session_format({}), "e")]


@given(st.lists(st.integers(1, 30_000), max_size=12))
def test_the_newest_audio_that_fits_is_kept(sizes: list[int]) -> None:
    call = Call.connected()
    frames = [audio(size, value) for value, size in enumerate(sizes)]
    for each in frames:
        call.phone(media(each))
    kept = call.model(updated()).to_model
    assert kept == [AppendAudio(each) for each in frames[len(frames) - len(kept) :]]
    total = sum(sizes[len(sizes) - len(kept) :])
    assert total <= 80_000
    assert len(kept) == len(sizes) or total + sizes[-len(kept) - 1] > 80_000 - DROPPED_SAMPLES


# What the server says of the configuration.


@pytest.mark.parametrize("call", [Call.connected, Call.ready])
def test_another_format_ends_the_call_with_the_reason(call: Any) -> None:
    call = call()
    call.phone(media(audio(160)))
    pcm = {"format": {"type": "audio/pcm", "rate": 24000}}
    done = call.model(updated({"audio": {"input": {"format": PCMU}, "output": pcm}}))
    assert done.faults == [FaultKind.WRONG_FORMAT]
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    assert done.to_model == []
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.reason is EndReason.SESSION_REFUSED


def test_a_refused_configuration_ends_the_call_with_the_reason() -> None:
    call = Call.connected()
    done = call.model(server_error("Unknown parameter: 'session.x'.", OURS, "unknown_parameter"))
    (fault,) = done.events
    assert done.faults == [FaultKind.SERVER_ERROR]
    assert getattr(fault, "code", None) == "unknown_parameter"
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.REALTIME)
    assert call.closed(Peer.TWILIO).events == [
        CallEnded(EndReason.SESSION_REFUSED, "Unknown parameter: 'session.x'.")
    ]


def test_another_error_meanwhile_is_only_reported() -> None:
    call = Call.connected()
    done = call.model(server_error("slow down", "another"))
    assert done.faults == [FaultKind.SERVER_ERROR]
    assert len(done.actions) == 1
    assert call.model(updated()).notified(SessionReady)


def test_a_late_refusal_of_the_configuration_ends_nothing() -> None:
    assert Call.ready().model(server_error("late", OURS)).closes == []


# Later updates.


def test_s16_a_later_update_is_pinned_and_gets_an_id() -> None:
    """S16."""
    session = Alone.configured()
    session.send_update(UpdateSession({"type": "realtime", "x": 1}))
    session.send_update(SessionConfig(voice="cedar").to_update_event("mine"))
    session.send_update(UpdateSession({}))
    pinned = {"type": "realtime", "audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}}
    assert session.done.to_model == [
        UpdateSession({**pinned, "x": 1}, "bridge-update-1"),
        SessionConfig(voice="cedar").to_update_event("mine"),
        UpdateSession(pinned, "bridge-update-3"),
    ]


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}, "must be"),
        ({"output_audio_format": "g711_ulaw"}, "the beta's name"),
        ({"x": object()}, r"session\.update\.session\.x must be JSON data, not object"),
        ({"audio": 5}, r"session\.audio must be a mapping, or None, not int"),
        ({"audio": {"output": "x"}}, r"session\.audio\.output must be a mapping, or None"),
        ({"model": "another"}, "cannot be changed"),
        ({"tracing": {"workflow_name": "x"}}, "fixed once it is on"),
        ({"audio": {"output": {"voice": "cedar"}}}, "once the agent has spoken"),
    ],
)
def test_an_update_that_cannot_succeed_is_misuse(update: dict[str, Any], message: str) -> None:
    session = Alone.configured(model="m", tracing="auto")
    session.mark_agent_spoke()
    with pytest.raises(LocalProtocolError, match=message):
        session.send_update(UpdateSession(update, "e"))
    assert session.done.actions == []
    assert not session.take_refused_update(ServerError("x", event_id="e"))


def test_the_configuration_in_effect_is_the_latest() -> None:
    session = Alone.waiting()
    assert session.effective_config == {}
    session.tell(x=1)
    assert session.effective_config == {**SESSION, "x": 1}
    session.send_update(UpdateSession({"x": 2}))
    assert session.effective_config["x"] == 1
    session.tell(x=2)
    assert session.effective_config["x"] == 2


@pytest.mark.parametrize("code", ["cannot_update_voice", None])
def test_a_refused_update_is_reported_by_its_id(code: str | None) -> None:
    session = Alone.configured(tracing=None)
    session.send_update(UpdateSession({"tracing": "auto"}, "e"))
    assert session.done.to_model
    error = ServerError("No.", code=code, event_id="e")
    assert not session.is_configuration_refusal(error)
    assert session.take_refused_update(error)
    assert session.done.events == [
        Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "session.update e: No.", code)
    ]
    assert session.effective_config["tracing"] is None
    assert not session.take_refused_update(error)
    session.send_update(UpdateSession({"tracing": {"workflow_name": "x"}}))


def test_a_refusal_is_of_the_first_or_a_later_update() -> None:
    first = ServerError("No.", event_id=OURS)
    session = Alone.waiting()
    assert session.is_configuration_refusal(first)
    assert not session.take_refused_update(first)
    session.tell()
    assert not session.is_configuration_refusal(first)
    assert not session.take_refused_update(first)
    assert session.done.faults == []


def test_a_configuration_before_the_opening_is_used() -> None:
    session = Alone(SessionConfig(tracing="auto"))
    session.configure(SessionConfig(tracing=None))
    session.send_update(UpdateSession({"tracing": {"workflow_name": "x"}}))
    session.open("wss://u", "m")
    assert session.opened(Peer.REALTIME)
    assert session.done.to_model == [SessionConfig(tracing=None).to_update_event(OURS)]


def test_each_accepted_update_is_notified() -> None:
    call = Call.ready()
    assert call.model(updated({**SESSION, "id": "s"})).events == [
        SessionReady({**SESSION, "id": "s"})
    ]


@pytest.mark.parametrize(
    ("interrupts", "cancels"), [(True, []), (False, [CancelResponse("r", "bridge-cancel-r")])]
)
def test_who_cancels_is_as_the_server_last_said(*, interrupts: bool, cancels: list[object]) -> None:
    call = Call.ready()
    detection = {"type": "server_vad", "interrupt_response": interrupts}
    audio_ = {**SESSION["audio"], "input": {"format": PCMU, "turn_detection": detection}}
    call.model(updated({"audio": audio_}))
    call.model(created())
    call.model(delta(160))
    assert call.model(speech_started()).to_model[: len(cancels) or None] == cancels


# The end of it.


def test_a_session_that_was_never_opened_is_not_closed() -> None:
    call = Call.answered()
    assert call.send(HangUp()).closes == [Peer.TWILIO]
    assert call.closed(Peer.TWILIO).events == [CallEnded(EndReason.HUNG_UP)]


def test_a_socket_that_opens_after_our_close_receives_nothing() -> None:
    call = Call.streaming()
    assert call.send(HangUp()).closes == [Peer.TWILIO, Peer.REALTIME]
    assert call.opened(Peer.REALTIME).actions == []
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).notified(CallEnded)


@pytest.mark.parametrize("call", [Call.answered, Call.connected, Call.ready])
def test_an_unrequested_socket_is_misuse(call: Any) -> None:
    with pytest.raises(LocalProtocolError, match="was not to be opened"):
        call().opened(Peer.REALTIME)


def test_without_another_connection_nothing_takes_over() -> None:
    session = Alone.configured()
    session.switch()
    session.close_next()
    assert session.link is Peer.REALTIME
    assert session.next_updated(SESSION) is None
    assert session.done.actions == []


def test_a_socket_that_opens_after_its_close_is_not_configured() -> None:
    session = Alone()
    session.open("wss://u", "m")
    session.close(1000)
    assert session.done.closes == [Peer.REALTIME]
    assert session.opened(Peer.REALTIME)
    assert session.done.actions == []
