"""Executors that make simulated calls: processes of this machine, a Dask cluster, or any other.

    source = parse_executor("dask://scheduler:8786")
    for result in run_jobs(jobs, run_call, source): ...

A source opens an executor, checks that it has workers, and closes it. What only it knows of its
errors it says in one line.
"""

import gc
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib import import_module
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, ClassVar, Final, cast

from attrs import define, field

from .code_version import code_version

__all__ = [
    "DaskCluster",
    "ExecutorError",
    "ExecutorFactory",
    "ExecutorSource",
    "LocalProcesses",
    "parse_executor",
]

_MAX_PENDING_JOBS: Final = 256
"""How many jobs are pending at most where the number of workers is not known: more than one machine
has cores. Results are much larger than jobs, so none is kept."""

_PENDING_PER_WORKER: Final = 4
"""How many jobs are pending for each worker, so that none waits for the next job."""

_MIN_PENDING_JOBS: Final = 32
"""How many jobs are pending at least at a cluster, to which workers may be added."""

_CONNECT_S: Final = 10.0
"""How long a scheduler may take to answer, and then to have a worker."""

_WORKERLESS_S: Final = 60.0
"""How long a cluster may be without workers before the run is given up: others take the place of
lost ones within that time, or never."""


_UNPICKLABLE: Final = re.compile(r"(can't|cannot) (pickle|get local object)", re.IGNORECASE)

_NO_VERSION: Final = "none, or an older one"


class ExecutorError(Exception):
    """An executor cannot make the calls. The text is one line for the person who started the run:
    what failed, and what they can do about it."""


@define(eq=False)
class ExecutorSource(ABC):
    """Opens and closes an executor, any `concurrent.futures.Executor`."""

    name: str
    """What the executor is called in messages."""
    max_pending: int = field(init=False, default=_MAX_PENDING_JOBS)
    """How many jobs may be pending."""

    @abstractmethod
    def open(self) -> Executor:
        """Return an executor with workers. Raises `ExecutorError`."""

    def check(self, executor: Executor) -> None:
        """Raise `ExecutorError` if no worker will ever finish a job; by default none is known."""
        del executor

    def close(self, executor: Executor, *, is_cancelled: bool) -> None:
        """Cancel what is pending, and stop the workers. `is_cancelled`: what they do is of no use
        any more."""
        del is_cancelled
        executor.shutdown(wait=True, cancel_futures=True)

    def error(self, seeds: Sequence[int], error: BaseException) -> ExecutorError:
        """Return the error for a job whose calls could not be made."""
        if _is_missing(error):
            return ExecutorError(self.describe_version("a worker", _NO_VERSION))
        what = f"{self.name} could not make the calls of seeds {seeds[0]} to {seeds[-1]}"
        return ExecutorError(f"{what}: {_describe(error)}")

    def describe_version(self, worker: str, version: str) -> str:
        """Return the text for a worker whose version of this package is another one."""
        return (
            f"{self.name}: {worker} has another version of twilio-realtime-core: {version}; here "
            f"it is {code_version()}. Install the same one on every worker"
        )


@define(eq=False)
class _ChildProcesses(ExecutorSource):
    """An executor whose workers can be child processes, which are terminated with the run."""

    _earlier_children: frozenset[BaseProcess] = field(init=False, default=frozenset())

    def open(self) -> Executor:
        """Return a new executor."""
        self._earlier_children = frozenset(multiprocessing.active_children())
        return self._make()

    def close(self, executor: Executor, *, is_cancelled: bool) -> None:
        """Stop the workers, at once if they are cancelled."""
        if is_cancelled and isinstance(executor, ProcessPoolExecutor):
            for child in multiprocessing.active_children():
                if child not in self._earlier_children:
                    child.terminate()
        super().close(executor, is_cancelled=is_cancelled)

    @abstractmethod
    def _make(self) -> Executor:
        """Create an executor."""


@define(eq=False)
class LocalProcesses(_ChildProcesses):
    """So many processes of this machine."""

    workers: int
    name: str = field(init=False, default="the pool of local processes")

    def __attrs_post_init__(self) -> None:
        self.max_pending = _PENDING_PER_WORKER * self.workers

    def _make(self) -> Executor:
        return ProcessPoolExecutor(self.workers, initializer=_start_worker)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent process, which terminates its workers; and end with it."""
    gc.freeze()  # modules stay, so that no collection has to visit them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@define(eq=False)
class ExecutorFactory(_ChildProcesses):
    """The executor that a function of the user returns. `spec` is `module:function`."""

    spec: str = ""

    def _make(self) -> Executor:
        factory = self._load()
        try:
            executor = factory()
        except (Exception, SystemExit) as error:
            raise ExecutorError(f"{self.name} raised {_describe(error)}") from error
        if not isinstance(executor, Executor):
            kind = type(executor).__name__
            raise ExecutorError(f"{self.name} returned {kind}, not a concurrent.futures.Executor")
        return executor

    def _load(self) -> Callable[[], object]:
        module_name, _, path = self.spec.partition(":")
        if "" not in sys.path:  # as `python -m` does: a module of this folder
            sys.path.insert(0, "")
        try:
            target: Any = import_module(module_name)
            for name in path.split("."):
                target = getattr(target, name)
        except (Exception, SystemExit) as error:
            raise ExecutorError(f"{self.name} cannot be loaded: {_describe(error)}") from error
        if not callable(target):
            raise ExecutorError(f"{self.name} is {type(target).__name__}, not a function")
        return cast("Callable[[], object]", target)


@define(eq=False)
class DaskCluster(ExecutorSource):
    """The workers of a Dask cluster. `address` is that of its scheduler, `host:port`.

    The scheduler gives the jobs of a worker that has died to another one.
    """

    address: str = ""
    connect_s: float = _CONNECT_S
    """How long the scheduler, and then its first worker, may take to answer."""
    workerless_s: float = _WORKERLESS_S
    """How long the cluster may be without workers."""
    _client: Any = field(init=False, default=None)
    _workerless_since: float | None = field(init=False, default=None)

    _PROBE: ClassVar[str] = (
        "__import__('twilio_realtime.executors.code_version', fromlist=['code_version'])"
        ".code_version()"
    )
    """Asks a worker for its version, in text that needs nothing of this package to be read."""

    def open(self) -> Executor:
        """Connect to the scheduler, and compare the versions of all workers."""
        try:
            distributed: Any = import_module("distributed")
        except ModuleNotFoundError as error:
            raise ExecutorError(
                f"{error.name} is not installed: pip install 'twilio-realtime-core[dask]'"
            ) from None
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # errors are raised here
        try:
            client = distributed.Client(
                f"tcp://{self.address}", timeout=self.connect_s, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise ExecutorError(
                f"{self.name}: no Dask scheduler answers there ({_describe(error)})"
            ) from error
        self._client = client
        try:
            self._check_workers()
        except BaseException:
            client.close()
            raise
        executor: Executor = client.get_executor(pure=False)
        return executor

    def check(self, executor: Executor) -> None:
        """Raise `ExecutorError` if the cluster has had no workers for a while."""
        del executor
        if self._client.nthreads():
            self._workerless_since = None
            return
        if self._workerless_since is None:
            self._workerless_since = monotonic()
        elif monotonic() - self._workerless_since >= self.workerless_s:
            raise ExecutorError(f"{self.name} has lost all its workers")

    def close(self, executor: Executor, *, is_cancelled: bool) -> None:
        """Cancel what is pending, and disconnect. A worker ends the job that it is making."""
        del is_cancelled
        executor.shutdown(wait=False)
        self._client.close()

    def error(self, seeds: Sequence[int], error: BaseException) -> ExecutorError:
        """Return the error for a job whose calls could not be made."""
        if type(error).__name__ == "KilledWorker":
            return ExecutorError(
                f"{self.name}: several workers died of the calls of seeds {seeds[0]} to "
                f"{seeds[-1]}, or they have too little memory"
            )
        return super().error(seeds, error)

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=self.connect_s)
        except TimeoutError:
            raise ExecutorError(
                f"{self.name} has no workers: start some with "
                f"`dask worker tcp://{self.address} --nworkers auto --nthreads 1`"
            ) from None
        versions: Mapping[str, Any] = self._client.run(eval, self._PROBE, on_error="return")
        for worker, version in versions.items():
            if isinstance(version, ImportError):
                raise ExecutorError(self.describe_version(f"worker {worker}", _NO_VERSION))
            if isinstance(version, str) and version != code_version():
                raise ExecutorError(self.describe_version(f"worker {worker}", version))
        threads = sum(self._client.nthreads().values())
        self.max_pending = max(_MIN_PENDING_JOBS, _PENDING_PER_WORKER * threads)


def parse_executor(text: str) -> ExecutorSource:
    """Return the source for `dask://host:port` or `module:function`. Raises `ValueError`."""
    scheme, separator, address = text.partition("://")
    if separator:
        if scheme != "dask" or not address.rpartition(":")[2].isdigit():
            raise ValueError(f"{text} is neither dask://host:port nor module:function")
        return DaskCluster(text, address.rstrip("/"))
    module, _, path = text.partition(":")
    if not all(each.isidentifier() for each in (*module.split("."), *path.split("."))):
        raise ValueError(f"{text} is neither dask://host:port nor module:function")
    return ExecutorFactory(text, text)


def _is_missing(error: BaseException) -> bool:
    """Whether a worker has no such package, or an older one without the function that makes the
    calls."""
    match error:
        case ImportError(name=str(name)):
            return name.startswith("twilio_realtime")
        case AttributeError(name="run_remote_job"):
            return True
        case _:
            return False


def _describe(error: BaseException) -> str:
    """Describe an error in one line."""
    match error:
        case Exception() if _UNPICKLABLE.match(str(error)):  # of several types, by Python's version
            text = f"a result cannot be sent back: {error}"
        case OSError(errno=int(number)):
            text = os.strerror(number).lower()
        case _:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return " ".join(text.split())
