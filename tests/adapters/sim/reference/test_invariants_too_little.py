"""The invariants find a bridge that does too little."""

from typing import Any, TypeVar

import pytest

from calling import (
    OTHER_SID,
    SESSION,
    SID,
    Call,
    audio,
    audio_done,
    created,
    delta,
    item_added,
    item_done,
    mark,
    media,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
    start,
)
from faulty_call import Change, FaultyCall, breaks
from twilio_realtime_core import CallConfig, HangUp, Interrupt, SendEvent
from twilio_realtime_core.commands import Play, ResetHistory
from twilio_realtime_core.config.interruption_policy import InterruptionLimit, InterruptionPolicy
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import Action, Close, Notify, Peer, Send, SendPing
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    CallerAudioDropped,
    ClipFinished,
    Interrupted,
    InterruptionBlocked,
    InterruptionCause,
    PlaybackFinished,
    PlaybackStarted,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.values.block_cause import BlockCause

C = TypeVar("C", bound=Call)

INTERRUPTS: dict[str, Any] = {**SESSION, "audio": {**SESSION["audio"]}}
INTERRUPTS["audio"]["input"] = {
    **SESSION["audio"]["input"],
    "turn_detection": {"type": "server_vad", "interrupt_response": False},
}
"""A session in which the bridge interrupts, and the server does not."""

HANDS_OFF = Interrupt(cancel=False)


def talking(kind: type[C], policy: InterruptionPolicy | None = None, heard_ms: int = 0) -> C:
    """The agent has begun the item `i`, of which so much was heard; the server
    interrupts nobody."""
    config = CallConfig() if policy is None else CallConfig(interruption=policy)
    call = kind.ready(config, INTERRUPTS)
    call.model(created())
    for _ in range(4):
        call.model(delta(2000))
    if heard_ms:
        call.play(heard_ms)
    return call


def saying(*events: object) -> Change:
    """Notify these events in place of the bridge's."""

    def change(right: list[Action]) -> list[Action]:
        others = [each for each in right if not isinstance(each, Notify)]
        return [*others, *map(Notify, events)]

    return change


# 1


def test_1_breaks_if_a_refused_session_continues() -> None:
    call = FaultyCall.connected()
    call.leave_out(Close)
    with breaks(1):
        call.model(server_error("no such voice", "configure-session"))


def test_1_holds_if_only_a_refused_session_ends_calls() -> None:
    call = Call.connected()
    assert call.model(server_error("what is this?", "another")).closes == []
    overloaded = {"type": "server_error", "message": "what is this?"}
    assert call.model(type="error", error=overloaded).closes == []
    assert call.model(server_error("no such voice", "configure-session")).closes
    call.model(server_error("no such voice", "configure-session"))
    call = Call.ready()
    assert call.model(server_error("no such voice", "configure-session")).closes == []


def test_1_breaks_if_a_refusal_without_an_event_id_does_not_end_the_call() -> None:
    call = FaultyCall.connected()
    call.leave_out(Close)
    with breaks(1):
        call.model(server_error("no such voice"))


def test_1_breaks_if_the_model_is_pinged_before_opening() -> None:
    call = FaultyCall.answered()
    call.add(SendPing(Peer.REALTIME, b"1"))
    with breaks(1):
        call.phone(start())


# 2


def test_2_breaks_if_audio_is_dropped_below_the_limit() -> None:
    call = FaultyCall.connected()
    call.phone(media(audio(160, 1)))
    call.add(Notify(CallerAudioDropped(160)))
    with breaks(2):
        call.phone(media(audio(160, 2), timestamp_ms=175))


def test_2_breaks_if_too_much_audio_is_dropped() -> None:
    call = FaultyCall.connected()
    for each in range(20):
        call.phone(media(audio(4000, each), timestamp_ms=500 * each))
    call.change(saying(CallerAudioDropped(16_000)))
    with breaks(2):
        call.phone(media(audio(160), timestamp_ms=10_000))


def test_2_breaks_if_the_newest_audio_is_dropped() -> None:
    call = FaultyCall.connected()
    for each in range(21):
        call.phone(media(audio(4000, each), timestamp_ms=500 * each))
    first, last = AppendAudio(audio(4000, 0)), AppendAudio(audio(4000, 20))

    def first_for_last(right: list[Action]) -> list[Action]:
        sent = [each.message for each in right if isinstance(each, Send)]
        assert last in sent
        return [Send(Peer.REALTIME, each) for each in (first, *sent) if each != last]

    call.change(first_for_last)
    with breaks(2):
        call.model(type="session.updated", session=SESSION)


def test_2_breaks_if_a_bad_frame_is_not_reported() -> None:
    call = FaultyCall.ready()
    call.leave_out(Fault)
    with breaks(2):
        call.phone(media("no base64"))


def test_2_holds_if_bad_frames_of_the_stream_are_reported() -> None:
    call = FaultyCall.ready()
    assert call.phone(media("no base64")).faults
    assert call.phone(media("no base64", OTHER_SID)).faults
    call.leave_out(Fault)
    call.phone(media("no base64", OTHER_SID))
    call.phone({"event": "stop", "streamSid": SID, "stop": {}})
    call.phone(media("no base64"))


# 3


def test_4_holds_if_early_echoes_confirm_all() -> None:
    call = Call.ready()
    call.model(created())
    call.model(delta(2240))
    call.phone(mark("2"))
    call.model(delta(160))
    call.model(audio_done())
    call.model(item_done())
    call.wait(20)
    assert call.model(speech_started()).notified(PlaybackFinished)


def test_3_holds_if_an_ambiguous_response_is_not_interrupted() -> None:
    call = Call.ready()
    for _ in range(2):  # so it is ambiguous what the server answers
        call.model(created("r"))
    call.model(response_done("r"))
    call.send(CreateResponse())
    call.send(HANDS_OFF)
    call.model(created("s"))
    assert call.model(speech_started()).notified(Interrupted) == []


@pytest.mark.parametrize("kind", [Clear, Interrupted])
def test_3_breaks_if_a_command_does_not_interrupt(kind: type) -> None:
    call = talking(FaultyCall)
    call.leave_out(kind)
    with breaks(3):
        call.send(Interrupt())


@pytest.mark.parametrize("kind", [Clear, Interrupted])
def test_3_breaks_if_a_caller_does_not_interrupt(kind: type) -> None:
    call = talking(FaultyCall)
    call.leave_out(kind)
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_a_caller_does_not_cut_a_clip() -> None:
    call = FaultyCall.ready()
    call.send(Play(bytes(8000), "greeting"))
    call.leave_out(Clear)
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_a_silent_interruption_is_not_notified() -> None:
    call = FaultyCall.talking()
    call.leave_out(Interrupted)
    with breaks(3):
        call.model(speech_started())


@pytest.mark.parametrize("cause", BlockCause)
def test_3_breaks_if_a_caller_is_blocked_without_policy(cause: BlockCause) -> None:
    call = talking(FaultyCall)
    call.change(saying(InterruptionBlocked(cause)))
    with breaks(3):
        call.model(speech_started())


POLICIES = {
    BlockCause.NEVER: InterruptionPolicy(allowed=False),
    BlockCause.LITTLE_HEARD: InterruptionPolicy(after_heard_ms=500),
    BlockCause.FIRST_WORDS: InterruptionPolicy(protect_first=True),
    BlockCause.APPLICATION: InterruptionPolicy(predicate=lambda _: False),
}


@pytest.mark.parametrize("cause", POLICIES)
def test_3_holds_if_the_policy_blocks_a_caller(cause: BlockCause) -> None:
    call = talking(Call, POLICIES[cause])
    assert call.model(speech_started()).notified(InterruptionBlocked) == [
        InterruptionBlocked(cause)
    ]


@pytest.mark.parametrize("cause", POLICIES)
def test_3_breaks_if_a_caller_is_blocked_for_another_cause(cause: BlockCause) -> None:
    call = talking(FaultyCall, POLICIES[cause])
    call.change(saying(InterruptionBlocked(BlockCause.LIMIT)))
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_a_caller_is_blocked_after_hearing_enough() -> None:
    policy = POLICIES[BlockCause.LITTLE_HEARD]
    assert talking(Call, policy, heard_ms=600).model(speech_started()).notified(Interrupted)
    call = talking(FaultyCall, policy, heard_ms=600)
    call.change(saying(InterruptionBlocked(BlockCause.LITTLE_HEARD)))
    with breaks(3):
        call.model(speech_started())


def greeted(kind: type[C]) -> C:
    """The first words of the agent were heard, and it speaks again."""
    call = talking(kind, POLICIES[BlockCause.FIRST_WORDS])
    call.model(audio_done())
    call.model(response_done())
    call.play(1100)
    call.model(created("s"))
    call.model(delta(8000, "s", "j"))
    return call


def test_3_holds_if_first_words_are_protected_until_heard() -> None:
    assert greeted(Call).model(speech_started()).notified(Interrupted)


def test_3_breaks_if_heard_first_words_are_protected() -> None:
    call = greeted(FaultyCall)
    call.change(saying(InterruptionBlocked(BlockCause.FIRST_WORDS)))
    with breaks(3):
        call.model(speech_started())


def test_3_holds_if_a_silent_response_counts_as_little_heard() -> None:
    call = talking(Call, POLICIES[BlockCause.LITTLE_HEARD])
    call.model(audio_done())
    call.model(response_done())
    call.play(1100)
    call.model(created("s"))
    assert call.model(speech_started()).notified(InterruptionBlocked)


def test_3_breaks_if_a_caller_is_blocked_after_a_clip() -> None:
    call = FaultyCall.ready(CallConfig(interruption=POLICIES[BlockCause.LITTLE_HEARD]), INTERRUPTS)
    call.send(Play(bytes(8000), "greeting"))
    call.play(600)
    call.change(saying(InterruptionBlocked(BlockCause.LITTLE_HEARD)))
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_a_blocked_caller_interrupts() -> None:
    call = talking(FaultyCall, POLICIES[BlockCause.NEVER])
    call.change(saying(Interrupted(InterruptionCause.CALLER, ())))
    with breaks(3):
        call.model(speech_started())


def again(call: C) -> C:
    """The caller has interrupted, and the agent speaks again."""
    call.model(speech_started())
    call.model(speech_stopped())
    call.model(response_done(status="cancelled"))
    call.model(created("s"))
    call.model(delta(8000, "s", "j"))
    return call


LIMIT = InterruptionPolicy(limit=InterruptionLimit(1, per_ms=1000, instruction=None))


def test_3_holds_if_the_limit_blocks_for_a_time() -> None:
    call = again(talking(Call, LIMIT))
    assert call.model(speech_started()).notified(InterruptionBlocked)
    call.model(speech_stopped())
    call.wait(1000)
    assert call.model(speech_started()).notified(Interrupted)


def test_3_breaks_if_a_caller_interrupts_beyond_the_limit() -> None:
    call = again(talking(FaultyCall, LIMIT))
    call.change(saying(Interrupted(InterruptionCause.CALLER, ())))
    with breaks(3):
        call.model(speech_started())


LONG = InterruptionPolicy(after_speech_ms=300)


def test_3_holds_if_confirmed_speech_interrupts() -> None:
    call = talking(Call, LONG)
    assert not call.model(speech_started()).notified(Interrupted)
    assert not call.wait(299).notified(Interrupted)
    assert call.wait(1).notified(Interrupted)
    call = talking(Call, LONG)
    call.model(speech_started())
    call.wait(200)
    assert call.model(speech_stopped()).notified(InterruptionBlocked)
    assert not call.wait(300).notified(Interrupted)


def test_3_breaks_if_confirmed_speech_does_not_interrupt() -> None:
    call = talking(FaultyCall, LONG)
    call.model(speech_started())
    call.leave_out(Clear)
    with breaks(3):
        call.wait(300)


def test_3_breaks_if_speech_is_evaluated_late() -> None:
    call = talking(FaultyCall, LONG)
    call.faulty_bridge.wrong_deadline_ns = call.now + SECOND
    with breaks(3):
        call.model(speech_started())


def test_3_breaks_if_speech_is_never_evaluated() -> None:
    call = talking(FaultyCall, LONG)
    call.model(speech_started())
    call.now += 400 * MS
    with breaks(3):
        call.model(speech_stopped())


def test_3_breaks_if_audio_of_the_model_is_kept_back() -> None:
    call = FaultyCall.talking(100)
    call.leave_out(Media)
    call.model(delta(50))
    with breaks(3):
        call.model(delta(20))


def test_3_breaks_if_the_rest_is_kept_back() -> None:
    call = FaultyCall.talking(100)
    call.leave_out(Media)
    with breaks(3):
        call.model(audio_done())


def held(kind: type[C]) -> C:
    """Hold audio is queued until the agent has finished."""
    call = talking(kind)
    call.send(Play(bytes(800), "hold", until_agent_speaks=True))
    call.model(audio_done())
    call.model(response_done())
    return call


def test_3_holds_if_hold_audio_starts_after_playback() -> None:
    assert sum(held(Call).play(1100).audio_samples) == 800


def test_3_breaks_if_hold_audio_does_not_start() -> None:
    call = held(FaultyCall)
    call.leave_out(Media)
    with breaks(3):
        call.play(1100)


# 4


@pytest.mark.parametrize("heard_ms", [0, 500])
def test_4_breaks_if_a_partly_heard_item_is_not_truncated(heard_ms: int) -> None:
    call = talking(FaultyCall, heard_ms=heard_ms)
    call.model(audio_done())
    call.model(item_done())
    call.leave_out(TruncateItem if heard_ms else DeleteItem)
    with breaks(4):
        call.send(Interrupt())


def test_4_breaks_if_an_unfinished_item_is_not_truncated() -> None:
    call = talking(FaultyCall, heard_ms=1200)
    call.leave_out(TruncateItem)
    with breaks(4):
        call.send(Interrupt())


def test_4_holds_if_an_unheard_item_is_deleted_when_done() -> None:
    call = talking(Call)
    assert call.send(Interrupt()).to_model == [CancelResponse("r", event_id="bridge-cancel-r")]
    assert call.model(item_done()).to_model == [DeleteItem("i")]


def test_4_breaks_if_an_unheard_item_is_not_deleted() -> None:
    call = talking(FaultyCall)
    call.send(Interrupt())
    call.leave_out(DeleteItem)
    with breaks(4):
        call.model(item_done())


def test_4_breaks_if_an_unsent_item_stays() -> None:
    call = talking(FaultyCall, heard_ms=500)
    call.send(Interrupt())
    call.leave_out(DeleteItem)
    call.model(item_done())
    with breaks(4):
        call.model(item_done("r", "j"))


def test_4_holds_if_a_heard_or_uninterrupted_item_stays() -> None:
    call = talking(Call, heard_ms=500)
    call.model(item_done("r", "j"))
    call.send(Interrupt())
    assert call.model(item_done()).to_model == []
    assert call.model(item_done("r", "f", "function_call")).to_model == []


def test_4_holds_if_absent_items_are_not_corrected() -> None:
    call = Call.ready()
    call.model(created("r", None))
    call.model(delta(8000))
    call.play(500)
    assert not any(isinstance(each, TruncateItem) for each in call.send(Interrupt()).to_model)


@pytest.mark.parametrize("command", [SendEvent(DeleteItem("i")), ResetHistory(())])
def test_4_holds_if_items_of_deletes_are_not_corrected(command: Any) -> None:
    call = talking(Call)
    call.model(item_added())
    call.play(500)
    call.send(command)
    assert not any(isinstance(each, TruncateItem) for each in call.send(Interrupt()).to_model)


def test_4_holds_if_a_corrected_item_is_not_corrected_again() -> None:
    call = talking(Call)
    call.play(1500)
    assert TruncateItem("i", 0, 1000) in call.model(speech_started()).to_model
    call.model(created("s"))
    assert call.model(speech_started()).notified(Interrupted)


def test_4_breaks_if_a_played_item_is_truncated_early() -> None:
    call = talking(FaultyCall, heard_ms=1500)
    call.change(
        lambda right: [
            Send(Peer.REALTIME, TruncateItem("i", 0, 999))
            if isinstance(getattr(each, "message", None), TruncateItem)
            else each
            for each in right
        ]
    )
    with breaks(4):
        call.send(Interrupt())


def test_4_breaks_if_a_heard_clip_is_not_notified() -> None:
    call = FaultyCall.ready()
    call.send(Play(bytes(800), "greeting"))
    call.leave_out(ClipFinished)
    with breaks(4):
        call.play(200)


def test_4_holds_if_nothing_is_corrected_after_the_end() -> None:
    call = talking(Call)
    call.send(Interrupt())
    call.send(HangUp())
    assert call.model(item_done()).to_model == []


# 5


def test_5_breaks_if_a_part_ends_without_a_mark() -> None:
    call = FaultyCall.talking(8200)
    call.leave_out(Mark)
    with breaks(5):
        call.model(audio_done())
    call = FaultyCall.ready()
    call.leave_out(Mark)
    with breaks(5):
        call.send(Play(bytes(8000), "greeting"))


def test_5_breaks_if_a_part_finishes_that_has_not_started() -> None:
    call = FaultyCall.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.wait(3000)  # its marks are lost, and it must have been played
    call.model(created("r2"))
    call.leave_out(PlaybackStarted)
    with breaks(5):
        call.model(speech_started())


@pytest.mark.parametrize(("kind", "heard_ms"), [(PlaybackStarted, 100), (PlaybackFinished, 1100)])
def test_5_breaks_if_an_echo_is_not_notified(kind: type, heard_ms: int) -> None:
    call = talking(FaultyCall)
    call.model(audio_done())
    call.leave_out(kind)
    with breaks(5):
        call.play(heard_ms)


def test_5_holds_if_a_late_echo_notifies_nothing() -> None:
    call = talking(Call)
    call.wait(3500)
    assert call.model(speech_started()).notified(Interrupted)
    assert call.phone(mark("1")).events == []


# 6


def test_6_breaks_if_an_interruption_cancels_nothing() -> None:
    call = talking(FaultyCall)
    call.leave_out(CancelResponse)
    with breaks(6):
        call.model(speech_started())


@pytest.mark.parametrize("conversation", ["conv", None])
def test_6_breaks_if_a_command_cancels_nothing(conversation: str | None) -> None:
    call = FaultyCall.ready()
    call.model(created("r", conversation))
    call.model(delta(8000))
    call.leave_out(CancelResponse)
    with breaks(6):
        call.send(Interrupt())


def test_6_breaks_if_an_inaudible_response_is_not_cancelled_later() -> None:
    call = talking(FaultyCall)
    call.send(HANDS_OFF)
    call.leave_out(CancelResponse)
    with breaks(6):
        call.send(Interrupt())


def test_6_holds_if_each_response_is_cancelled_once() -> None:
    cancel = CancelResponse("r", event_id="bridge-cancel-r")
    call = Call.talking(8000)
    assert cancel not in call.model(speech_started()).to_model
    call = talking(Call)
    assert cancel not in call.send(HANDS_OFF).to_model
    assert cancel in call.send(Interrupt()).to_model
    assert cancel not in call.send(Interrupt()).to_model


@pytest.mark.parametrize("id_", ["r", None])
def test_6_holds_if_a_cancelled_response_is_not_cancelled_again(id_: str | None) -> None:
    call = talking(Call)
    call.send(SendEvent(CancelResponse(id_)))
    done = call.send(Interrupt())
    assert not any(isinstance(each, CancelResponse) for each in done.to_model)


def test_6_breaks_if_nobody_cancels_without_turn_detection() -> None:
    session = {
        **SESSION,
        "audio": {
            **SESSION["audio"],
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": None},
        },
    }
    call = FaultyCall.ready(session=session)
    call.model(created())
    call.leave_out(CancelResponse)
    with breaks(6):
        call.model(speech_started())


# 10


@pytest.mark.parametrize("kind", [Call, FaultyCall])
def test_10_breaks_if_a_call_continues_after_playback(kind: type[Call]) -> None:
    call = talking(kind)
    call.model(audio_done())
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    if not isinstance(call, FaultyCall):
        assert call.play(1100).closes
        return
    call.leave_out(Close)
    with breaks(10):
        call.play(1100)
