"""The programs of the how-to pages about call control, over sockets, on both runtimes."""

import os
from typing import Any

import anyio
import pytest

from pages import ROOT, blocks
from phone_network import FROM, THIRD, TO, PhoneNetwork, run_network, say
from twilio_realtime import PhoneCallState, serving
from twilio_realtime.sim.model.replies import FunctionCallReply

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


def program(page: str) -> dict[str, Any]:
    """Return the names of the program of a page."""
    namespace: dict[str, Any] = {"__name__": page}
    text = (ROOT / f"docs/how-to/{page}.md").read_text("utf-8")
    code = [block.code for block in blocks(text) if block.info == "python"]
    exec("\n".join(code), namespace)  # noqa: S102
    return namespace


def enter(monkeypatch: pytest.MonkeyPatch, network: PhoneNetwork) -> None:
    """Set the environment of the program, as a reader would."""
    for name in [each for each in os.environ if each.startswith(("TWILIO_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)


@each_runtime
@pytest.mark.parametrize("dial_status", ["completed", "no-answer"])
def test_a_call_is_transferred(
    dial_status: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = PhoneNetwork(runtime, dial_status=dial_status)
    network.replies = [say("I connect you.", FunctionCallReply("person"))]
    agent = program("transfer")["agent"]

    async def use(_: PhoneNetwork) -> None:
        enter(monkeypatch, network)
        async with serving(agent):
            await network.call_in()

    run_network(network, use)
    assert [number for number, _ in network.dialled] == [THIRD]
    assert bool(network.said) == (dial_status == "no-answer")


@each_runtime
@pytest.mark.parametrize("answered_by", ["human", "machine_end_beep"])
def test_a_message_is_left_on_voicemail(
    answered_by: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = PhoneNetwork(runtime, answered_by=answered_by)
    names = program("voicemail")

    async def use(_: PhoneNetwork) -> None:
        enter(monkeypatch, network)
        async with anyio.create_task_group() as tasks:
            if answered_by == "human":
                tasks.start_soon(hang_up_once_greeted, network)
            states.append((await names["remind"](TO)).state)

    states = list[PhoneCallState]()
    run_network(network, use)
    assert states == [PhoneCallState.COMPLETED]
    (instructions,) = network.instructions
    words = names["agent"].greeting if answered_by == "human" else names["agent"].voicemail
    assert instructions.endswith(words)


async def hang_up_once_greeted(network: PhoneNetwork) -> None:
    line = await network.wait_for_line()
    while not network.instructions:
        await anyio.sleep(0.01)
    line.hang_up()


@each_runtime
@pytest.mark.parametrize(("outcome", "result"), [("busy", "again: busy"), ("in-progress", "done")])
def test_a_call_is_placed(
    outcome: str, result: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = PhoneNetwork(runtime, outcome, answered_by="machine_end_silence")
    names = program("outbound-calls")

    async def use(_: PhoneNetwork) -> Any:
        enter(monkeypatch, network)
        return await names["call_ann"](TO)

    assert run_network(network, use) == result


@each_runtime
def test_many_calls_are_placed(
    runtime: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = PhoneNetwork(runtime, "no-answer")
    names = program("outbound-calls")

    async def use(_: PhoneNetwork) -> None:
        enter(monkeypatch, network)
        await names["call_all"]([TO, THIRD])

    run_network(network, use)
    assert capsys.readouterr().out.count("NO_ANSWER") == 2
    assert [line.form["To"] for line in network.lines.values()] == [TO, THIRD]


@each_runtime
def test_a_text_follows_the_call(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = PhoneNetwork(runtime)
    agent = program("text-after-call")["agent"]

    async def use(_: PhoneNetwork) -> None:
        enter(monkeypatch, network)
        async with serving(agent), anyio.create_task_group() as tasks:
            tasks.start_soon(hang_up_once_greeted, network)
            await network.call_in()

    run_network(network, use)
    (request,) = network.api.requests
    assert request.path.endswith("/Messages.json")
    assert (request.form["To"], request.form["From"]) == (TO, FROM)


@each_runtime
def test_a_card_number_is_typed_in_silence(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = PhoneNetwork(runtime)
    network.replies = [say("Type it.", FunctionCallReply("card"))]
    names = program("card-number")

    async def type_number() -> None:
        line = await network.wait_for_line()
        while not network.instructions:
            await anyio.sleep(0.01)
        await anyio.sleep(0.2)
        for key in "4111111111111111#":
            line.press(key)
        while len(network.instructions) < 2:
            await anyio.sleep(0.01)
        line.hang_up()

    async def use(_: PhoneNetwork) -> None:
        enter(monkeypatch, network)
        async with serving(names["agent"]), anyio.create_task_group() as tasks:
            tasks.start_soon(type_number)
            await network.call_in()

    run_network(network, use)
    assert names["charged"] == ["4111111111111111"]
