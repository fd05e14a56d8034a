"""OpenAI's Python client and the simulated model server, over real sockets."""

import base64
from collections.abc import Generator, Sequence
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from command_line import RUNTIMES, RunningCommand
from twilio_realtime.sim import sample_speech

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
GREETING = sample_speech.load("agent_greeting")


@pytest.fixture(params=RUNTIMES)
def model(request: pytest.FixtureRequest) -> Generator[RunningCommand, None, None]:
    arguments = ("--port", "0", "--say", "agent_greeting", "--runtime", request.param, "--json")
    with RunningCommand("model", *arguments) as command:
        yield command
        assert command.send_signal() == 130
    assert command.errors == ""


def client(model: RunningCommand) -> AsyncOpenAI:
    url = f"ws://127.0.0.1:{model.wait_for_event('listening')['port']}/v1"
    return AsyncOpenAI(api_key="any", websocket_base_url=url)


async def until(connection: AsyncRealtimeConnection, last: str) -> list[Any]:
    """The events up to one of type `last`, each parsed strictly as the package's types."""
    events: list[Any] = []
    while not events or events[-1].type != last:
        events.append(EVENTS.validate_json(await connection.recv_bytes(), strict=True))
        assert events[-1].type != "error", events[-1]
    return events


def types(events: Sequence[Any]) -> list[str]:
    return [event.type for event in events]


def reported_errors(model: RunningCommand) -> list[dict[str, Any]]:
    return [
        event for event in model.events() if event["event"] in ("client_error", "fault", "error")
    ]


def test_the_official_client_completes_a_text_turn(model: RunningCommand) -> None:
    async def main() -> None:
        async with client(model).realtime.connect(model="gpt-realtime-2.1") as connection:
            await until(connection, "session.created")
            await connection.session.update(
                session={"type": "realtime", "output_modalities": ["text"]}
            )
            await until(connection, "session.updated")
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Hello?"}],
                }
            )
            await until(connection, "conversation.item.done")
            await connection.response.create()
            events = await until(connection, "response.done")
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == GREETING.transcript
        assert events[-1].response.status == "completed"

    anyio.run(main)
    assert reported_errors(model) == []


def test_the_official_client_completes_an_audio_turn_and_truncates(model: RunningCommand) -> None:
    async def main() -> None:
        async with client(model).realtime.connect(model="gpt-realtime-2.1") as connection:
            await until(connection, "session.created")
            await connection.session.update(
                session={
                    "type": "realtime",
                    "audio": {
                        "input": {
                            "format": {"type": "audio/pcmu"},
                            "turn_detection": {"type": "server_vad"},
                        },
                        "output": {"format": {"type": "audio/pcmu"}},
                    },
                }
            )
            await until(connection, "session.updated")
            question = sample_speech.load("caller_interruption").audio + b"\xff" * 8000
            for start in range(0, len(question), 800):
                frame = base64.b64encode(question[start : start + 800]).decode()
                await connection.input_audio_buffer.append(audio=frame)
            turn = await until(connection, "input_audio_buffer.committed")
            answer = await until(connection, "response.done")
            item_id = answer[-1].response.output[0].id
            await connection.conversation.item.truncate(
                item_id=item_id, content_index=0, audio_end_ms=400
            )
            (*_, truncated) = await until(connection, "conversation.item.truncated")
            await connection.conversation.item.retrieve(item_id=item_id)
            (*_, retrieved) = await until(connection, "conversation.item.retrieved")
        assert types(turn)[:1] == ["input_audio_buffer.speech_started"]
        deltas = [event.delta for event in answer if event.type == "response.output_audio.delta"]
        audio = b"".join(map(base64.b64decode, deltas))
        assert audio.startswith(GREETING.audio)
        assert (truncated.item_id, truncated.audio_end_ms) == (item_id, 400)
        assert retrieved.item.id == item_id

    anyio.run(main)
    assert reported_errors(model) == []
    truncations = [
        event for event in model.events() if event["event"] == "conversation.item.truncated"
    ]
    assert [event["audio_end_ms"] for event in truncations] == [400]


def test_errors_of_the_official_client_are_in_the_apis_terms(
    model: RunningCommand,
) -> None:
    async def main() -> None:
        async with client(model).realtime.connect(model="gpt-realtime-2.1") as connection:
            await until(connection, "session.created")
            await connection.conversation.item.truncate(
                item_id="item_absent", content_index=0, audio_end_ms=1, event_id="mine"
            )
            event = EVENTS.validate_json(await connection.recv_bytes(), strict=True)
            assert event.type == "error"
            assert event.error.event_id == "mine"

    anyio.run(main)
    error = model.wait_for_event("client_error")
    assert error["client_event"] == "conversation.item.truncate"
    assert error["event_id"] == "mine"
    assert error["session"] == 1
    assert error["code"]
