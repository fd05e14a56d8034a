"""Processes of benchmarks with simulated peers: phones and a model, and what starts them.

Calls run in real time: fifty caller frames a second each, the model speaking about half of the
time, marks, interruptions.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path

from twilio_realtime.asyncio import Driver, listen
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays, Cue, WhenAgentHeard
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

# A service refuses calls while its event loop is late, as it is on a machine that does other work.
os.environ.setdefault("TWILIO_REALTIME_MAX_LOOP_LAG", "1m")

WARM_UP_SECONDS = 4
LINK = LinkConfig(max_message_bytes=1 << 24)
TICKS = os.sysconf("SC_CLK_TCK")


# The roles of the processes.


def print_port(addresses: list[tuple[str, int]]) -> None:
    print(addresses[0][1], flush=True)


def print_error(error: Exception) -> None:
    print(repr(error), file=sys.stderr)


def role_model(_: str, __: int) -> None:
    answer = sample_speech.load("agent_answer")
    reply = Reply((SpokenReply(answer.audio, answer.transcript),))

    def respond(request: HttpRequest) -> Upgrade:
        del request
        return Upgrade(RealtimePeer([reply]), CLIENT, {CLIENT: LINK})

    def accept() -> tuple[Driver, Hashable]:
        return Driver(HttpConnection(CLIENT, respond, os.urandom), ignore), CLIENT

    asyncio.run(listen("127.0.0.1", 0, accept, on_error=print_error, on_listening=print_port))


def role_phones(calls: str, port: int) -> None:
    question = sample_speech.load("caller_question").audio
    wait = sample_speech.load("caller_interruption").audio
    turn: tuple[Cue, ...] = (
        WhenAgentHeard(4500, CallerSays(wait)),
        AfterDelay(8 * SECOND, CallerSays(question)),
    )

    async def call(number: int) -> None:
        await asyncio.sleep(number * 0.05)
        script = (AfterDelay(100 * MS, CallerSays(question)), *(turn * 20))
        url = f"ws://127.0.0.1:{port}/media-stream"
        phone = TwilioPeer(url=url, seed=number, script=script, record_audio=False)
        await Driver(Stack(phone, {SERVER: LINK}, os.urandom), ignore).run()

    async def main() -> None:
        print(0, flush=True)
        await asyncio.gather(*(call(number) for number in range(int(calls))))

    asyncio.run(main())


def ignore(event: object) -> None:
    del event


def start_process(
    role: str, argument: str, port: int, script: str = __file__
) -> tuple["subprocess.Popen[str]", int]:
    """Start a process; return it, and the port that it listens on."""
    command = [sys.executable, script, "--role", role, argument, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def cpu_seconds(process: "subprocess.Popen[str]") -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    _, _, role, argument, port = sys.argv
    {"model": role_model, "phones": role_phones}[role](argument, int(port))
