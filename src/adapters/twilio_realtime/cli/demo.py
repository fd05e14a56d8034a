"""`twilio-realtime demo`: a whole call on loopback, with a phone, a bridge and a model."""

import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import click
from attrs import define, field
from rich.console import Console
from rich.live import Live
from rich.text import Text

from twilio_realtime_core import CallConfig, Fault, Peer, SendEvent, SessionConfig
from twilio_realtime_core.notifications import CallEnded, SessionReady
from twilio_realtime_core.protocols.realtime import MAX_MESSAGE_BYTES as MAX_REALTIME_BYTES
from twilio_realtime_core.protocols.realtime import CreateResponse
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES as MAX_TWILIO_BYTES
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

from ..recordings.bridge_wrapper import BridgeLike
from ..recordings.recorder import RecordedStep, Recorder
from ..recordings.redactor import Redactor
from ..recordings.report import (
    MeasuredInterruption,
    find_problems,
    interruption_table,
    measure_interruptions,
    write_stereo_wav,
)
from ..recordings.show.page import render_recording
from ..recordings.timeline import Lanes, Timeline, TimelineEntry
from ..server.service import Service
from ..server.service_config import MEDIA_STREAM_PATH, ServiceConfig
from ..sim.model.realtime_peer import CLIENT, RealtimePeer
from ..sim.model.replies import Reply, SpokenReply
from ..sim.phone.caller import CallerHangsUp
from ..sim.phone.twilio_peer import SERVER, CueStarted, TwilioPeer
from .demo_scenario import DemoScenario, full_scenario, short_scenario
from .idle_clock import idle_clock_options
from .options import json_option, runtime_option
from .runtime import Accept, BaseDriver, RuntimeApi, describe_error, listen, run

__all__ = ["demo"]

_LOOPBACK: Final = "127.0.0.1"
_INTERRUPTIONS: Final = 2
_CALL_TIMEOUT_S: Final = 60
"""After which the call is given up: several times what it takes."""
_ENDING_TIMEOUT_S: Final = 12
"""How long the bridge may take to end: a little more than its own timeout."""
_REFRESH_S: Final = 0.1
"""The time between two drawings of the lanes."""
_LABEL_COLUMNS: Final = 14
"""Columns of the terminal for the labels of the lanes."""
_MIN_LANE_COLUMNS: Final = 20
_PLAYER_COMMANDS: Final = {"darwin": "afplay", "win32": "start"}


@click.command(
    short_help="Make a whole call on this machine, without an account.",
    epilog="""
    The figures of the table have three sources: what the model sent, what the phone had played when
    it received the clear, and the position that the bridge reported to the model.

    Exit status: 0 the call went as expected, 1 it did not (the reasons are printed), 2 the call
    could not be made, 130 after Ctrl-C, 143 after SIGTERM.
    """,
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Write call.html, call.wav and call.jsonl to DIR.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the IDs and the jitter."
)
@click.option("--quick", is_flag=True, hidden=True, help="Make a call of a few seconds.")
@runtime_option
@json_option
def demo(*, output: Path, seed: int, quick: bool, runtime: str, as_json: bool) -> int:
    """Make a whole call in this process: no account, no key, no network.

    A simulated phone calls the bridge over loopback, and the bridge calls a simulated model. The
    caller asks a question, interrupts two answers, presses a key and hangs up, which takes about 15
    seconds. Then call.html is a page that shows and plays the call, call.wav has the audio of both
    sides, and call.jsonl is the recording of the call for `show` and `replay`.
    """
    _check_writable(output)
    scenario = short_scenario() if quick else full_scenario()
    demo_output = _DemoOutput(_Terminal(highlight=False, soft_wrap=True), as_json)

    async def main(api: RuntimeApi) -> int:
        call = _DemoCall(api, scenario, seed, demo_output)
        await call.run()
        return _finish(call, output, demo_output)

    return run(main, runtime, idle_clock_options(runtime))


def _check_writable(folder: Path) -> None:
    """Raise `OSError` before the call is made, not after it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


# Output while the call lasts, and the report.


class _Terminal(Console):
    """Stdout. If its reader closes it, `run` ends the command."""

    def on_broken_pipe(self) -> None:
        """Called where `BrokenPipeError` is caught."""
        raise  # noqa: PLE0704


@define(eq=False)
class _DemoOutput:
    """Prints timeline entries as lines or as JSON; on a terminal, with lanes below the lines.

    Entries are queued until `refresh` prints them, so a slow terminal does not delay the call.
    """

    _console: Console
    _as_json: bool
    _lanes: Lanes | None = field(init=False, default=None)
    _entries: list[TimelineEntry] = field(init=False, factory=list[TimelineEntry])

    @property
    def _has_lanes(self) -> bool:
        return self._console.is_terminal and not self._as_json

    def start_call(self, phone: TwilioPeer, started_ns: int, duration_s: float) -> None:
        """Start the lanes of a call that is expected to last so long."""
        if self._has_lanes:
            columns = max(_MIN_LANE_COLUMNS, self._console.width - _LABEL_COLUMNS)
            self._lanes = Lanes(phone, started_ns, columns, duration_s)

    def add_step(self, step: RecordedStep) -> None:
        """Add a step of the bridge to the lanes."""
        if self._lanes is not None:
            self._lanes.add_step(step)

    def add_entries(self, entries: Iterable[TimelineEntry]) -> None:
        """Queue entries of the timeline."""
        self._entries += entries

    async def refresh(self, clock: Callable[[], int]) -> None:
        """Print entries and lanes until cancelled. `clock` returns the ns since the call's
        start."""
        live = Live(console=self._console, auto_refresh=False) if self._has_lanes else None
        with live or nullcontext():
            try:
                while True:
                    self._print_entries(live, clock())
                    await anyio.sleep(_REFRESH_S)
            finally:
                self._print_entries(live, clock())

    def _print_entries(self, live: Live | None, now: int) -> None:
        entries, self._entries = self._entries, []
        if self._as_json:
            for entry in entries:
                click.echo(entry.to_json())
        elif entries:
            self._console.print(Text("\n").join(entry.to_line() for entry in entries))
        if live is not None and self._lanes is not None:
            live.update(self._lanes.draw(now), refresh=True)

    def print_report(
        self,
        interruptions: Sequence[MeasuredInterruption],
        problems: Sequence[str],
        files: Sequence[Path],
    ) -> None:
        """Print the result of the call."""
        if self._as_json:
            report = {
                "interruptions": [each.to_json() for each in interruptions],
                "problems": problems,
                "files": [str(path) for path in files],
            }
            click.echo(json.dumps({"event": "report", **report}, ensure_ascii=False))
            return
        self._console.print("", interruption_table(interruptions), "", sep="\n")
        for path in files:
            self._console.print(f"{path}: {_describe_file(path)}")
        for problem in problems:
            self._console.print(Text(f"problem: {problem}", "bold red"))
        if not problems:
            self._console.print(Text("The call went as expected.", "green"))


def _describe_file(path: Path) -> str:
    if path.suffix == ".wav":
        player = _PLAYER_COMMANDS.get(sys.platform, "aplay")
        return f"the audio of the caller (left) and the agent (right); play it: {player} {path}"
    if path.suffix == ".html":
        return "the call to look at and to hear; open it in a browser"
    return f"the recording of the call; replay it: twilio-realtime replay {path}"


# The call.


@define(eq=False)
class _DemoCall:
    """One call over sockets. `failures` are faults and bugs that phone and model do not report."""

    _api: RuntimeApi
    _scenario: DemoScenario
    _seed: int
    _output: _DemoOutput
    phone: TwilioPeer = field(init=False)
    model: RealtimePeer = field(init=False)
    steps: list[RecordedStep] = field(init=False, factory=list[RecordedStep])
    recording: list[str] = field(init=False, factory=list[str])
    """The lines of the recording."""
    failures: list[str] = field(init=False, factory=list[str])
    hung_up_ns: int | None = field(init=False, default=None)
    """When the caller hung up, by the phone's clock."""
    _recorder: Recorder | None = field(init=False, default=None)
    _clock: Callable[[], int] = field(init=False)
    _timeline: Timeline = field(init=False)
    _service: Service = field(init=False)
    _ended: anyio.Event = field(init=False, factory=anyio.Event)

    def __attrs_post_init__(self) -> None:
        replies = [
            Reply((SpokenReply(each.audio, each.transcript),))
            for each in self._scenario.agent_speech
        ]
        self.model = RealtimePeer(
            replies,
            transcripts=[each.transcript for each in self._scenario.caller_speech],
            seed=self._seed,
            pace=self._scenario.pace,
        )
        self._timeline = Timeline(
            {each.audio: each.transcript for each in self._scenario.caller_speech},
            [each.transcript for each in self._scenario.agent_speech],
        )

    def now(self) -> int:
        """The time since the call's start (ns); 0 before."""
        started_ns = self._recorder.started_ns if self._recorder else None
        return 0 if started_ns is None else self._clock() - started_ns

    async def run(self) -> None:
        """Make the call, until all its sockets are closed."""
        with anyio.move_on_after(_CALL_TIMEOUT_S):
            async with self._listening(self._accept_bridge) as model:
                config = ServiceConfig(call=self._config(f"ws://{model}/v1/realtime"))
                self._service = Service(config, record=self._record)
                async with self._listening(self._accept_phone) as bridge:
                    await self._dial(f"ws://{bridge}{MEDIA_STREAM_PATH}")

    @asynccontextmanager
    async def _listening(self, accept: Accept) -> AsyncGenerator[str, None]:
        """Listen while in the context, which is given host and port."""
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
                    on_error=self._report_error,
                    on_listening=on_listening,
                )
            )
            await bound.wait()
            yield found[0]
            tasks.cancel_scope.cancel()

    def _report_error(self, error: Exception) -> None:
        self.failures.append(f"a bug ended the call: {describe_error(error)}")

    def _report_fault(self, where: str, event: object) -> None:
        if isinstance(event, Fault):
            text = f"{where} notified a fault: {event.kind.value}: {event.message}"
            self.failures.append(text)
            self._output.add_entries([TimelineEntry(self.now(), "fault", text)])

    # The phone.

    async def _dial(self, url: str) -> None:
        self.phone = TwilioPeer(url=url, seed=self._seed, script=self._scenario.script)
        stack = Stack(
            self.phone, {SERVER: LinkConfig(max_message_bytes=MAX_TWILIO_BYTES)}, os.urandom
        )
        driver = self._api.Driver(stack, self._on_phone_notification)
        self._clock = driver.now
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._output.refresh, self.now)
            await driver.run()
            with anyio.move_on_after(_ENDING_TIMEOUT_S):
                await self._ended.wait()
            tasks.cancel_scope.cancel()

    def _on_phone_notification(self, event: object) -> None:
        self._report_fault("the phone", event)
        match event:
            case CueStarted(at_ns=at_ns, cue=cue) if isinstance(cue.act, CallerHangsUp):
                self.hung_up_ns = at_ns
            case _:
                pass
        self._output.add_entries(self._timeline.describe_phone_event(self.now(), event))

    # The bridge.

    def _config(self, model_url: str) -> CallConfig:
        turn_detection = {
            "type": "server_vad",
            "silence_duration_ms": self._scenario.silence_duration_ms,
        }
        transcription = {"model": "gpt-4o-transcribe"}
        session = SessionConfig(turn_detection=turn_detection, transcription=transcription)
        return CallConfig(session=session, url=model_url, reconnect=None)

    def _accept_phone(self) -> tuple[BaseDriver, Hashable]:
        connection = self._service.open_connection()

        def notify(event: object) -> None:
            self._report_fault("the bridge", event)
            match event:
                case SessionReady() if self._recorder is not None:
                    now = driver.now()
                    actions = self._recorder.send(SendEvent(CreateResponse()), now)
                    driver.perform(connection.perform(actions, now))
                case CallEnded():
                    self._ended.set()
                case _:
                    pass

        driver = self._api.Driver(connection, notify)
        return driver, Peer.TWILIO

    def _record(self, bridge: BridgeLike, config: CallConfig) -> Recorder:
        self._recorder = Recorder(
            bridge,
            config,
            self.recording.append,
            Redactor(keep_audio=True),  # it is sample speech
            recorded_at=datetime.now(UTC),
            on_step=self._on_step,
        )
        return self._recorder

    def _on_step(self, step: RecordedStep) -> None:
        self.steps.append(step)
        started_ns = self._recorder.started_ns if self._recorder else None
        if step.method == "start" and started_ns is not None:
            self._output.start_call(self.phone, started_ns, self._scenario.duration_s)
        self._output.add_step(step)
        self._output.add_entries(self._timeline.describe_step(step))

    # The model.

    def _accept_bridge(self) -> tuple[BaseDriver, Hashable]:
        link = LinkConfig(max_message_bytes=MAX_REALTIME_BYTES)

        def respond(request: HttpRequest) -> Upgrade:
            del request
            return Upgrade(self.model, CLIENT, {CLIENT: link})

        connection = HttpConnection(CLIENT, respond, os.urandom)
        return self._api.Driver(connection, partial(self._report_fault, "the model")), CLIENT


# The end.


def _finish(call: _DemoCall, folder: Path, output: _DemoOutput) -> int:
    """Write the files and print the report; return the exit status."""
    interruptions = measure_interruptions(call.steps, call.phone.clears)
    problems = call.failures + find_problems(
        call.steps, interruptions, call.phone, call.model, _INTERRUPTIONS
    )
    files: list[Path] = []
    if call.recording:
        files.append(folder / "call.jsonl")
        files[-1].write_text("".join(call.recording), encoding="utf-8")
        files.append(folder / "call.html")
        lines = (line.encode() for line in call.recording)
        files[-1].write_text(render_recording(lines, title="The demo call"), encoding="utf-8")
    if call.hung_up_ns is not None:
        files.append(folder / "call.wav")
        write_stereo_wav(files[-1], *call.phone.recorded_audio(call.hung_up_ns))
    output.print_report(interruptions, problems, files)
    return 1 if problems else 0
