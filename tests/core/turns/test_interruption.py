from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.playout import PlaybackProgress, Playout
from twilio_realtime_core.machine.lifecycles import ResponseInput, ResponseState
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    DeleteItem,
    Response,
    ServerError,
    TruncateItem,
)
from twilio_realtime_core.responses.responses import ResponseRecord, Responses
from twilio_realtime_core.turns.interruption import Interruption, interrupt, is_late_cancel
from twilio_realtime_core.values.playback_position import PartKey, PlaybackPosition

CANCEL_R1 = CancelResponse("r1", event_id="bridge-cancel-r1")
CANCEL_R2 = CancelResponse("r2", event_id="bridge-cancel-r2")


@define
class Talk:
    """A playout, and the responses it plays. Audio is all sent at 0; times in ms."""

    playout: Playout = field(factory=Playout)
    responses: Responses = field(factory=Responses)

    def created(self, response: str, conversation: str | None = "conv") -> ResponseRecord:
        known = self.responses.update_from(Response(response, conversation_id=conversation))
        assert known.lifecycle.step(ResponseInput.CREATED)
        return known

    def audio(self, item: str, ms: float, *, response: str = "r1", index: int = 0) -> None:
        part = PartKey(1, response, item, index)
        self._tell(self.playout.audio_sent(part, int(ms * 8), 0))

    def audio_done(self, item: str, *, response: str = "r1", index: int = 0) -> None:
        self._tell(self.playout.part_completed(PartKey(1, response, item, index)))

    def item_done(self, item: str, *, response: str = "r1") -> None:
        self.responses.get_or_create(response).done_items.add(item)

    def response_done(self, response: str = "r1") -> None:
        assert self.responses.get_or_create(response).lifecycle.step(ResponseInput.DONE)
        self._tell(self.playout.response_done(response))

    def spoken(self, item: str, ms: float, *, response: str = "r1") -> None:
        """An item from its first to its last event."""
        self.audio(item, ms, response=response)
        self.audio_done(item, response=response)
        self.item_done(item, response=response)

    def confirm(self) -> None:
        """The echo of a mark sent now comes back."""
        self._tell(self.playout.mark_echoed(self.playout.next_mark(0), 0) or PlaybackProgress())

    def _tell(self, progress: PlaybackProgress) -> None:
        for part in progress.started:
            self.responses.get_or_create(part.response_id).heard_items.add(part.item_id)

    def interrupt(
        self, at: float, *, cancel: bool = True, server_cancels: bool = False
    ) -> Interruption | None:
        return interrupt(
            self.playout,
            self.responses,
            int(at * MS),
            cancel=cancel,
            server_cancels=server_cancels,
        )

    def events(self, at: float, **how: bool) -> tuple[Any, ...]:
        done = self.interrupt(at, **how)
        assert done is not None
        return done.events


@pytest.fixture
def talk() -> Talk:
    """A response in the conversation has been created."""
    talk = Talk()
    talk.created("r1")
    return talk


# Nothing to interrupt


def test_where_nothing_was_said_nothing_is_done() -> None:
    assert Talk().interrupt(0) is None


def test_where_all_was_heard_nothing_is_done(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    talk.confirm()
    assert talk.interrupt(150) is None
    assert talk.responses.get_or_create("r1").lifecycle.state is ResponseState.DONE


def test_where_all_must_have_been_heard_nothing_is_done(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    assert talk.interrupt(2100) is None
    assert [each.part.item_id for each in talk.playout.positions(0)] == ["a"]


def test_a_second_interruption_finds_nothing_to_do(talk: Talk) -> None:
    talk.audio("a", 500)
    assert talk.interrupt(100)
    assert talk.interrupt(110) is None
    talk.response_done()
    assert talk.interrupt(120) is None


# What was heard


def test_an_item_heard_in_part_is_truncated_there(talk: Talk) -> None:
    talk.spoken("a", 500)
    talk.response_done()
    part = PartKey(1, "r1", "a", 0)
    assert talk.interrupt(200) == Interruption(
        clear=True,
        events=(TruncateItem("a", 0, 200),),
        cut=(
            PlaybackPosition(
                part,
                confirmed_samples=0,
                estimated_samples=1600,
                sent_samples=4000,
                is_complete=True,
            ),
        ),
        finished=(),
        stopped_generating=False,
    )
    assert talk.responses.get_or_create("r1").heard_items == {"a"}
    assert talk.playout.positions(200 * MS) == []


def test_an_item_heard_to_the_end_is_left_alone(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    assert talk.interrupt(150) == Interruption(
        clear=True,
        events=(),
        cut=(),
        finished=(PartKey(1, "r1", "a", 0),),
        stopped_generating=False,
    )


def test_an_item_heard_as_far_as_it_is_generated_is_truncated_at_what_came(talk: Talk) -> None:
    talk.audio("a", 100)
    done = talk.interrupt(150)
    assert done is not None
    assert done.events == (CANCEL_R1, TruncateItem("a", 0, 100))
    assert [each.estimated_samples for each in done.cut] == [800]
    assert done.finished == ()


def test_what_came_is_truncated_also_where_marks_confirm_it_and_nothing_plays(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.confirm()
    done = talk.interrupt(5000)
    assert done is not None
    assert not done.clear
    assert done.events == (CANCEL_R1, TruncateItem("a", 0, 100))


def test_an_item_not_heard_at_all_is_deleted_if_it_is_done(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.spoken("b", 300)
    talk.response_done()
    assert talk.events(50) == (TruncateItem("a", 0, 50), DeleteItem("b"))
    assert talk.responses.get_or_create("r1").heard_items == {"a"}


def test_an_item_not_heard_at_all_and_not_done_is_left_to_its_end(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.audio("b", 300)
    done = talk.interrupt(50)
    assert done is not None
    assert done.events == (CANCEL_R1, TruncateItem("a", 0, 50))
    assert [each.part.item_id for each in done.cut] == ["a", "b"]
    response = talk.responses.get_or_create("r1")
    assert "b" not in response.heard_items
    assert not response.is_audible


def test_less_than_a_millisecond_is_not_heard(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.response_done()
    assert talk.events(0.9) == (DeleteItem("a"),)


def test_positions_are_whole_milliseconds_rounded_down(talk: Talk) -> None:
    talk.audio("a", 161 / 8)
    assert talk.events(1000) == (CANCEL_R1, TruncateItem("a", 0, 20))


def test_an_item_is_heard_as_far_as_its_marks_say_even_if_the_model_is_not_as_far(
    talk: Talk,
) -> None:
    talk.audio("a", 100)
    talk.confirm()
    talk.audio("a", 100)
    talk.spoken("b", 200)
    talk.response_done()
    assert talk.events(0) == (TruncateItem("a", 0, 100), DeleteItem("b"))


# Content parts of one item


def test_of_two_parts_only_the_one_heard_in_part_is_truncated(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    talk.audio("a", 100, index=1)
    assert talk.events(150) == (CANCEL_R1, TruncateItem("a", 1, 50))


def test_a_part_not_heard_of_an_item_that_was_is_truncated_at_its_start(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    talk.audio("a", 100, index=1)
    talk.item_done("a")
    assert talk.events(50) == (CANCEL_R1, TruncateItem("a", 0, 50), TruncateItem("a", 1, 0))


def test_an_item_of_which_an_earlier_part_is_finished_is_not_deleted(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    talk.confirm()
    talk.audio("a", 100, index=1)
    talk.item_done("a")
    talk.response_done()
    assert talk.events(0) == (TruncateItem("a", 1, 0),)


def test_two_parts_not_heard_are_one_item_to_delete(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.audio("b", 100)
    talk.audio("b", 100, index=1)
    talk.item_done("b")
    talk.response_done()
    assert talk.events(100) == (DeleteItem("b"),)


def test_parts_of_an_item_are_corrected_together_even_if_another_came_between(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio("b", 100)
    talk.audio("a", 100, index=1)
    talk.item_done("b")
    assert talk.events(50, cancel=False) == (
        TruncateItem("a", 0, 50),
        TruncateItem("a", 1, 0),
        DeleteItem("b"),
    )


# Several responses


def test_of_queued_responses_each_item_is_corrected_as_far_as_it_was_heard(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.response_done()
    talk.created("r2")
    talk.spoken("b", 300, response="r2")
    talk.audio("c", 100, response="r2")
    assert talk.events(250) == (CANCEL_R2, TruncateItem("b", 0, 50))
    states = {each.id: each.lifecycle.state for each in talk.responses}
    assert states == {"r1": ResponseState.INTERRUPTED_DONE, "r2": ResponseState.INTERRUPTED}


def test_items_of_one_name_in_two_responses_are_told_apart(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.response_done()
    talk.created("r2")
    talk.audio("a", 200, response="r2")
    assert talk.events(100) == (CANCEL_R2, TruncateItem("a", 0, 100))


def test_a_response_heard_to_the_end_before_is_left_alone(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    talk.confirm()
    talk.created("r2")
    talk.audio("b", 100, response="r2")
    assert talk.events(50) == (CANCEL_R2, TruncateItem("b", 0, 50))
    assert talk.responses.get_or_create("r1").lifecycle.state is ResponseState.DONE


def test_a_part_whose_mark_was_lost_counts_as_heard_when_another_response_is_stopped(
    talk: Talk,
) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    talk.created("r2")
    done = talk.interrupt(5000)
    assert done == Interruption(
        clear=False,
        events=(CANCEL_R2,),
        cut=(),
        finished=(PartKey(1, "r1", "a", 0),),
        stopped_generating=True,
    )
    assert talk.responses.get_or_create("r1").lifecycle.state is ResponseState.DONE


def test_an_item_whose_mark_was_lost_counts_as_heard_while_its_response_goes_on(
    talk: Talk,
) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    assert talk.events(5000) == (CANCEL_R1,)
    assert talk.responses.get_or_create("r1").heard_items == {"a"}


# Outside the conversation


def test_a_response_outside_the_conversation_is_only_silenced(talk: Talk) -> None:
    talk.response_done()
    outside = talk.created("r2", conversation=None)
    talk.spoken("a", 100, response="r2")
    talk.audio("b", 100, response="r2")
    done = talk.interrupt(50, server_cancels=True)
    assert done is not None
    assert done.clear
    assert done.events == (CANCEL_R2,)
    assert [each.part.item_id for each in done.cut] == ["a", "b"]
    assert done.stopped_generating
    assert outside.lifecycle.state is ResponseState.INTERRUPTED


def test_a_response_outside_the_conversation_that_does_not_sound_is_left_alone(talk: Talk) -> None:
    outside = talk.created("r2", conversation=None)
    talk.audio("a", 100)
    assert talk.events(50) == (CANCEL_R1, TruncateItem("a", 0, 50))
    assert outside.is_audible


# Cancelling


def test_a_response_without_audio_is_cancelled_and_silenced(talk: Talk) -> None:
    assert talk.interrupt(0) == Interruption(
        clear=False, events=(CANCEL_R1,), cut=(), finished=(), stopped_generating=True
    )
    assert talk.responses.get_or_create("r1").lifecycle.state is ResponseState.INTERRUPTED


def test_what_the_server_cancels_by_itself_is_not_cancelled(talk: Talk) -> None:
    talk.audio("a", 100)
    done = talk.interrupt(50, server_cancels=True)
    assert done is not None
    assert done.events == (TruncateItem("a", 0, 50),)
    assert done.stopped_generating


def test_nothing_is_cancelled_unless_asked_for(talk: Talk) -> None:
    talk.audio("a", 100)
    assert talk.events(50, cancel=False) == (TruncateItem("a", 0, 50),)
    assert not talk.responses.get_or_create("r1").is_audible


def test_what_is_being_cancelled_is_not_cancelled_again(talk: Talk) -> None:
    talk.audio("a", 100)
    assert talk.responses.get_or_create("r1").lifecycle.step(ResponseInput.CANCEL)
    done = talk.interrupt(50)
    assert done is not None
    assert done.events == (TruncateItem("a", 0, 50),)
    assert done.stopped_generating


def test_a_response_that_is_done_is_not_cancelled(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    done = talk.interrupt(50)
    assert done is not None
    assert done.events == (TruncateItem("a", 0, 50),)
    assert not done.stopped_generating


@pytest.mark.parametrize(
    ("error", "late"),
    [
        (ServerError(code="response_cancel_not_active", event_id="bridge-cancel-r1"), True),
        (ServerError(code="response_cancel_not_active", event_id="mine"), False),
        (ServerError(code="response_cancel_not_active"), False),
        (ServerError(code="something_else", event_id="bridge-cancel-r1"), False),
        (ServerError(event_id="bridge-cancel-r1"), False),
    ],
)
def test_only_the_late_cancel_of_an_interruption_is_told_as_such(
    error: ServerError,
    late: bool,  # noqa: FBT001
) -> None:
    assert is_late_cancel(error) is late


def test_the_error_of_a_cancel_that_comes_too_late_is_known(talk: Talk) -> None:
    (cancel,) = talk.events(0)
    answer = ServerError(code="response_cancel_not_active", event_id=cancel.event_id)
    assert is_late_cancel(answer)


# Whatever is said

says = st.lists(
    st.tuples(
        st.sampled_from(["r1", "r2", "out"]),
        st.sampled_from("abc"),
        st.integers(0, 1),
        st.sampled_from(["audio", "audio", "audio done", "item done", "response done", "echo"]),
        st.integers(1, 8000),
    ),
    max_size=25,
)


@given(says, st.integers(0, 5000), st.fixed_dictionaries({"cancel": st.booleans()}))
def test_an_interruption_corrects_each_part_at_most_once_and_never_beyond_its_audio(
    says: list[tuple[str, str, int, str, int]], at: int, how: dict[str, bool]
) -> None:
    talk = Talk()
    for name, conversation in (("r1", "conv"), ("r2", "conv"), ("out", None)):
        talk.created(name, conversation)
    for response, letter, index, what, samples in says:
        item = f"{response}-{letter}"
        match what:
            case "audio":
                talk.audio(item, samples / 8, response=response, index=index)
            case "audio done":
                talk.audio_done(item, response=response, index=index)
            case "item done":
                talk.item_done(item, response=response)
            case "response done":
                if talk.responses.get_or_create(response).is_generating:
                    talk.response_done(response)
            case _:
                talk.confirm()
    sent = {
        (each.part.item_id, each.part.content_index): each
        for each in talk.playout.positions(at * MS)
    }
    generating = {each.id for each in talk.responses if each.is_generating}
    done = talk.interrupt(at, **how)
    events = done.events if done else ()

    truncates = [each for each in events if isinstance(each, TruncateItem)]
    places = [(each.item_id, each.content_index) for each in truncates]
    deletes = [each.item_id for each in events if isinstance(each, DeleteItem)]
    cancels = [each.response_id for each in events if isinstance(each, CancelResponse)]
    assert len(set(places)) == len(places)
    assert len(set(deletes)) == len(deletes)
    assert not {item for item, _ in places} & set(deletes)
    assert not any(item.startswith("out") for item in [*deletes, *(item for item, _ in places)])
    for truncate, place in zip(truncates, places, strict=True):
        heard = sent[place]
        assert type(truncate.audio_end_ms) is int
        assert heard.confirmed_samples // 8 <= truncate.audio_end_ms <= heard.sent_samples // 8
    assert set(cancels) <= generating
    assert bool(cancels) <= how["cancel"]
    assert len(set(cancels)) == len(cancels)
    if done:
        assert {(each.part.item_id, each.part.content_index) for each in done.cut}.isdisjoint(
            (part.item_id, part.content_index) for part in done.finished
        )
        assert len(done.cut) + len(done.finished) == len(sent)
        assert talk.playout.positions(at * MS) == []
    assert talk.interrupt(at, **how) is None
