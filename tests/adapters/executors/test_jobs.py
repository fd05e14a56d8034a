"""Jobs: each is counted once, wherever its calls are made and whatever becomes of the workers."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

import executor_factories
from executor_factories import fail_even_seeds
from timeouts import HANG_S
from twilio_realtime.executors.jobs import (
    JobResult,
    endless_jobs,
    run_job,
    run_jobs,
    run_remote_job,
    split_seeds,
)
from twilio_realtime.executors.sources import (
    ExecutorError,
    ExecutorFactory,
    ExecutorSource,
    LocalProcesses,
    parse_executor,
)
from twilio_realtime.sim.batch.batch import CallResult, run_call
from twilio_realtime.sim.batch.random_call import Failure
from twilio_realtime.sim.batch.summary import Summary

JOBS = [range(start, start + 2) for start in range(0, 12, 2)]
run_greeting = partial(run_call, scenario="greeting")


def factory(name: str) -> ExecutorFactory:
    spec = f"executor_factories:{name}"
    return ExecutorFactory(spec, spec)


def total(results: Iterable[JobResult]) -> dict[str, Any]:
    summary = Summary()
    for each in results:
        summary.merge(each.summary)
    return dict(summary.to_json())


def single_calls() -> Iterator[list[int]]:
    """Jobs of one call each, without end."""
    return ([seed] for seed in count())


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return total(run_jobs(JOBS, run_greeting))


@pytest.mark.parametrize(
    "source",
    [LocalProcesses(1), LocalProcesses(2), factory("threads"), factory("processes")],
    ids=["one process", "processes", "a factory of threads", "a factory of processes"],
)
def test_every_executor_gives_the_same_summary(
    source: ExecutorSource, expected: dict[str, Any]
) -> None:
    assert total(run_jobs(JOBS, run_greeting, source)) == expected


@pytest.mark.parametrize("source", [None, LocalProcesses(2), factory("threads")])
def test_failures_and_recordings_come_back(source: ExecutorSource | None) -> None:
    kept = [each for done in run_jobs(JOBS, fail_even_seeds, source) for each in done.kept]
    by_seed = {each.seed: each for each in kept}
    assert sorted(by_seed) == [0, 2, 3, 4, 6, 8, 10]
    assert by_seed[3].recording == b"recording"
    assert by_seed[4].failure == Failure(4, "at 4", ("a step",), ("a decision",))


def test_a_worker_that_dies_costs_its_job_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, Any]
) -> None:
    marker = tmp_path / "died"
    monkeypatch.setenv(executor_factories.MARKER, str(marker))
    source = factory("worker_that_dies_once")
    assert total(run_jobs(JOBS, run_greeting, source)) == expected
    assert marker.exists()


def test_a_local_process_that_is_killed_costs_its_jobs_again(expected: dict[str, Any]) -> None:
    earlier = set(multiprocessing.active_children())
    results = run_jobs(JOBS, run_greeting, LocalProcesses(2))
    first = next(results)
    worker = next(each for each in multiprocessing.active_children() if each not in earlier)
    worker.kill()
    assert total([first, *results]) == expected


def test_a_worker_that_is_interrupted_costs_its_job_again(expected: dict[str, Any]) -> None:
    assert total(run_jobs(JOBS, run_greeting, factory("interrupted_once"))) == expected


def test_workers_that_die_of_every_job_end_the_run() -> None:
    with pytest.raises(ExecutorError, match="its workers died 4 times without a result; seeds "):
        total(run_jobs(JOBS, run_greeting, factory("dying_workers")))


ERRORS = {
    "nosuch": "executor_factories:nosuch cannot be loaded: AttributeError: ",
    "NOT_A_FUNCTION": "executor_factories:NOT_A_FUNCTION is int, not a function",
    "raises": "executor_factories:raises raised RuntimeError: no quota left",
    "ends_the_program": "executor_factories:ends_the_program raised SystemExit: 0",
    "without_workers": "raised ValueError: max_workers must be greater than 0",
    "returns_none": "returned NoneType, not a concurrent.futures.Executor",
    "refuses": "could not make the calls of seeds 0 to 1: RuntimeError: cannot schedule",
    "full_disk": "could not make the calls of seeds 0 to 1: no space left on device",
    "raises_in_futures": "could not make the calls of seeds 0 to 1: KeyError: 'what\\nnow'",
    "unpicklable_results": ": a result cannot be sent back: Can't ",
    "without_package": "a worker has another version of twilio-realtime-core: none, or an older",
    "older_package": "a worker has another version of twilio-realtime-core: none, or an older",
    "other_version": "a worker has another version of twilio-realtime-core: 0.0.9 (0123456789ab); ",
    "returns_nothing": "returned NoneType instead of the result of seeds 0 to 1",
    "cancels": "has cancelled the calls of seeds 0 to 1",
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_executor_that_fails_is_named_in_one_line(name: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        total(run_jobs(JOBS, run_greeting, factory(name)))
    text = str(caught.value)
    assert text.startswith(f"executor_factories:{name} ") or name.endswith(("package", "version"))
    assert ERRORS[name] in text
    assert "\n" not in text


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(ExecutorError, match=r"^nosuch:make cannot be loaded: ModuleNotFoundError"):
        total(run_jobs(JOBS, run_greeting, ExecutorFactory("nosuch:make", "nosuch:make")))


@pytest.mark.parametrize(
    "text",
    ["", "nosuch", "dask", "dask://", "dask://host", "ray://host:1", "a:b:c", "a b:c", ":make"],
)
def test_an_unknown_executor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither dask://host:port nor module:function"):
        parse_executor(text)


def test_a_job_of_another_version_is_not_unpickled() -> None:
    version, result = run_remote_job("0.0.9 (0123456789ab)", b"no pickle", [1])
    assert version != "0.0.9 (0123456789ab)"
    assert result == b""


# Stopping.


@pytest.mark.parametrize("source", [None, LocalProcesses(2), factory("threads")])
def test_a_run_stops_with_what_is_done(source: ExecutorSource | None) -> None:
    done: list[JobResult] = []
    for result in run_jobs(single_calls(), run_greeting, source, lambda: bool(done)):
        done.append(result)
        assert len(done) < 9
    assert total(done)["calls"] == len(done)


def test_a_job_stops_between_two_calls() -> None:
    made: list[int] = []

    def run(seed: int) -> CallResult:
        made.append(seed)
        return run_greeting(seed)

    assert run_job(range(9), run, lambda: len(made) == 2).summary.calls == 2


def test_closing_the_results_stops_the_processes() -> None:
    earlier = set(multiprocessing.active_children())
    results = run_jobs(single_calls(), run_greeting, LocalProcesses(2))
    next(results)
    assert set(multiprocessing.active_children()) > earlier
    results.close()
    assert set(multiprocessing.active_children()) <= earlier


def test_processes_end_with_a_parent_that_is_killed() -> None:
    program = (
        "from twilio_realtime.executors.sources import LocalProcesses\n"
        "from twilio_realtime.executors.jobs import run_jobs\n"
        "jobs = ([seed] for seed in range(10**6))\n"
        "for _ in run_jobs(jobs, source=LocalProcesses(2)): print('made', flush=True)\n"
    )
    with subprocess.Popen(  # noqa: S603 - this very Python
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "made\n"
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate(timeout=HANG_S)  # to the end of output: no process has it open any more


# Seeds.


@pytest.mark.parametrize("calls", [1, 24, 25, 26, 100])
def test_jobs_hold_every_seed_once(calls: int) -> None:
    assert [seed for job in split_seeds(7, calls) for seed in job] == list(range(7, 7 + calls))


def test_endless_jobs_hold_every_seed_once() -> None:
    seeds = [seed for job in islice(endless_jobs(2**63), 4) for seed in job]
    assert seeds == list(range(2**63, 2**63 + len(seeds)))
    assert len(seeds) == 100
