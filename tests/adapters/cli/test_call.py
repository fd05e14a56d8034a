"""`twilio-realtime call`: a call that is placed, in another process."""

import signal
from pathlib import Path

import pytest
from anyio import sleep, to_thread

from command_line import RunningCommand
from phone_network import ENVIRONMENT, FROM, TO, PhoneNetwork, run_network
from twilio_api_server import error

AGENT = """
from twilio_realtime import Agent, HangUp, PlaybackFinished
agent = Agent(greeting="Greet.", voicemail="Leave a message.")
agent.on(PlaybackFinished)(lambda call, _: call.send(HangUp()))
"""

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


def options(network: PhoneNetwork) -> list[str]:
    flags = network.settings
    return [part for name in flags for part in (f"--{name.replace('_', '-')}", str(flags[name]))]


def place(network: PhoneNetwork, folder: Path, *more: str) -> RunningCommand:
    """Run the command to its end."""
    (folder / "agent.py").write_text(AGENT)

    async def use(_: PhoneNetwork) -> RunningCommand:
        arguments = ("call", TO, "--from", FROM, "--json", *options(network), *more)
        with RunningCommand(
            *arguments, "--runtime", network.runtime, environment=ENVIRONMENT, folder=folder
        ) as command:
            await to_thread.run_sync(command.wait)
        return command

    return run_network(network, use)  # type: ignore[no-any-return]


@each_runtime
def test_a_call_is_placed_and_its_states_printed(runtime: str, tmp_path: Path) -> None:
    network = PhoneNetwork(runtime)
    command = place(network, tmp_path, "--detect-machine", "--parameter", "order=17")
    assert command.process.returncode == 0, command.errors
    shown = [each.get("status", each.get("answered_by")) for each in command.events()]
    assert sorted(map(str, shown)) == ["completed", "human", "in-progress", "initiated", "ringing"]
    assert network.instructions == ["Greet."]
    for number in (TO, FROM):
        assert number not in "".join(command.lines) + command.errors


def test_a_busy_number_is_a_failure(tmp_path: Path) -> None:
    command = place(PhoneNetwork("trio", "busy"), tmp_path)
    assert command.process.returncode == 1


def test_a_refusal_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    network = PhoneNetwork("trio")
    network.api.answers.append(error(400, 21215, f"not permitted to call {TO}"))
    command = place(network, tmp_path, "--ring-timeout-ms", "1000")
    assert command.process.returncode == 1
    assert "Geographic permissions" in command.errors
    assert TO not in command.errors
    assert network.api.requests[0].form["Timeout"] == "1"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("12", "--from", FROM), "NUMBER is not in E.164"),
        ((TO, "--from", "12"), "--from is not in E.164"),
        ((TO, "--from", FROM, "--parameter", "x"), "--parameter is not NAME=VALUE"),
        ((TO, "--from", FROM), "--public-url"),
        ((TO,), "--from"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    arguments: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    with RunningCommand("call", *arguments, environment=ENVIRONMENT, folder=tmp_path) as command:
        assert command.wait() == 2
    assert reason in command.errors


def test_sigterm_ends_a_call_that_rings(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(AGENT)
    network = PhoneNetwork("trio", "ringing")

    async def use(_: PhoneNetwork) -> int:
        arguments = ("call", TO, "--from", FROM, "--json", *options(network))
        with RunningCommand(*arguments, environment=ENVIRONMENT, folder=tmp_path) as command:
            while len(network.statuses) < 3:
                await sleep(0.05)
            return await to_thread.run_sync(command.send_signal, signal.SIGTERM)

    assert run_network(network, use) == 143
    assert network.api.requests[-1].form == {"Status": "completed"}
