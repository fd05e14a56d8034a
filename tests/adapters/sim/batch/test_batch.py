"""Random calls: pure functions of their seeds, which find planted bugs."""

import os
import subprocess
import sys
from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim.batch.batch import CallResult, run_call
from twilio_realtime.sim.batch.random_call import MakeBridge
from twilio_realtime.sim.batch.summary import Summary
from twilio_realtime.sim.batch.transition_coverage import TRANSITIONS
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.table import IMPAIRMENTS, draw_impairments
from twilio_realtime_core import Action, Bridge, CallConfig, Command, HangUp, Peer

CALLS = range(48)


FIRST = 1_000_000
"""Of the seeds for the wider tests; `make simulate` tries others."""


RIGHT_BUT_STRANGE = {
    "a function call whose output was removed between two sessions": 700002067,
    "a part that is complete and partly held": 700004095,
    "one request for the outputs of two responses, refused": 700017183,
    "a request that overtakes one that waits for the caller": 700025656,
    "hold audio that starts at a late echo": 710028937,
    "a message of the user with the id of what the agent says": 710093254,
    "a reset of the history while an item is being deleted": 720040935,
    "marks that came back seconds late, and then at once": 720058029,
    "an item with the id of one that was deleted, restored": 810050651,
    "hold audio that a clip ends while the caller speaks": 900005747,
    "an output that is deleted while there is no session": 910004598,
    "a goodbye that goes on when the model falls silent": 920094503,
    "an output after playback when the last session expires": 930061927,
    "hold audio that is interrupted, and half a frame with it": 940015313,
    "a turn of a session whose audio was dropped, two sessions later": 960040483,
    "a late answer out of band without an id": 971030813,
    "a second response without an id that ends a turn": 972006362,
    "a turn that ends with the answer to a request, or not": 973000938,
    "a request that does not wait for a turn that is heard again": 974002595,
    "audio that is cleared when another session takes over": 974039959,
    "a response that starts late while a question is not answered": 977800647,
    "a turn that the application commits, which nobody answers": 978018394,
    "an event at the instant at which held audio is due": 978020059,
    "a call that ends at the instant at which a response is given up": 979008158,
    "audio of the application of which a piece is dropped before a session takes over": 982049957,
    "a question that the audio of the application behind it drops": 983096851,
    "audio that is cleared when the session is ready for it": 983153877,
    "a pause between two sentences that is shorter than jitter": 983211305,
    "hold audio that starts at a late echo of what was before": 983236501,
    "a turn that is not committed when a session takes over": 982060193,
    "a turn that another stream takes over, behind a response that was stopped": 983164619,
    "a function call that is deleted, and comes back without its output": 983053266,
}
"""Calls of 100 ms frames in which the bridge does something rare, and right."""


def failures_text(results: list[CallResult]) -> str:
    """The failures, each with the command that repeats the call."""
    return "\n\n".join(
        f"twilio-realtime simulate --calls 1 --seed {each.seed} --level {each.level}\n"
        f"{each.failure}"
        for each in results
        if each.failure is not None
    )


@pytest.mark.parametrize("job", range(8))
def test_calls_succeed(job: int) -> None:
    first = FIRST + 20 * job
    assert failures_text([run_call(seed) for seed in range(first, first + 20)]) == ""


@pytest.mark.parametrize("job", range(2))
def test_byte_calls_succeed(job: int) -> None:
    first = FIRST + 12 * job
    calls = [run_call(seed, level="bytes") for seed in range(first, first + 12)]
    assert failures_text(calls) == ""


@pytest.mark.parametrize("seed", RIGHT_BUT_STRANGE.values(), ids=RIGHT_BUT_STRANGE)
def test_calls_that_look_wrong_succeed(seed: int) -> None:
    assert failures_text([run_call(seed, frame_ms=100)]) == ""


@pytest.fixture(scope="module")
def results() -> list[CallResult]:
    return [run_call(seed) for seed in CALLS]


def test_no_invariant_is_broken(results: list[CallResult]) -> None:
    assert failures_text(results) == ""


def test_a_call_is_a_function_of_its_seed(results: list[CallResult]) -> None:
    assert [run_call(seed) for seed in CALLS[:10]] == results[:10]
    assert len({(result.duration_ns, result.received) for result in results}) > len(CALLS) / 2


@pytest.mark.parametrize("sent", [1, 87])
def test_a_call_lost_before_the_bridge_has_never_begun(sent: int) -> None:
    cut = {"lost at, ms": 0, "after so many bytes": sent}
    chosen = {"percent of the faults": 3, "the phone's socket closed": 99, **cut}
    choices = Choices.from_source(lambda label, low, _: chosen.get(label, low))
    result = run_call(choices=choices, level="bytes")
    assert result.failure is None
    assert result.outcome == "NEVER_BEGUN"


def test_hash_seeds_do_not_change_a_calls_steps() -> None:
    program = (
        "from twilio_realtime.sim.choices import Choices\n"
        "from twilio_realtime.sim.batch.random_call import RandomCall\n"
        "for level in ('messages', 'bytes'):\n"
        "    for seed in (3, 5):\n"
        "        call = RandomCall(Choices.from_seed(seed), None, level)\n"
        "        call.world.step_observers.append(print)\n"
        "        print(call.run())\n"
    )
    first, second = (
        subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for seed in ("0", "1")
    )
    assert len(first) > 2000
    assert (
        next((pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]), None) is None
    )


@settings(max_examples=5)
@given(st.data())
def test_hypothesis_can_choose_a_call(data: st.DataObject) -> None:
    choices = Choices.from_source(
        lambda label, low, high: data.draw(st.integers(low, high), label=label)
    )
    assert run_call(choices=choices).failure is None


class IgnoresStreamEnd(Bridge):
    """A planted bug: the end of the stream is ignored."""

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return [] if peer is Peer.TWILIO else super().closed(peer, code, reason, now)


class IgnoresHangUp(Bridge):
    """A planted bug: `HangUp` is ignored."""

    def send(self, command: Command, now: int) -> list[Action]:
        return [] if isinstance(command, HangUp) else super().send(command, now)


class RaisesOnPong(Bridge):
    """A planted bug: an exception."""

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        raise RuntimeError("oh")


@pytest.mark.parametrize(
    ("bridge", "invariant"), [(IgnoresStreamEnd, 10), (IgnoresHangUp, 13), (RaisesOnPong, -1)]
)
def test_a_planted_bug_is_found_and_shown_with_its_trace(
    bridge: MakeBridge, invariant: int
) -> None:
    found = next(
        result
        for result in (run_call(seed, make_bridge=bridge) for seed in range(50))
        if result.failure is not None
    )
    failure = found.failure
    assert failure is not None
    assert (found.outcome, failure.invariant) == ("FAILED", invariant)
    assert failure.trace
    assert failure.story[0].endswith("the call is accepted")
    assert (failure.name != "") == (invariant >= 0)
    assert failures_text([found]).startswith(
        f"twilio-realtime simulate --calls 1 --seed {found.seed} "
    )
    assert str(failure).endswith(f"invariant {invariant}: {failure.text}")


def test_an_unrepeatable_failure_is_reported_as_such() -> None:
    calls: list[Bridge] = []

    class RaisesOnce(Bridge):
        def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
            if calls[0] is self:
                raise RuntimeError("oh")
            return super().pong(peer, payload, now)

    def make(config: CallConfig) -> Bridge:
        calls.append(RaisesOnce(config))
        return calls[-1]

    seed = next(seed for seed in range(50) if run_call(seed, make_bridge=RaisesOnPong).failure)
    result = run_call(seed, make_bridge=make)
    assert result.outcome == "FAILED"
    assert result.failure is not None
    assert result.failure.text == "RuntimeError: oh; not so when the same call was repeated"


# Drawn impairments.


def test_every_impairment_can_be_drawn_and_is_described() -> None:
    highest = Choices.from_source(lambda _, __, high: high)
    plan = draw_impairments(highest)
    assert list(plan.rules_by_name) == list(IMPAIRMENTS)
    assert set(IMPAIRMENTS) <= set(highest.decisions)
    assert plan.applied_counts()["a server that refuses"] == 1
    assert plan.applied_counts()["marks lost"] == 0


def test_the_plainest_choices_draw_no_impairment() -> None:
    assert draw_impairments(Choices.from_source(lambda _, low, __: low)).rules_by_name == {}


# Summaries.


def test_impairments_and_transitions_are_counted(results: list[CallResult]) -> None:
    summary = Summary()
    for result in results:
        summary.add(result)
    assert summary.calls == len(CALLS)
    assert len(summary.impairments) > len(IMPAIRMENTS) / 2
    assert len(summary.transitions) > len(TRANSITIONS) / 2
    assert set(summary.transitions) | set(summary.missing_transitions) == set(TRANSITIONS)
    assert {"clear", "conversation.item.truncate", "Interrupted"} <= set(summary.received)
    report = summary.to_json()
    assert report["calls"] == sum(report["outcomes"].values()) == len(CALLS)
    assert report["seconds"] > 60
    assert report["duration_ms"]["5"] <= report["duration_ms"]["95"]


def test_the_sum_does_not_depend_on_the_order(results: list[CallResult]) -> None:
    one, other = Summary(), Summary()
    for result in results:
        one.add(result)
    for result in reversed(results):
        other.add(result)
    assert one.to_json() == other.to_json()


def test_merged_summaries_are_the_summary_of_all_calls(results: list[CallResult]) -> None:
    whole, merged = Summary(), Summary()
    for start in range(0, len(results), 7):
        part = Summary()
        for result in results[start : start + 7]:
            part.add(result)
            whole.add(result)
        merged.merge(part)
    assert merged.to_json() == whole.to_json()


def test_a_percentile_is_the_duration_at_its_place(results: list[CallResult]) -> None:
    summary = Summary()
    for result in results:
        summary.add(result)
    ordered = sorted(result.duration_ns // 1_000_000 for result in results)
    for percent in range(101):
        place = min(len(ordered) - 1, len(ordered) * percent // 100)
        assert summary.duration_percentile_ms(percent) == ordered[place]


def test_a_summary_of_no_calls_is_empty() -> None:
    nothing = Summary()
    assert nothing.duration_percentile_ms(50) == 0
    assert nothing.missing_transitions == list(TRANSITIONS)
    assert nothing.missing_impairments == list(IMPAIRMENTS)
