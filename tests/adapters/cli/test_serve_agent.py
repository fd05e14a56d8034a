"""`serve` with an agent of a module, called by `phone` through its webhook."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from command_line import RUNTIMES, RunningCommand, write_question

TOKEN = 32 * "a"
NOBODY = "ws://127.0.0.1:9/v1/realtime"
CALLER = "+15005550006"

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

AGENT = '''
from twilio_realtime import Agent

agent = Agent(
    instructions="You answer for a pizza shop. Be brief.",
    voice="marin",
    greeting="Greet the caller.",
)

@agent.function
async def opening_hours(day: str) -> str:
    """When the shop is open on a day of the week."""
    return "closed" if day == "Sunday" else "9 to 5"
'''

DECIDES = """
import twilio_realtime as tr

sales = tr.Agent("You sell.", greeting="Greet.")
agent = tr.Agent()

@agent.incoming
async def choose(incoming: tr.IncomingCall) -> tr.Decision:
    if incoming.to == "+2":
        return tr.Reject("busy")
    assert incoming.from_ == "+15005550006"
    return tr.Accept(agent=sales)

@sales.on(tr.CallStarted)
def hang_up_later(call: tr.Call, event: tr.CallStarted) -> None:
    assert call.incoming is not None
    assert call.incoming.from_ == "+15005550006"

@sales.on(tr.PlaybackFinished)
def hang_up(call: tr.Call, event: tr.PlaybackFinished) -> None:
    call.send(tr.HangUp())
"""


def usage_errors(folder: Path, *arguments: str, **environment: str) -> list[str]:
    with RunningCommand("serve", *arguments, folder=folder, environment=environment) as command:
        assert command.wait() == 2, (command.lines, command.errors)
    assert command.lines == []
    return command.errors.splitlines()


SDK_AGENT = """
from agents.realtime import RealtimeAgent

agent = RealtimeAgent(name="Shop", instructions="You answer for a pizza shop.")
"""


def test_an_agent_of_the_agents_sdk_is_served_on_asyncio(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(SDK_AGENT)
    with (
        RunningCommand("model", "--port", "0", "--json") as model,
        RunningCommand(
            "serve",
            *("--port", "0", "--realtime-url", model.wait_for_event("listening")["url"], "--json"),
            folder=tmp_path,
        ) as serve,
        RunningCommand("phone", webhook_of(serve), "--json") as phone,
    ):
        assert phone.wait() == 0, phone.errors
        assert phone.wait_for_event("summary")["heard_ms"] > 0
        assert serve.wait_for_event("call.ended")["reason"] == "caller hung up"


def test_an_agent_of_the_agents_sdk_needs_asyncio(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(SDK_AGENT)
    (error,) = usage_errors(tmp_path, "--runtime", "trio", "--realtime-url", NOBODY)
    assert "one of the Agents SDK, which needs asyncio" in error


def webhook_of(serve: RunningCommand) -> str:
    return f"http://127.0.0.1:{serve.wait_for_event('listening')['port']}/incoming-call"


@each_runtime
def test_the_first_agent_answers_a_signed_call(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(AGENT)
    run = ("--runtime", runtime, "--json")
    environment = {"TWILIO_AUTH_TOKEN": TOKEN}
    with (
        RunningCommand("model", "--port", "0", "--reply", "speak Hello.", *run) as model,
        RunningCommand(
            "serve",
            *("--port", "0", "--realtime-url", model.wait_for_event("listening")["url"]),
            *run,
            environment=environment,
            folder=tmp_path,
        ) as serve,
    ):
        url = webhook_of(serve)
        junit = tmp_path / "call.xml"
        saying = ("--wait", "--wav", write_question(tmp_path), "--quiet-ms", "500")
        calling = ("phone", url, *saying, "--junit", str(junit), *run)
        with RunningCommand(*calling, environment=environment) as phone:
            assert phone.wait() == 0, (phone.lines, phone.errors)
        with RunningCommand(*calling) as stranger:
            assert stranger.wait() == 1
        assert stranger.events()[-1]["code"] == 11200
        serve.wait_for_event("call.ended")
        assert serve.send_signal() == 130
    names = [event["event"] for event in phone.events()]
    assert names[:2] == ["webhook_answered", "stream_started"]
    assert phone.events()[-1]["heard_ms"] > 0
    (case,) = ElementTree.parse(junit).getroot()  # noqa: S314
    assert case.find("failure") is not None  # of the stranger, who came last
    assert not any(CALLER in line or TOKEN in line for line in serve.lines)


@each_runtime
def test_an_agent_decides_about_each_call(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(DECIDES)
    run = ("--runtime", runtime, "--json")
    with (
        RunningCommand("model", "--port", "0", "--reply", "speak Hello.", *run) as model,
        RunningCommand(
            "serve",
            "shop:agent",
            *("--port", "0", "--realtime-url", model.wait_for_event("listening")["url"]),
            *run,
            folder=tmp_path,
        ) as serve,
    ):
        url = webhook_of(serve)
        with RunningCommand("phone", url, "--to", "+2", *run) as phone:
            assert phone.wait() == 1
        assert phone.events()[-1]["message"] == "the call was refused: busy"
        with RunningCommand(
            "phone", url, "--to", "+1", "--wait", "--expect-hang-up", *run
        ) as phone:
            assert phone.wait() == 0, (phone.lines, phone.errors)
        assert "agent_hangs_up" in [event["event"] for event in phone.events()]
        assert serve.wait_for_event("call.ended")["reason"] == "hung up"
    assert serve.errors == ""


def test_without_a_module_the_built_in_agent_is_served(tmp_path: Path) -> None:
    with RunningCommand("serve", "--port", "0", "--realtime-url", NOBODY, folder=tmp_path) as serve:
        assert "it serves the built-in agent" in serve.wait_for_line("listening on")


def test_a_module_is_named_by_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(AGENT)
    (tmp_path / "twilio-realtime.toml").write_text(
        f'agent = "shop"\nport = 0\nrealtime-url = "{NOBODY}"\n'
    )
    with RunningCommand("serve", folder=tmp_path) as serve:
        assert "it serves shop" in serve.wait_for_line("listening on")
    environment = {"TWILIO_REALTIME_AGENT": "absent"}
    (line,) = usage_errors(tmp_path, **environment)
    assert line.endswith("there is no module absent here: there are shop")


def test_the_traceback_of_the_module_is_shown(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("value = {}\nvalue['absent']\n")
    lines = usage_errors(tmp_path, "--realtime-url", NOBODY)
    assert lines[0] == "Traceback (most recent call last):"
    assert 'agent.py", line 2, in <module>' in lines[1]
    assert lines[-2] == "KeyError: 'absent'"
    assert lines[-1] == "twilio-realtime: agent cannot be loaded: it raised KeyError"
    assert "twilio_realtime/" not in "".join(lines)


def test_the_exposure_of_the_service_is_checked(tmp_path: Path) -> None:
    for option in (("--public-url", "https://calls.example"), ("--trust-proxy",)):
        (line,) = usage_errors(tmp_path, "--realtime-url", NOBODY, *option)
        assert f"with {option[0]} and without TWILIO_AUTH_TOKEN" in line


def test_settings_are_shown_with_their_sources(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TWILIO_AUTH_TOKEN='t0ken'\nTWILIO_REALTIME_VOICE=cedar\n")
    arguments = ("serve", "--show-config", "--env-file", ".env", "--json")
    environment = {"PORT": "5060", "TWILIO_REALTIME_VOICE": "marin"}
    with RunningCommand(*arguments, folder=tmp_path, environment=environment) as command:
        assert command.wait() == 0
    rows: dict[str, Any] = {
        event["name"]: (event["value"], event["source"]) for event in command.events()
    }
    assert rows["port"] == ("5060", "PORT")
    assert rows["voice"] == ("marin", "TWILIO_REALTIME_VOICE")  # of the environment itself
    assert rows["auth-token"] == ("set", "TWILIO_AUTH_TOKEN")
    with RunningCommand(*arguments[:-1], folder=tmp_path, environment=environment) as command:
        assert command.wait() == 0
    assert "t0ken" not in "".join(command.lines)
    assert any(line.split() == ["port", "5060", "PORT"] for line in command.lines)


def test_a_changed_file_is_served_again(tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("1 / 0\n")
    arguments = ("serve", "--reload", "--port", "0", "--realtime-url", NOBODY, "--json")
    with RunningCommand(*arguments, folder=tmp_path) as command:
        command.wait_for_error("ZeroDivisionError")  # by now the folder is watched
        agent.write_text(AGENT)
        command.wait_for_event("listening")
        assert command.send_signal() == 130


def test_a_service_that_is_reloaded_ends_though_its_shell_ignores_ctrl_c(tmp_path: Path) -> None:
    arguments = ("serve", "--reload", "--port", "0", "--realtime-url", NOBODY, "--json")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of `command &` in a script
    try:
        command = RunningCommand(*arguments, folder=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    with command:
        command.wait_for_event("listening")
        assert command.send_signal() == 130


def test_reload_needs_its_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['watchfiles'] = None\n"
        "from twilio_realtime.cli.commands import run_command\n"
        "sys.exit(run_command(['serve', '--reload']))"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install 'twilio-realtime-core[server,reload]'" in done.stderr
