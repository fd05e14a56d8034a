"""Random calls: a pure function of their seed, checked, and broken where the bridge is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim.batch.batch import Result, run_call, run_calls, run_job, seeds
from twilio_realtime.sim.batch.choices import Choices
from twilio_realtime.sim.batch.random_call import MakeBridge
from twilio_realtime.sim.batch.summary import Summary
from twilio_realtime.sim.batch.transition_coverage import TRANSITIONS
from twilio_realtime.sim.impairments.table import FAULTS, draw_trouble
from twilio_realtime_core import Action, Bridge, CallConfig, Command, HangUp, Peer

CALLS = range(40)


def first_seed() -> int:
    """Each commit tries calls of its own; where there is no repository, all try the same."""
    git = shutil.which("git")
    if git is None:
        return 0
    here = Path(__file__).parent
    head = subprocess.run(  # noqa: S603 - it asks for the commit
        [git, "rev-parse", "HEAD"], cwd=here, check=False, capture_output=True, text=True
    )
    return int(head.stdout[:8], 16) if head.returncode == 0 else 0


FIRST = first_seed()


def told(results: list[Result]) -> str:
    """What went wrong, each with the command that makes the call again."""
    return "\n\n".join(
        f"twilio-realtime simulate --calls 1 --seed {each.seed} --level {each.level}\n"
        f"{each.failure}"
        for each in results
        if each.failure is not None
    )


@pytest.mark.parametrize("job", range(20))
def test_calls_that_no_commit_before_has_tried_go_well(job: int) -> None:
    first = FIRST + 20 * job
    assert told(run_job(range(first, first + 20))) == ""


@pytest.mark.parametrize("job", range(4))
def test_nor_do_they_go_wrong_at_byte_level(job: int) -> None:
    first = FIRST + 12 * job
    assert told(run_job(range(first, first + 12), partial(run_call, level="bytes"))) == ""


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return run_job(CALLS)


def test_no_invariant_is_broken(results: list[Result]) -> None:
    assert told(results) == ""


def test_a_call_is_a_function_of_its_seed(results: list[Result]) -> None:
    assert run_job(CALLS[:10]) == results[:10]
    assert len({(result.duration_ns, result.seen) for result in results}) > len(CALLS) / 2


def test_workers_come_to_the_same_results(results: list[Result]) -> None:
    with ThreadPoolExecutor(2) as pool:
        jobs = [CALLS[:3], CALLS[3:5]]
        several = [each for job in run_calls(jobs, pool) for each in job]
    assert sorted(several, key=lambda each: each.seed or 0) == results[:5]


@pytest.mark.parametrize("sent", [1, 87])
def test_a_call_that_is_lost_before_it_comes_to_the_bridge_has_never_begun(sent: int) -> None:
    cut = {"lost at, ms": 0, "after so many bytes": sent}
    chosen = {"percent of the faults": 3, "the phone's socket closed": 99, **cut}
    choices = Choices.drawn(lambda label, low, _: chosen.get(label, low))
    result = run_call(choices=choices, level="bytes")
    assert result.failure is None
    assert result.outcome == "NEVER_BEGUN"


def test_work_that_nobody_waits_for_is_not_begun() -> None:
    begun: list[object] = []

    class Pool(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *arguments: Any, **more: Any) -> Any:
            def begin() -> Any:
                begun.append(arguments)
                return fn(*arguments, **more)

            return super().submit(begin)

    with Pool(1) as pool:
        coming = run_calls([[seed] for seed in range(50)], pool)
        next(coming)
        coming.close()
    assert len(begun) < 50


@pytest.mark.parametrize("calls", [1, 24, 25, 26, 100])
def test_jobs_hold_every_seed_once(calls: int) -> None:
    assert [seed for job in seeds(7, calls) for seed in job] == list(range(7, 7 + calls))


def test_a_call_has_the_same_steps_from_run_to_run_and_across_hash_seeds() -> None:
    program = (
        "from twilio_realtime.sim.batch.choices import Choices\n"
        "from twilio_realtime.sim.batch.random_call import RandomCall\n"
        "for level in ('messages', 'bytes'):\n"
        "    for seed in (3, 5):\n"
        "        call = RandomCall(Choices.seeded(seed), None, level)\n"
        "        call.world.observers.append(print)\n"
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
    choices = Choices.drawn(lambda label, low, high: data.draw(st.integers(low, high), label=label))
    assert run_call(choices=choices).failure is None


class Deaf(Bridge):
    """A planted bug: the end of the stream is not noticed."""

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return [] if peer is Peer.TWILIO else super().closed(peer, code, reason, now)


class Stubborn(Bridge):
    """A planted bug: it does not hang up."""

    def send(self, command: Command, now: int) -> list[Action]:
        return [] if isinstance(command, HangUp) else super().send(command, now)


class Clumsy(Bridge):
    """A planted bug: an exception."""

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        raise RuntimeError("oh")


@pytest.mark.parametrize(("bridge", "invariant"), [(Deaf, 10), (Stubborn, 13), (Clumsy, -1)])
def test_a_planted_bug_is_found_with_what_led_to_it(bridge: MakeBridge, invariant: int) -> None:
    found = next(
        result
        for result in (run_call(seed, make_bridge=bridge) for seed in range(50))
        if result.failure is not None
    )
    failure = found.failure
    assert failure is not None
    assert (found.outcome, failure.invariant) == ("FAILED", invariant)
    assert failure.trace
    assert told([found]).startswith(f"twilio-realtime simulate --calls 1 --seed {found.seed} ")
    assert str(failure).endswith(f"invariant {invariant}: {failure.text}")


def test_a_failure_that_does_not_come_again_is_told_all_the_same() -> None:
    calls: list[Bridge] = []

    class Moody(Bridge):
        def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
            if calls[0] is self:
                raise RuntimeError("oh")
            return super().pong(peer, payload, now)

    def make(config: CallConfig) -> Bridge:
        calls.append(Moody(config))
        return calls[-1]

    seed = next(seed for seed in range(50) if run_call(seed, make_bridge=Clumsy).failure)
    result = run_call(seed, make_bridge=make)
    assert result.outcome == "FAILED"
    assert result.failure is not None
    told = "RuntimeError: oh; and not so when the same call was made again"
    assert result.failure.text == told


# What is drawn.


def test_every_fault_can_be_drawn_and_says_what_it_is() -> None:
    highest = Choices.drawn(lambda _, __, high: high)
    trouble = draw_trouble(highest)
    assert list(trouble.added) == list(FAULTS)
    assert set(FAULTS) <= set(highest.decided)
    assert trouble.exercised()["a server that refuses"] == 1
    assert trouble.exercised()["marks lost"] == 0


def test_without_chance_there_is_no_fault() -> None:
    assert draw_trouble(Choices.drawn(lambda _, low, __: low)).added == {}


# What was tried.


def test_faults_and_transitions_are_seen(results: list[Result]) -> None:
    summary = Summary()
    for result in results:
        summary.add(result)
    assert summary.calls == len(CALLS)
    assert len(summary.faults) > len(FAULTS) / 2
    assert len(summary.transitions) > len(TRANSITIONS) / 2
    assert set(summary.transitions) | set(summary.missing_transitions) == set(TRANSITIONS)
    assert {"clear", "conversation.item.truncate", "Interrupted"} <= set(summary.seen)
    told = summary.as_json()
    assert told["calls"] == sum(told["outcomes"].values()) == len(CALLS)
    assert told["seconds"] > 60
    assert told["lasted_ms"]["5"] <= told["lasted_ms"]["95"]


def test_the_sum_does_not_depend_on_the_order(results: list[Result]) -> None:
    one, other = Summary(), Summary()
    for result in results:
        one.add(result)
    for result in reversed(results):
        other.add(result)
    assert one.as_json() == other.as_json()


def test_no_calls_have_tried_nothing() -> None:
    nothing = Summary()
    assert nothing.lasted_ms(50) == 0
    assert nothing.missing_transitions == list(TRANSITIONS)
    assert nothing.missing_faults == list(FAULTS)
