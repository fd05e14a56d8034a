from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.playout import PlaybackProgress, Playout
from twilio_realtime_core.machine.lifecycles import ResponseInput, ResponseState
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.realtime import DeleteItem, Response, TruncateItem
from twilio_realtime_core.responses.responses import MAX_RESPONSES, ResponseRecord, Responses
from twilio_realtime_core.turns.interruption import InterruptionPlan, plan_interruption
from twilio_realtime_core.values.playback_position import Clip, PartKey, PlaybackPosition


@define
class Talk:
    """A playout, and the responses that it plays. All audio is sent at 0; times in ms."""

    playout: Playout = field(factory=Playout)
    responses: Responses = field(factory=Responses)

    def created(self, response: str, conversation: str | None = "conv") -> ResponseRecord:
        record = self.responses.start(Response(response, conversation_id=conversation), 0)
        assert record.lifecycle.step(ResponseInput.CREATED)
        return record

    def record(self, response: str) -> ResponseRecord:
        record = self.responses.get(response)
        assert record is not None
        return record

    def audio(self, item: str, ms: float, *, response: str = "r1", index: int = 0) -> None:
        part = PartKey(1, response, item, index)
        self._progress(self.playout.audio_sent(part, int(ms * 8), 0))

    def audio_done(self, item: str, *, response: str = "r1", index: int = 0) -> None:
        self._progress(self.playout.source_completed(PartKey(1, response, item, index)))

    def item_done(self, item: str, *, response: str = "r1") -> None:
        self.record(response).mark_item_done(item)

    def response_done(self, response: str = "r1") -> None:
        assert self.record(response).lifecycle.step(ResponseInput.DONE)
        self._progress(self.playout.response_completed(response))

    def spoken(self, item: str, ms: float, *, response: str = "r1") -> None:
        """An item from its first to its last event."""
        self.audio(item, ms, response=response)
        self.audio_done(item, response=response)
        self.item_done(item, response=response)

    def clip(self, clip: Clip) -> None:
        self._progress(self.playout.audio_sent(clip, clip.samples, 0))
        self._progress(self.playout.source_completed(clip))

    def confirm(self) -> None:
        """Send a mark, and echo it at once."""
        self._progress(self.playout.mark_echoed(self.playout.next_mark(0), 0) or PlaybackProgress())

    def _progress(self, progress: PlaybackProgress) -> None:
        for source in progress.started:
            if isinstance(source, PartKey):
                self.record(source.response_id).mark_item_heard(source.item_id)

    def plan(
        self, at: float, *, cancel: bool = True, server_interrupts: bool = False
    ) -> InterruptionPlan | None:
        now = int(at * MS)
        return plan_interruption(
            self.playout.positions(now),
            self.responses,
            is_playing=self.playout.is_playing(now),
            cancel=cancel,
            server_interrupts=server_interrupts,
        )

    def planned(self, at: float, **options: bool) -> InterruptionPlan:
        plan = self.plan(at, **options)
        assert plan is not None
        return plan

    def events(self, at: float, **options: bool) -> tuple[Any, ...]:
        """The ids of the responses that are cancelled, then the corrections."""
        plan = self.planned(at, **options)
        return (*ids(plan.cancelled), *plan.corrections)


def ids(records: tuple[ResponseRecord, ...]) -> list[str]:
    return [each.id for each in records]


def heard_items(plan: InterruptionPlan) -> list[tuple[str, str]]:
    return [(record.id, item_id) for record, item_id in plan.heard_items]


def cut_items(plan: InterruptionPlan) -> list[str]:
    return [part.item_id for part, _ in plan.cut]


@pytest.fixture
def talk() -> Talk:
    """A response in the conversation has been created."""
    talk = Talk()
    talk.created("r1")
    return talk


# Nothing to interrupt.


def test_nothing_is_planned_where_nothing_was_said() -> None:
    assert Talk().plan(0) is None


def test_nothing_is_planned_where_all_was_heard(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    talk.confirm()
    assert talk.plan(150) is None
    assert talk.record("r1").lifecycle.state is ResponseState.DONE


def test_nothing_is_planned_where_all_must_have_been_heard(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    assert talk.plan(2100) is None
    assert [each.source for each in talk.playout.positions(0)] == [PartKey(1, "r1", "a", 0)]


# What was heard.


def test_an_item_heard_in_part_is_truncated_there(talk: Talk) -> None:
    talk.spoken("a", 500)
    talk.response_done()
    part = PartKey(1, "r1", "a", 0)
    record = talk.record("r1")
    plan = talk.planned(200)
    assert plan == InterruptionPlan(
        clears=True,
        cancelled=(),
        corrections=(TruncateItem("a", 0, 200),),
        heard_items=((record, "a"),),
        stopped=(record,),
        started=(),
        completed=(),
        cut=(
            (
                part,
                PlaybackPosition(
                    part,
                    confirmed_samples=0,
                    estimated_samples=1600,
                    sent_samples=4000,
                    is_complete=True,
                ),
            ),
        ),
        clips=(),
        reasons=(Reason.CLEARED_AUDIO, Reason.CANCEL_TOO_LATE, Reason.TRUNCATED_AS_HEARD),
    )
    assert not plan.stops_generation


def test_an_item_heard_to_the_end_is_left_alone(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    record = talk.record("r1")
    plan = talk.planned(150)
    assert plan == InterruptionPlan(
        clears=True,
        cancelled=(),
        corrections=(),
        heard_items=((record, "a"),),
        stopped=(record,),
        started=(PartKey(1, "r1", "a", 0),),
        completed=(PartKey(1, "r1", "a", 0),),
        cut=(),
        clips=(),
        reasons=(Reason.CLEARED_AUDIO, Reason.CANCEL_TOO_LATE, Reason.KEPT_AS_HEARD),
    )
    assert not plan.stops_generation


def test_an_unfinished_item_is_truncated_at_what_was_received(talk: Talk) -> None:
    talk.audio("a", 100)
    assert talk.events(150) == ("r1", TruncateItem("a", 0, 100))
    plan = talk.planned(150)
    assert [each.estimated_samples for _, each in plan.cut] == [800]
    assert plan.completed == ()


def test_a_confirmed_unfinished_item_is_truncated_without_a_clear(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.confirm()
    assert not talk.planned(5000).clears
    assert talk.events(5000) == ("r1", TruncateItem("a", 0, 100))


def test_an_unheard_item_that_is_done_is_deleted(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.spoken("b", 300)
    talk.response_done()
    assert talk.events(50) == (TruncateItem("a", 0, 50), DeleteItem("b"))
    assert heard_items(talk.planned(50)) == [("r1", "a")]


def test_an_unheard_item_that_is_unfinished_is_not_corrected(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.audio("b", 300)
    plan = talk.planned(50)
    assert talk.events(50) == ("r1", TruncateItem("a", 0, 50))
    assert cut_items(plan) == ["a", "b"]
    assert heard_items(plan) == [("r1", "a")]
    assert ids(plan.stopped) == ["r1"]


def test_less_than_a_millisecond_is_not_heard(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.response_done()
    assert talk.events(0.9) == (DeleteItem("a"),)


def test_positions_are_whole_milliseconds_rounded_down(talk: Talk) -> None:
    talk.audio("a", 161 / 8)
    assert talk.events(1000) == ("r1", TruncateItem("a", 0, 20))


def test_what_marks_confirm_counts_before_the_estimate(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.confirm()
    talk.audio("a", 100)
    talk.spoken("b", 200)
    talk.response_done()
    assert talk.events(0) == (TruncateItem("a", 0, 100), DeleteItem("b"))


def test_an_item_deleted_by_the_application_is_not_corrected(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.responses.mark_item_deleted("a")
    plan = talk.planned(50)
    assert (plan.corrections, plan.heard_items) == ((), ())
    assert cut_items(plan) == ["a"]


# Content parts of one item.


def test_only_the_part_heard_in_part_is_truncated(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    talk.audio("a", 100, index=1)
    assert talk.events(150) == ("r1", TruncateItem("a", 1, 50))


def test_an_unheard_part_of_a_heard_item_is_truncated(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    talk.audio("a", 100, index=1)
    talk.item_done("a")
    assert talk.events(50) == ("r1", TruncateItem("a", 0, 50), TruncateItem("a", 1, 0))


def test_an_item_with_a_finished_part_is_not_deleted(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    talk.confirm()
    talk.audio("a", 100, index=1)
    talk.item_done("a")
    talk.response_done()
    assert talk.events(0) == (TruncateItem("a", 1, 0),)


def test_two_unheard_parts_are_one_item_to_delete(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.audio("b", 100)
    talk.audio("b", 100, index=1)
    talk.item_done("b")
    talk.response_done()
    assert talk.events(100) == (DeleteItem("b"),)


def test_parts_of_an_item_are_corrected_together(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio("b", 100)
    talk.audio("a", 100, index=1)
    talk.item_done("b")
    assert talk.events(50, cancel=False) == (
        TruncateItem("a", 0, 50),
        TruncateItem("a", 1, 0),
        DeleteItem("b"),
    )


# Several responses.


def test_items_of_queued_responses_are_each_corrected(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.response_done()
    talk.created("r2")
    talk.spoken("b", 300, response="r2")
    talk.audio("c", 100, response="r2")
    assert talk.events(250) == ("r2", TruncateItem("b", 0, 50))
    assert sorted(ids(talk.planned(250).stopped)) == ["r1", "r2"]


def test_equal_item_ids_of_two_responses_are_distinct(talk: Talk) -> None:
    talk.spoken("a", 200)
    talk.response_done()
    talk.created("r2")
    talk.audio("a", 200, response="r2")
    assert talk.events(100) == ("r2", TruncateItem("a", 0, 100))


def test_a_response_confirmed_as_heard_is_left_alone(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    talk.confirm()
    talk.created("r2")
    talk.audio("b", 100, response="r2")
    assert talk.events(50) == ("r2", TruncateItem("b", 0, 50))
    assert ids(talk.planned(50).stopped) == ["r2"]


def test_a_part_whose_mark_was_lost_counts_as_heard(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    talk.created("r2")
    first, second = talk.responses
    plan = talk.planned(5000)
    assert plan == InterruptionPlan(
        clears=False,
        cancelled=(second,),
        corrections=(),
        heard_items=((first, "a"),),
        stopped=(second,),
        started=(PartKey(1, "r1", "a", 0),),
        completed=(PartKey(1, "r1", "a", 0),),
        cut=(),
        clips=(),
        reasons=(Reason.KEPT_NO_AUDIO, Reason.CANCELLED_BY_INTERRUPTION, Reason.KEPT_AS_HEARD),
    )
    assert plan.stops_generation


def test_a_part_with_a_lost_mark_counts_while_generating(talk: Talk) -> None:
    talk.audio("a", 100)
    talk.audio_done("a")
    assert talk.events(5000) == ("r1",)
    assert heard_items(talk.planned(5000)) == [("r1", "a")]


# Out-of-band responses, and clips.


def test_an_out_of_band_response_is_only_silenced(talk: Talk) -> None:
    talk.response_done()
    talk.created("r2", conversation=None)
    talk.spoken("a", 100, response="r2")
    talk.audio("b", 100, response="r2")
    plan = talk.planned(50, server_interrupts=True)
    assert plan.clears
    assert (ids(plan.cancelled), plan.corrections, plan.heard_items) == (["r2"], (), ())
    assert cut_items(plan) == ["a", "b"]
    assert plan.stops_generation
    assert ids(plan.stopped) == ["r2"]


def test_text_out_of_band_is_left_alone(talk: Talk) -> None:
    talk.created("r2", conversation=None).is_text = True
    talk.audio("a", 100)
    assert talk.events(50) == ("r1", TruncateItem("a", 0, 50))
    assert ids(talk.planned(50).stopped) == ["r1"]


def test_an_out_of_band_response_without_sound_is_stopped(talk: Talk) -> None:
    talk.created("r2", conversation=None)
    talk.audio("a", 100)
    assert talk.events(50) == ("r1", "r2", TruncateItem("a", 0, 50))
    assert ids(talk.planned(50).stopped) == ["r1", "r2"]


def test_a_clip_is_only_silenced() -> None:
    talk = Talk()
    clip = Clip(1, "greeting", 800)
    talk.clip(clip)
    plan = talk.planned(50)
    assert plan.clears
    assert (plan.cancelled, plan.corrections, plan.stopped) == ((), (), ())
    assert (plan.completed, plan.cut) == ((), ())
    assert [(each.source, each.estimated_samples) for each in plan.clips] == [(clip, 400)]


# Cancelling.


def test_a_response_without_audio_is_cancelled_and_stopped(talk: Talk) -> None:
    record = talk.record("r1")
    plan = talk.planned(0)
    assert plan == InterruptionPlan(
        clears=False,
        cancelled=(record,),
        corrections=(),
        heard_items=(),
        stopped=(record,),
        started=(),
        completed=(),
        cut=(),
        clips=(),
        reasons=(Reason.KEPT_NO_AUDIO, Reason.CANCELLED_BY_INTERRUPTION),
    )
    assert plan.stops_generation


def test_a_response_that_the_server_cancels_is_not_cancelled(talk: Talk) -> None:
    talk.audio("a", 100)
    assert talk.events(50, server_interrupts=True) == (TruncateItem("a", 0, 50),)
    assert talk.planned(50, server_interrupts=True).stops_generation


def test_nothing_is_cancelled_unless_requested(talk: Talk) -> None:
    talk.audio("a", 100)
    assert talk.events(50, cancel=False) == (TruncateItem("a", 0, 50),)
    assert ids(talk.planned(50, cancel=False).stopped) == ["r1"]


def test_a_response_being_cancelled_is_not_cancelled_again(talk: Talk) -> None:
    talk.audio("a", 100)
    assert talk.record("r1").lifecycle.step(ResponseInput.CANCEL)
    assert talk.events(50) == (TruncateItem("a", 0, 50),)
    assert talk.planned(50).stops_generation


def test_a_response_that_is_done_is_not_cancelled(talk: Talk) -> None:
    talk.spoken("a", 100)
    talk.response_done()
    assert talk.events(50) == (TruncateItem("a", 0, 50),)
    assert not talk.planned(50).stops_generation


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_an_interrupted_response_still_generating_is_cancelled_once(
    talk: Talk,
    is_cancelled: bool,  # noqa: FBT001
) -> None:
    record = talk.record("r1")
    record.lifecycle.step(ResponseInput.INTERRUPT)
    record.is_cancelled = is_cancelled
    assert talk.plan(0, cancel=False) is None
    assert talk.plan(0, server_interrupts=True) is None
    plan = talk.plan(0)
    if is_cancelled:
        assert plan is None
    else:
        assert plan is not None
        assert (ids(plan.cancelled), plan.stopped) == (["r1"], ())


# A response that plays, and is forgotten.


def test_audio_of_a_forgotten_response_is_corrected(talk: Talk) -> None:
    talk.audio("a", 500)
    talk.response_done()
    for number in range(MAX_RESPONSES):
        talk.created(f"later {number}")
        talk.response_done(f"later {number}")
    assert talk.responses.get("r1") is None
    plan = talk.planned(200)
    assert plan.clears
    assert plan.corrections == (TruncateItem("a", 0, 200),)
    assert (plan.cancelled, plan.stopped) == ((), ())
    assert cut_items(plan) == ["a"]
    assert talk.responses.get("r1") is None


# Property tests.

steps = st.lists(
    st.tuples(
        st.sampled_from(["r1", "r2", "out"]),
        st.sampled_from("abc"),
        st.integers(0, 1),
        st.sampled_from(
            [
                *("audio", "audio", "audio done", "item done", "response done", "echo"),
                *("clip", "cancel", "interrupt", "item deleted"),
            ]
        ),
        st.integers(1, 8000),
    ),
    max_size=25,
)


def talk_of(steps: list[tuple[str, str, int, str, int]]) -> Talk:
    """Three responses that speak, one of them out of band."""
    talk = Talk()
    for name, conversation in (("r1", "conv"), ("r2", "conv"), ("out", None)):
        talk.created(name, conversation)
    for number, (response, letter, index, step, samples) in enumerate(steps):
        item = f"{response}-{letter}"
        record = talk.record(response)
        match step:
            case "audio":
                talk.audio(item, samples / 8, response=response, index=index)
            case "audio done":
                talk.audio_done(item, response=response, index=index)
            case "item done":
                talk.item_done(item, response=response)
            case "item deleted":
                talk.responses.mark_item_deleted(item)
            case "response done":
                if record.is_generating:
                    talk.response_done(response)
            case "cancel":
                record.mark_cancelled()
            case "interrupt":
                record.lifecycle.step(ResponseInput.INTERRUPT)
            case "clip":
                talk.clip(Clip(number, letter, samples))
            case _:
                talk.confirm()
    return talk


options = st.fixed_dictionaries({"cancel": st.booleans(), "server_interrupts": st.booleans()})


@given(steps, st.integers(0, 5000), options)
def test_each_part_is_corrected_once_within_its_audio(
    steps: list[tuple[str, str, int, str, int]], at: int, options: dict[str, bool]
) -> None:
    talk = talk_of(steps)
    positions = talk.playout.positions(at * MS)
    sent = {
        (each.source.item_id, each.source.content_index): each
        for each in positions
        if isinstance(each.source, PartKey)
    }
    generating = {each.id for each in talk.responses if each.is_generating}
    plan = talk.plan(at, **options)
    corrections = plan.corrections if plan else ()

    truncates = [each for each in corrections if isinstance(each, TruncateItem)]
    places = [(each.item_id, each.content_index) for each in truncates]
    deletes = [each.item_id for each in corrections if isinstance(each, DeleteItem)]
    cancels = ids(plan.cancelled) if plan else []
    assert len(set(places)) == len(places)
    assert len(set(deletes)) == len(deletes)
    assert not {item for item, _ in places} & set(deletes)
    corrected = [*deletes, *(item for item, _ in places)]
    assert not any(item.startswith("out") for item in corrected)
    assert not any(talk.responses.is_item_deleted(item) for item in corrected)
    for truncate, place in zip(truncates, places, strict=True):
        position = sent[place]
        assert type(truncate.audio_end_ms) is int
        assert position.confirmed_samples // 8 <= truncate.audio_end_ms
        assert truncate.audio_end_ms <= position.sent_samples // 8
    assert set(cancels) <= generating
    assert bool(cancels) <= options["cancel"]
    assert len(set(cancels)) == len(cancels)
    if options["server_interrupts"]:
        assert set(cancels) <= {"out"}
    if plan:
        assert {part for part, _ in plan.cut}.isdisjoint(plan.completed)
        assert len(plan.cut) + len(plan.completed) == len(sent)
        assert len(plan.clips) == len(positions) - len(sent)
        assert plan.clears is talk.playout.is_playing(at * MS)
        assert not any(item in deletes for _, item in plan.heard_items)


def state_of(talk: Talk, at: int) -> tuple[Any, ...]:
    """All that is known of the playout and the responses, with the state inside them."""
    records = [
        (
            *(getattr(each, name) for name in ("id", "is_in_conversation", "is_announced")),
            *(each.is_cancelled, each.is_followup_requested, each.unsent_outputs),
            *(each.sent_samples, each.lifecycle.state),
            *(set(each.done_items), set(each.heard_items), set(each.done_parts)),
        )
        for each in talk.responses
    ]
    return (
        records,
        [each.id for each in talk.responses.generating],
        talk.responses.is_any_stoppable,
        talk.playout.positions(at * MS),
        talk.playout.is_playing(at * MS),
        talk.playout.silent_at_ns,
        talk.playout.is_final_mark_due(),
        talk.playout.is_probe_due(),
        talk.playout.start_delay_history,
    )


@given(steps, st.integers(0, 5000), options)
def test_planning_an_interruption_changes_nothing(
    steps: list[tuple[str, str, int, str, int]], at: int, options: dict[str, bool]
) -> None:
    talk, untouched = talk_of(steps), talk_of(steps)
    before = state_of(talk, at)
    first = talk.plan(at, **options)
    assert state_of(talk, at) == before == state_of(untouched, at)
    assert talk.plan(at, **options) == first
    for each in ("later", "r1"):
        talk.responses.get_or_create(each)
        untouched.responses.get_or_create(each)
    talk.confirm()
    untouched.confirm()
    assert state_of(talk, at) == state_of(untouched, at)
