"""Factories for `simulate --executor executor_factories:name`, good ones and bad ones, and calls
that any worker can make."""

import errno
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from twilio_realtime.sim.batch.batch import CallResult, run_call
from twilio_realtime.sim.batch.random_call import Failure

NOT_A_FUNCTION = 7
MARKER = "EXECUTOR_FACTORIES_MARKER"
"""The environment variable that names the file which the first worker that dies leaves."""


def fail_even_seeds(seed: int) -> CallResult:
    """Make the call of a seed: those of even seeds fail, and that of seed 3 has a recording."""
    made = run_call(seed, scenario="greeting")
    failure = None if seed % 2 else Failure(4, f"at {seed}", ("a step",), ("a decision",))
    recording = b"recording" if seed == 3 else b""
    return attrs.evolve(made, failure=failure, recording=recording)


def threads() -> Executor:
    return ThreadPoolExecutor(2)


def processes() -> Executor:
    return ProcessPoolExecutor(2)


def ends_the_program() -> Executor:
    raise SystemExit(0)


def raises() -> Executor:
    raise RuntimeError("no quota\nleft")


def without_workers() -> Executor:
    return ThreadPoolExecutor(0)


def returns_none() -> None:
    return None


class Substitute(Executor):
    """Does something else for each job than to make its calls."""

    def __init__(self, do: Callable[[Future[Any]], object]) -> None:
        self._do = do

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._do(future)
        return future


def full_disk() -> Executor:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/spill")
    return Substitute(lambda future: future.set_exception(error))


def raises_in_futures() -> Executor:
    return Substitute(lambda future: future.set_exception(KeyError("what\nnow")))


def without_package() -> Executor:
    error = ModuleNotFoundError("No module named 'twilio_realtime'", name="twilio_realtime")
    return Substitute(lambda future: future.set_exception(error))


def older_package() -> Executor:
    error = AttributeError("no run_remote_job", name="run_remote_job")
    return Substitute(lambda future: future.set_exception(error))


def other_version() -> Executor:
    return Substitute(lambda future: future.set_result(("0.0.9 (0123456789ab)", b"")))


def returns_nothing() -> Executor:
    return Substitute(lambda future: future.set_result(None))


def cancels() -> Executor:
    return Substitute(lambda future: future.cancel())


class Refusing(Executor):
    """Takes no job."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures")


class InterruptedOnce(ThreadPoolExecutor):
    """Threads, the first job of which Ctrl-C interrupts, as if it were a process."""

    is_interrupted = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.is_interrupted:
            return super().submit(fn, *args, **kwargs)
        self.is_interrupted = True
        future: Future[Any] = Future()
        future.set_exception(KeyboardInterrupt())
        return future


def interrupted_once() -> Executor:
    return InterruptedOnce(2)


def refuses() -> Executor:
    return Refusing()


class OtherProcesses(ProcessPoolExecutor):
    """Processes that call another function in place of the one that is submitted."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__(2)
        self._call = call

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(self._call, fn, *args)


def _return_lambda(*_: object) -> object:
    return lambda: 0


def unpicklable_results() -> Executor:
    return OtherProcesses(_return_lambda)


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_workers() -> Executor:
    return OtherProcesses(_die)


def _die_once(call: Callable[..., object], *arguments: object) -> object:
    result = call(*arguments)
    try:
        Path(os.environ[MARKER]).touch(exist_ok=False)
    except FileExistsError:
        return result
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def worker_that_dies_once() -> Executor:
    return OtherProcesses(_die_once)
