"""`twilio-realtime demo`: a whole call on loopback, with a phone, a bridge and a model."""

import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import attrs
import click
from attrs import define, field
from rich.console import Console
from rich.live import Live
from rich.text import Text

from twilio_realtime_core import Bridge, CallConfig, Fault, Peer, SendEvent, SessionConfig
from twilio_realtime_core.notifications import CallEnded, SessionReady
from twilio_realtime_core.protocols.realtime import MAX_MESSAGE_BYTES as MAX_REALTIME_BYTES
from twilio_realtime_core.protocols.realtime import CreateResponse
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES as MAX_TWILIO_BYTES
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

from ..recordings.call_log import CallLog, as_json
from ..recordings.report import Cut, complaints, find_cuts, table, write_recording
from ..recordings.timeline import Lanes, Moment, Narrator
from ..server.service import MEDIA_STREAM_PATH, Service, ServiceConfig
from ..sim.model.realtime_peer import CLIENT, RealtimePeer
from ..sim.model.replies import Reply, Speech
from ..sim.phone.caller import HangUp
from ..sim.phone.twilio_peer import SERVER, CueTaken, TwilioPeer
from ..sim.world.world import Step
from .options import json_option, runtime_option
from .runtime import Accept, AnyDriver, Drivers, listen, place, run
from .scenario import Scenario, full_scenario, short_scenario

__all__ = ["demo"]

_LOOPBACK: Final = "127.0.0.1"
_LIMIT_S: Final = 60
"""After which the call is given up: several times what it takes."""
_ENDING_S: Final = 12
"""What the bridge has for its own end: a bit more than it gives itself."""
_REFRESH_S: Final = 0.1
"""Between two pictures of the lanes."""
_LABELS: Final = 14
"""Columns of a terminal beside the lanes."""
_PLAYERS: Final = {"darwin": "afplay", "win32": "start"}


@click.command(
    epilog="""
    The figures of the table come from three sides: what the model sent, what the phone had played
    when it was told to stop, and what the bridge told the model.

    Exit status: 0 the call went as it should, 1 it did not (and why is said), 2 it could not be
    made, 130 after Ctrl-C, 143 after SIGTERM.
    """
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where to write call.wav and call.jsonl.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides ids and jitter.")
@click.option("--quick", is_flag=True, hidden=True, help="The same in a few seconds.")
@runtime_option
@json_option
def demo(*, output: Path, seed: int, quick: bool, runtime: str, as_json: bool) -> int:
    """Make a whole call in this process: no account, no key, no network.

    A simulated phone calls the bridge over loopback, and the bridge calls a simulated model. The
    caller asks a question, interrupts two answers, presses a key and hangs up. It takes a quarter
    of a minute; then call.wav holds what was said and heard, and call.jsonl all that the bridge
    was told and asked for.
    """
    _check_writable(output)
    scenario = short_scenario() if quick else full_scenario()
    show = _Show(_Terminal(highlight=False, soft_wrap=True), as_json)

    async def main(api: Drivers) -> int:
        call = _Call(api, scenario, seed, show)
        await call.make()
        return _conclude(call, output, show)

    return run(main, runtime)


def _check_writable(output: Path) -> None:
    """Raises `OSError` before a quarter of a minute is spent in vain."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output):
        pass


# What is shown of the call while it lasts.


class _Terminal(Console):
    """Stdout. Whoever reads it may go: that is left to `run`."""

    def on_broken_pipe(self) -> None:
        """Called where `BrokenPipeError` is caught."""
        raise  # noqa: PLE0704


@define(eq=False)
class _Show:
    """Moments as lines, or as JSON; on a terminal, lanes below the lines.

    What is told waits for `follow` to show it: the call is not kept waiting by a slow terminal.
    """

    _console: Console
    _as_json: bool
    _lanes: Lanes | None = field(init=False, default=None)
    _moments: list[Moment] = field(init=False, factory=list[Moment])

    @property
    def _has_lanes(self) -> bool:
        return self._console.is_terminal and not self._as_json

    def begin(self, phone: TwilioPeer, began_ns: int, seconds: float) -> None:
        """The call has begun, and will take so long."""
        if self._has_lanes:
            width = max(20, self._console.width - _LABELS)
            self._lanes = Lanes(phone, began_ns, width, seconds)

    def note(self, step: Step) -> None:
        """Take in a step of the bridge."""
        if self._lanes is not None:
            self._lanes.note(step)

    def tell(self, moments: Iterable[Moment]) -> None:
        """Something has happened."""
        self._moments += moments

    async def follow(self, clock: Callable[[], int]) -> None:
        """Show the call until cancelled. `clock` gives the ns since its start."""
        live = Live(console=self._console, auto_refresh=False) if self._has_lanes else None
        with live or nullcontext():
            try:
                while True:
                    self._draw(live, clock())
                    await anyio.sleep(_REFRESH_S)
            finally:
                self._draw(live, clock())

    def _draw(self, live: Live | None, now: int) -> None:
        moments, self._moments = self._moments, []
        if self._as_json:
            for moment in moments:
                click.echo(moment.as_json())
        elif moments:
            self._console.print(Text("\n").join(moment.line() for moment in moments))
        if live is not None and self._lanes is not None:
            live.update(self._lanes.picture(now), refresh=True)

    def conclude(self, cuts: Sequence[Cut], wrong: Sequence[str], files: Sequence[Path]) -> None:
        """Say how it went."""
        if self._as_json:
            interruptions = [cut.as_json() for cut in cuts]
            paths = [str(path) for path in files]
            report = {"interruptions": interruptions, "wrong": wrong, "files": paths}
            click.echo(json.dumps({"event": "report", **report}, ensure_ascii=False))
            return
        self._console.print("", table(cuts), "", sep="\n")
        for path in files:
            self._console.print(f"{path}: {_describe(path)}")
        for complaint in wrong:
            self._console.print(Text(f"wrong: {complaint}", "bold red"))
        if not wrong:
            self._console.print(Text("The call went as it should.", "green"))


def _describe(path: Path) -> str:
    if path.suffix == ".wav":
        player = _PLAYERS.get(sys.platform, "aplay")
        return f"what the caller said (left) and heard (right); {player} {path} plays it"
    return "all that the bridge was told and asked for, without the audio"


# The call.


@define(eq=False)
class _Call:
    """One call over sockets. `failures`: what went wrong beside what phone and model know."""

    _api: Drivers
    _scenario: Scenario
    _seed: int
    _show: _Show
    phone: TwilioPeer = field(init=False)
    model: RealtimePeer = field(init=False)
    log: CallLog | None = field(init=False, default=None)
    failures: list[str] = field(init=False, factory=list[str])
    over_ns: int | None = field(init=False, default=None)
    """When the caller hung up, by the phone's clock."""
    _clock: Callable[[], int] = field(init=False)
    _narrator: Narrator = field(init=False)
    _service: Service = field(init=False)
    _ended: anyio.Event = field(init=False, factory=anyio.Event)

    def __attrs_post_init__(self) -> None:
        says, replies = self._scenario.says, self._scenario.replies
        words = [each.transcript for each in replies]
        self._narrator = Narrator({each.audio: each.transcript for each in says}, words)
        speeches = [Reply((Speech(each.audio, each.transcript),)) for each in replies]
        self.model = RealtimePeer(speeches, seed=self._seed, pace=self._scenario.pace)

    def now(self) -> int:
        """The time since the call's start (ns); 0 before."""
        return self._clock() - self.log.began_ns if self.log else 0

    async def make(self) -> None:
        """Make the call, until all its sockets are closed."""
        with anyio.move_on_after(_LIMIT_S):
            async with self._listening(self._accept_bridge) as model:
                self._service = Service(
                    ServiceConfig(call=self._config(f"ws://{model}/v1/realtime"))
                )
                async with self._listening(self._accept_phone) as bridge:
                    await self._dial(f"ws://{bridge}{MEDIA_STREAM_PATH}")

    @asynccontextmanager
    async def _listening(self, accept: Accept) -> AsyncGenerator[str, None]:
        """Listens while in the context; where: host and port."""
        bound = anyio.Event()
        found: list[str] = []

        def on_listening(addresses: list[tuple[str, int]]) -> None:
            found.extend(f"{host}:{port}" for host, port in addresses)
            bound.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                partial(
                    listen,
                    self._api,
                    _LOOPBACK,
                    0,
                    accept,
                    on_error=self._report,
                    on_listening=on_listening,
                )
            )
            await bound.wait()
            yield found[0]
            tasks.cancel_scope.cancel()

    def _report(self, error: Exception) -> None:
        self.failures.append(f"a bug ended the call: {place(error)}")

    # The phone.

    async def _dial(self, url: str) -> None:
        self.phone = TwilioPeer(url=url, seed=self._seed, script=self._scenario.script)
        link = LinkConfig(max_message_bytes=MAX_TWILIO_BYTES)
        driver = self._api.Driver(Stack(self.phone, {SERVER: link}, os.urandom), self._hear_phone)
        self._clock = driver.now
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show.follow, self.now)
            await driver.run()
            with anyio.move_on_after(_ENDING_S):
                await self._ended.wait()
            tasks.cancel_scope.cancel()

    def _hear_phone(self, event: object) -> None:
        self._hear_fault("the phone", event)
        match event:
            case CueTaken(at_ns=at_ns, cue=cue) if isinstance(cue.act, HangUp):
                self.over_ns = at_ns
            case _:
                pass
        self._show.tell(self._narrator.phone(self.now(), event))

    def _hear_fault(self, where: str, event: object) -> None:
        if isinstance(event, Fault):
            words = f"{where} met a fault: {event.kind.value}: {event.message}"
            self.failures.append(words)
            self._show.tell([Moment(self.now(), "fault", words)])

    # The bridge.

    def _config(self, model_url: str) -> CallConfig:
        detection = {"type": "server_vad", "silence_duration_ms": self._scenario.silence_ms}
        return CallConfig(session=SessionConfig(turn_detection=detection), url=model_url)

    def _accept_phone(self) -> tuple[AnyDriver, Hashable]:
        opening = HttpConnection(Peer.TWILIO, self._respond, os.urandom)

        def notify(event: object) -> None:
            self._hear_fault("the bridge", event)
            match event:
                case SessionReady() if self.log is not None:
                    now = driver.now()
                    asked = self.log.send(SendEvent(CreateResponse()), now)
                    driver.perform(opening.perform(asked, now))
                case CallEnded():
                    self._ended.set()
                case _:
                    pass

        driver = self._api.Driver(opening, notify)
        return driver, Peer.TWILIO

    def _respond(self, request: HttpRequest) -> HttpResponse | Upgrade:
        answer = self._service.respond(request)
        match answer:
            case Upgrade(machine=Bridge() as bridge):
                self.log = CallLog(bridge, self._follow)
                return attrs.evolve(answer, machine=self.log)
            case _:
                return answer

    def _follow(self, step: Step) -> None:
        """A step of the bridge."""
        if step.method == "start" and self.log is not None:
            self._show.begin(self.phone, self.log.began_ns, self._scenario.seconds)
        self._show.note(step)
        self._show.tell(self._narrator.bridge(step))

    # The model.

    def _accept_bridge(self) -> tuple[AnyDriver, Hashable]:
        link = LinkConfig(max_message_bytes=MAX_REALTIME_BYTES)

        def respond(request: HttpRequest) -> Upgrade:
            del request
            return Upgrade(self.model, CLIENT, {CLIENT: link})

        opening = HttpConnection(CLIENT, respond, os.urandom)
        return self._api.Driver(opening, partial(self._hear_fault, "the model")), CLIENT


# The end.


def _conclude(call: _Call, output: Path, show: _Show) -> int:
    """Write down how the call went, and say it; the exit status."""
    steps = call.log.steps if call.log else []
    cuts = find_cuts(steps, call.phone.clears)
    wrong = call.failures + complaints(steps, cuts, call.phone, call.model, interruptions=2)
    files: list[Path] = []
    if call.log is not None:
        files.append(output / "call.jsonl")
        files[-1].write_text("".join(f"{as_json(step)}\n" for step in steps), encoding="utf-8")
    if call.over_ns is not None:
        files.append(output / "call.wav")
        write_recording(files[-1], *call.phone.recorded(call.over_ns))
    show.conclude(cuts, wrong, files)
    return 1 if wrong else 0
