"""Look-ups of host names, which all calls of a process share.

A look-up blocks, for seconds if the resolver is slow, so each runs in a thread of its own: neither
other look-ups nor the application's threads can delay it. Calls that need the same name at the same
time wait for the same look-up, and its result is kept briefly.
"""

import socket
from collections.abc import Callable
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final, TypeAlias, cast

from attrs import define, field

__all__ = [
    "ATTEMPT_DELAY_S",
    "FRESH_S",
    "MAX_NAMES",
    "PATIENCE_S",
    "SHARED_LOOKUPS",
    "STALE_S",
    "Addresses",
    "NameLookup",
    "NameLookups",
]

FRESH_S: Final = 30.0
"""How long a result is used without another look-up. `getaddrinfo` does not tell how long it is
valid; names of services are seldom valid for less."""

STALE_S: Final = 3600.0
"""How long a result may be used in place of a look-up that fails or takes too long (RFC 8767, which
allows for days). An hour outlasts most failures of a resolver."""

PATIENCE_S: Final = 1.8
"""How long a look-up may take if there is an older result (RFC 8767, section 5)."""

MAX_NAMES: Final = 1_000
"""Results that are kept; the oldest goes first."""

ATTEMPT_DELAY_S: Final = 0.25
"""How long one address may take to answer before the next is tried at the same time (RFC 8305,
section 5)."""

Addresses: TypeAlias = list[tuple[int, Any]]
"""Family and address of each socket address of a host, in the order in which they are tried."""


def _resolve(host: str, port: int, flags: int = 0) -> Addresses:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return _alternate_families([(info[0], info[4]) for info in infos])


def _alternate_families(addresses: Addresses) -> Addresses:
    """Return the addresses with the first one of another family in second place: a network without
    a route for the first family then costs one attempt (RFC 8305, section 4)."""
    for index, (family, _) in enumerate(addresses):
        if family != addresses[0][0]:
            return [addresses[0], addresses[index], *addresses[1:index], *addresses[index + 1 :]]
    return addresses


def _run_in_thread(job: Callable[[], None]) -> None:
    Thread(target=job, name="twilio-realtime look-up", daemon=True).start()


@define(eq=False)
class NameLookup:
    """One look-up: in progress, or done. Its methods may be called from any thread."""

    _older: Addresses | None = None
    """The result of an earlier look-up, which may be used instead."""
    _found: Addresses | None = field(init=False, default=None)
    _error: Exception | None = field(init=False, default=None)
    _callbacks: list[Callable[[], object]] = field(init=False, factory=list[Callable[[], object]])
    _lock: Lock = field(init=False, factory=Lock)

    @property
    def is_done(self) -> bool:
        """Whether nothing has to be waited for."""
        return self._found is not None or self._error is not None

    @property
    def patience_s(self) -> float | None:
        """How long to wait (s) before `addresses` is called; `None`: until it is done."""
        return None if self._older is None else PATIENCE_S

    def addresses(self) -> Addresses:
        """Return the addresses that were found, now or earlier.

        Raises what the look-up has raised: an `OSError`, or a `UnicodeError` for what is no name.
        """
        found = self._older if self._found is None else self._found
        if found is None:
            raise self._error or socket.gaierror(socket.EAI_AGAIN, "no answer")
        return found

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call `callback`, from any thread, once the look-up is done; now if it is."""
        with self._lock:
            if not self.is_done:
                self._callbacks.append(callback)
                return
        callback()

    def finish(self, outcome: Addresses | Exception) -> None:
        """Note the outcome."""
        with self._lock:
            if isinstance(outcome, Exception):
                self._error = outcome
            else:
                self._found = outcome
        for callback in self._callbacks:
            callback()


@define(eq=False)
class NameLookups:
    """The look-ups of a process. `resolve` may block; `run` runs a job in the background; `clock`
    (s) is monotonic."""

    _resolve: Callable[[str, int], Addresses] = field(default=_resolve, alias="resolve")
    _run: Callable[[Callable[[], None]], object] = field(default=_run_in_thread, alias="run")
    _clock: Callable[[], float] = field(default=monotonic, alias="clock")
    _lock: Lock = field(init=False, factory=Lock)
    _pending: dict[tuple[str, int], NameLookup] = field(
        init=False, factory=dict[tuple[str, int], NameLookup]
    )
    _found: dict[tuple[str, int], tuple[float, Addresses]] = field(
        init=False, factory=dict[tuple[str, int], "tuple[float, Addresses]"]
    )
    """When each result was found, and the result; the oldest first."""

    def start(self, host: str, port: int) -> NameLookup:
        """Return the look-up of a host: one that is in progress, a new one, or a result that is
        fresh. An address in numbers needs none."""
        done = NameLookup()
        try:
            done.finish(_resolve(host, port, socket.AI_NUMERICHOST))
        except (OSError, UnicodeError):
            pass
        else:
            return done
        key = (host, port)
        with self._lock:
            found_s, addresses = self._found.get(key, (0.0, cast("Addresses | None", None)))
            age_s = self._clock() - found_s
            if addresses is not None and age_s < FRESH_S:
                done.finish(addresses)
                return done
            if key in self._pending:
                return self._pending[key]
            older = addresses if age_s < STALE_S else None
            lookup = self._pending[key] = NameLookup(older)
        self._start(lambda: self._look_up(key, lookup), key, lookup)
        return lookup

    def _start(self, job: Callable[[], None], key: tuple[str, int], lookup: NameLookup) -> None:
        try:
            self._run(job)
        except RuntimeError as error:  # there is no thread left
            self._finish(key, lookup, OSError(str(error)))

    def _look_up(self, key: tuple[str, int], lookup: NameLookup) -> None:
        try:
            outcome: Addresses | Exception = self._resolve(*key)
        except Exception as error:
            outcome = error
        self._finish(key, lookup, outcome)

    def _finish(
        self, key: tuple[str, int], lookup: NameLookup, outcome: Addresses | Exception
    ) -> None:
        with self._lock:
            del self._pending[key]
            if not isinstance(outcome, Exception):
                self._found.pop(key, None)
                while len(self._found) >= MAX_NAMES:
                    del self._found[next(iter(self._found))]
                self._found[key] = (self._clock(), outcome)
        lookup.finish(outcome)


SHARED_LOOKUPS: Final = NameLookups()
"""The look-ups of all calls of this process."""
