"""Runs the calls of all worlds, and holds what was told against what was heard."""

from collections.abc import Iterable
from multiprocessing import get_context
from typing import Final

from attrs import define, field, frozen

from twilio_realtime_core.config.start_delay_history import StartDelayHistory

from .baselines import BASELINES, Observer
from .calls import BargeIn, Log, Marked, call
from .worlds import WORLDS, World

__all__ = ["OURS", "Results", "measure", "quantile"]

OURS: Final = "ours"
SERVERS: Final = 4
"""Processes that a world's calls are spread over; each begins without a history."""


@define
class Results:
    """How an algorithm did in a world. For each interruption that cut something: `errors`, the sum
    over the items of a reply of how many ms more or fewer were told than heard, and `biases`, the
    same with signs. `truncates` were sent, of which the server would have `refused` some; `silent`
    interruptions told the model nothing. Ours has sent so many `marks`."""

    errors: list[float] = field(factory=list[float])
    biases: list[float] = field(factory=list[float])
    truncates: int = 0
    refused: int = 0
    silent: int = 0
    marks: int = 0

    def add(self, told: dict[int, float], event: BargeIn) -> None:
        """Count an interruption: an item not named, or refused, is remembered whole."""
        self.truncates += len(told)
        # An item of an earlier reply is shorter by now than any algorithm would say.
        refused = {item for item, ms in told.items() if ms > event.made.get(item, 0)}
        self.refused += len(refused)
        self.silent += not told
        remembered = {
            item: told[item] if item in told and item not in refused else made
            for item, made in event.made.items()
        }
        off = [remembered[item] - heard for item, heard in event.heard.items()]
        self.errors.append(sum(map(abs, off)))
        self.biases.append(sum(off))

    def join(self, other: "Results") -> None:
        """Take in what another server's calls have shown."""
        self.errors += other.errors
        self.biases += other.biases
        self.truncates += other.truncates
        self.refused += other.refused
        self.silent += other.silent
        self.marks += other.marks


@frozen
class _Task:
    world: World
    server: int
    calls: int


def measure(
    calls: int, worlds: Iterable[World] = WORLDS, processes: int = 2
) -> dict[str, dict[str, Results]]:
    """Results by world and algorithm of so many calls in each world."""
    tasks = [
        _Task(world, server, calls // SERVERS) for world in worlds for server in range(SERVERS)
    ]
    with get_context("fork").Pool(processes) as pool:
        parts = pool.map(_serve, tasks, chunksize=1)
    results: dict[str, dict[str, Results]] = {}
    for task, part in zip(tasks, parts, strict=True):
        world = results.setdefault(task.world.name, {name: Results() for name in part})
        for name, found in part.items():
            world[name].join(found)
    return results


def _serve(task: _Task) -> dict[str, Results]:
    """The calls of one server, one after the other."""
    results = {name: Results() for name in (OURS, *BASELINES)}
    history = StartDelayHistory()
    for number in range(task.calls):
        log, learned = call(task.world, task.server * task.calls + number, history)
        history = history.merged_with(learned)
        _watch(log, results)
    return results


def _watch(log: Log, results: dict[str, Results]) -> None:
    observers: dict[str, Observer] = {name: make() for name, make in BASELINES.items()}
    for entry in log:
        for name, observer in observers.items():
            if isinstance(entry, BargeIn):
                told = observer.barge_in(entry)
                if entry.cut:
                    results[name].add(told, entry)
            else:
                observer.see(entry)
        results[OURS].marks += isinstance(entry, Marked)
        if isinstance(entry, BargeIn) and entry.cut:
            results[OURS].add(dict(entry.told), entry)


def quantile(values: list[float], share: float) -> float:
    """The value below or at which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
