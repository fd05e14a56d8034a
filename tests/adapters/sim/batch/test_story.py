"""The story of a call: the steps of its bridge that matter, as text."""

from typing import Any

import pytest

from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime.sim.batch.findings import invariant_text, what_broke
from twilio_realtime.sim.batch.random_call import Failure
from twilio_realtime.sim.batch.story import IdNumbers, NarratedBridge, is_notable, tell_step
from twilio_realtime.sim.world.steps import Step
from twilio_realtime_core import Bridge, CallConfig, Close, HangUp, Notify, Peer, Send, SendPing
from twilio_realtime_core.notifications import AgentTranscript, CallerTranscript, CallStarted
from twilio_realtime_core.protocols.realtime import AppendAudio, CreateResponse
from twilio_realtime_core.protocols.twilio import Clear, Mark

ITEM = "item_E6U0xTPZVJMpFY0jK2HEx"
STREAM = "MZ663f4d98d72d3884fa3dfcfd83e288aa"


def step(method: str, *arguments: object, outputs: tuple[object, ...] = ()) -> Step:
    return Step(1_500_000_000, "bridge", method, arguments, outputs)


def told(*steps: Step) -> list[str]:
    ids = IdNumbers()
    return [line for each in steps for line in tell_step(each, ids)]


def realtime(text: str, *outputs: object) -> Step:
    return step("receive_text", Peer.REALTIME, text, outputs=outputs)


def test_a_step_is_its_input_and_its_outputs() -> None:
    spoken = f'{{"type":"input_audio_buffer.speech_started","item_id":"{ITEM}"}}'
    assert told(realtime(spoken, Send(Peer.TWILIO, Clear(STREAM)))) == [
        "   1.500 s    model: input_audio_buffer.speech_started (the caller speaks), item 1",
        "              -> sends Twilio clear",
    ]


@pytest.mark.parametrize(
    ("told_step", "text"),
    [
        (step("start"), "the call is accepted"),
        (step("opened", Peer.TWILIO), "Twilio's socket opens"),
        (step("closed", Peer.REALTIME, 1006, "x"), "the model's socket is closed, code 1006"),
        (step("handle_timeout"), "a timer of the bridge is due"),
        (step("send", HangUp()), "application: HangUp"),
        (step("check_ended"), "check ended"),
        (realtime("no JSON"), "model: a message that is no event"),
        (realtime("[]"), "model: a message that is no event"),
    ],
)
def test_every_input_is_told(told_step: Step, text: str) -> None:
    assert told(told_step) == [f"   1.500 s    {text}"]


def test_ids_are_numbered_in_the_order_of_appearance() -> None:
    ids = IdNumbers()
    other = "item_00000000000000000000x"
    assert ids.replace(f"{ITEM} {other} {ITEM} {STREAM}") == "item 1 item 2 item 1 stream 1"
    assert ids.replace(other) == "item 2"


def test_what_is_sent_many_times_is_told_once() -> None:
    send = Send(Peer.REALTIME, CreateResponse())
    assert told(step("handle_timeout", outputs=(send, send)))[1:] == [
        "              -> sends the model response.create (2 times)"
    ]


def test_audio_and_round_trips_are_left_out() -> None:
    outputs = (
        Send(Peer.REALTIME, AppendAudio("/w==")),
        SendPing(Peer.TWILIO, b"1"),
        Send(Peer.TWILIO, Mark(STREAM, "7")),
    )
    quiet = realtime('{"type":"response.output_audio.delta"}', *outputs)
    assert not is_notable(quiet)
    assert len(told(quiet)) == 1
    assert not is_notable(step("pong", Peer.TWILIO, b"1"))
    assert not is_notable(step("receive_text", Peer.TWILIO, '{"event":"media"}'))
    assert is_notable(step("handle_timeout", outputs=(Close(Peer.TWILIO, 1000, ""),)))


def test_routine_events_are_left_out_unless_something_follows() -> None:
    delta = '{"type":"response.output_audio_transcript.delta"}'
    piece = Notify(AgentTranscript("r", "i", 0, "words", final=False))
    assert not is_notable(realtime(delta, piece))
    assert is_notable(realtime(delta, piece, Send(Peer.TWILIO, Clear(STREAM))))


def test_no_words_are_told() -> None:
    heard = Notify(CallerTranscript(ITEM, "my secret", final=True))
    started = Notify(CallStarted(STREAM, "CA1", "AC1", {"secret": "secret"}))
    text = '{"type":"conversation.item.added","item":{"content":[{"transcript":"secret"}]}}'
    lines = told(
        realtime(text, heard, started),
        step("receive_text", Peer.TWILIO, '{"event":"dtmf","dtmf":{"digit":"5"}}'),
    )
    assert "secret" not in str(lines)
    assert "5" not in lines[-1].partition(" s ")[2]


def test_a_line_is_no_longer_than_a_hundred_characters() -> None:
    long = f'{{"type":"{"x" * 300}"}}'
    assert [len(line) for line in told(realtime(long))] == [100]


def test_a_step_that_raises_is_the_last_of_the_story() -> None:
    class Raises(Bridge):
        def pong(self, peer: Any, payload: bytes, now: int) -> Any:
            raise RuntimeError("oh")

    bridge = NarratedBridge(Raises(CallConfig()))
    bridge.start(0)
    with pytest.raises(RuntimeError, match="oh"):
        bridge.pong(Peer.TWILIO, b"", 5)
    assert [each.method for each in bridge.steps] == ["start", "pong"]


@pytest.mark.parametrize("level", ["messages", "bytes"])
def test_a_call_is_the_same_with_its_story(level: str) -> None:
    assert run_call(5, level=level, trace_steps=0) == run_call(5, level=level)


# What broke.


def test_failures_that_differ_in_numbers_and_ids_broke_the_same() -> None:
    one = Failure(4, f"{ITEM} truncated at 300 ms", (), (), "Heard positions")
    other = Failure(4, "item_00000000000000000000x truncated at 20.5 ms", (), (), "Heard positions")
    assert what_broke(one) == what_broke(other) == "4 Heard positions: item # truncated at # ms"


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure(10, "", (), (), "End of the call"), "invariant 10, End of the call: The end of"),
        (Failure(-1, "", (), ()), "invariant -1, No exceptions: nothing raises"),
        (Failure(0, "", (), ()), "invariant 0, Ground truth: what the phone has played"),
        (Failure(4, "", (), ()), "invariant 4, Heard positions: An item is truncated"),
    ],
)
def test_the_text_of_an_invariant_says_what_holds(failure: Failure, text: str) -> None:
    assert invariant_text(failure).startswith(text)
