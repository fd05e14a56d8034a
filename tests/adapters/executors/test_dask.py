"""Calls that are made by a Dask cluster of real processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import twilio_realtime_core
from command_line import RunningCommand
from executor_factories import fail_even_seeds
from timeouts import HANG_S
from twilio_realtime.executors.code_version import code_version
from twilio_realtime.executors.jobs import JobResult, run_jobs
from twilio_realtime.executors.sources import DaskCluster, ExecutorError
from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime.sim.batch.random_call import Failure
from twilio_realtime.sim.batch.summary import Summary

distributed: Any = import_module("distributed")  # it has no types
JOBS = [range(start, start + 3) for start in range(0, 36, 3)]
SOURCE = Path(twilio_realtime_core.__file__).parents[1]


@contextlib.contextmanager
def cluster(workers: int) -> Generator[Any, None, None]:
    """A scheduler in this process, and workers in others, of one thread each."""
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=":0", protocol="tcp://"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    with cluster(2) as made:
        yield made


@pytest.fixture(scope="module")
def no_workers() -> Iterator[Any]:
    with cluster(0) as made:
        yield made


@contextlib.contextmanager
def worker(scheduler: Any, folder: Path) -> Generator[None, None, None]:
    """A worker that finds modules in `folder` first."""
    command = [sys.executable, "-m", "dask", "worker", scheduler.scheduler_address]
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    with subprocess.Popen(  # noqa: S603 - this very Python
        [*command, *options],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def source_of(made: Any, **options: Any) -> DaskCluster:
    address = made.scheduler_address.removeprefix("tcp://")
    return DaskCluster(f"dask://{address}", address, **options)


def total(results: Iterable[JobResult]) -> dict[str, Any]:
    summary = Summary()
    for each in results:
        summary.merge(each.summary)
    return dict(summary.to_json())


def pids(made: Any) -> list[int]:
    with distributed.Client(made, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def test_a_worker_killed_in_the_middle_changes_nothing(two_workers: Any) -> None:
    run = partial(run_call, scenario="greeting")
    expected = total(run_jobs(JOBS, run))
    results = run_jobs(JOBS, run, source_of(two_workers))
    first = next(results)
    os.kill(pids(two_workers)[0], signal.SIGKILL)
    assert total([first, *results]) == expected
    assert expected["calls"] == 36


def test_failures_come_back(two_workers: Any) -> None:
    (done,) = run_jobs([range(4)], fail_even_seeds, source_of(two_workers))
    assert done.summary.failures == {4: 2}
    assert [(each.seed, each.recording) for each in done.kept] == [
        (0, b""),
        (2, b""),
        (3, b"recording"),
    ]
    assert done.kept[1].failure == Failure(4, "at 2", ("a step",), ("a decision",))


def test_recordings_come_back(two_workers: Any, tmp_path: Path) -> None:
    recorded = tmp_path / "calls"
    arguments = ("--calls", "3", "--scenario", "greeting", "--json", "--record", str(recorded))
    address = source_of(two_workers).name
    with RunningCommand("simulate", *arguments, "--executor", address) as command:
        assert command.wait() == 0, command.errors
    names = [f"{seed}-greeting-messages.jsonl" for seed in range(3)]
    assert sorted(each.name for each in recorded.iterdir()) == names
    assert all(json.loads((recorded / name).read_text().splitlines()[0]) for name in names)


def test_ctrl_c_stops_the_workers(two_workers: Any, tmp_path: Path) -> None:
    scheduler = two_workers.scheduler
    found = tmp_path / "found.jsonl"
    arguments = ("--forever", "--scenario", "greeting", "--json", "--found", str(found))
    with RunningCommand(
        "simulate", *arguments, "--executor", source_of(two_workers).name
    ) as command:
        command.wait_for_event("started")
        wait_until(lambda: bool(scheduler.tasks), scheduler)
        assert command.send_signal() == 0, command.errors
    assert [each["event"] for each in command.events()] == ["started", "summary", "run"]
    wait_until(lambda: not scheduler.tasks, scheduler)


def wait_until(condition: Callable[[], bool], scheduler: Any) -> None:
    """Wait until a condition of the scheduler, which runs in a thread of this process, is true."""
    while not condition():
        time.sleep(0.01)
        assert scheduler.status.name == "running"


# Clusters that cannot make the calls.


def opening_error(source: DaskCluster) -> str:
    with pytest.raises(ExecutorError) as caught:
        source.open()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_no_scheduler_is_an_error() -> None:
    text = opening_error(DaskCluster("dask://127.0.0.1:1", "127.0.0.1:1", connect_s=0.2))
    assert text.startswith("dask://127.0.0.1:1: no Dask scheduler answers there (")


def test_a_cluster_without_workers_is_an_error(no_workers: Any) -> None:
    source = source_of(no_workers, connect_s=0.2)
    assert opening_error(source) == (
        f"{source.name} has no workers: start some with `dask worker "
        f"{no_workers.scheduler_address} --nworkers auto --nthreads 1`"
    )


def test_a_worker_of_another_version_is_refused(no_workers: Any, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    core = tmp_path / "twilio_realtime_core"
    shutil.copytree(SOURCE / core.name, core, ignore=ignore)
    shutil.copytree(
        SOURCE / "adapters/twilio_realtime", tmp_path / "twilio_realtime", ignore=ignore
    )
    with (core / "errors.py").open("a") as file:
        file.write("# another version\n")
    with worker(no_workers, tmp_path):
        text = opening_error(source_of(no_workers, connect_s=HANG_S))
    assert " has another version of twilio-realtime-core: 0." in text
    assert f"here it is {code_version()}. Install the same one on every worker" in text


def test_a_worker_without_the_package_is_refused(no_workers: Any, tmp_path: Path) -> None:
    (tmp_path / "twilio_realtime.py").write_text(
        "raise ModuleNotFoundError('No module named it', name='twilio_realtime')"
    )
    with worker(no_workers, tmp_path):
        text = opening_error(source_of(no_workers, connect_s=HANG_S))
    assert " has another version of twilio-realtime-core: none, or an older one; " in text


def test_a_cluster_that_loses_all_its_workers_is_an_error() -> None:
    with cluster(1) as made:
        source = source_of(made, workerless_s=0.0)
        executor = source.open()
        source.check(executor)
        made.scale(0)
        made.sync(made._correct_state)  # noqa: SLF001 - it waits until they are gone
        source.check(executor)  # others may come
        with pytest.raises(ExecutorError, match="has lost all its workers"):
            source.check(executor)
        source.close(executor, is_cancelled=True)


def test_the_extra_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    text = opening_error(DaskCluster("dask://127.0.0.1:1", "127.0.0.1:1"))
    assert text == "distributed is not installed: pip install 'twilio-realtime-core[dask]'"
