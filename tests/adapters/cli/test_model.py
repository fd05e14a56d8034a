"""`model` with a client of `websockets`, which shares no code with this project."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from command_line import RUNTIMES, RunningCommand
from timeouts import HANG_S
from twilio_realtime.sim import sample_speech


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(runtime: str) -> Generator[RunningCommand, None, None]:
    say = ("--say", "agent_greeting", "--say", "agent_goodbye")
    with RunningCommand("model", "--port", "0", *say, "--runtime", runtime, "--json") as command:
        yield command
        assert command.send_signal() == 130
    assert command.errors == ""


def receive(client: Connection, kind: str) -> dict[str, Any]:
    """The next event of that type."""
    while True:
        event: dict[str, Any] = json.loads(client.recv(HANG_S))
        if event["type"] == kind:
            return event


def request_text(client: Connection) -> str:
    """The text of a response in text."""
    response = {"output_modalities": ["text"]}
    client.send(json.dumps({"type": "response.create", "response": response}))
    (item,) = receive(client, "response.done")["response"]["output"]
    return str(item["content"][0]["text"])


def test_the_model_says_each_speech_and_repeats_the_last(model: RunningCommand) -> None:
    with connect(f"{model.wait_for_event('listening')['url']}?model=gpt-realtime-mini") as client:
        assert receive(client, "session.created")["session"]["model"] == "gpt-realtime-mini"
        said = [request_text(client) for _ in range(3)]
    goodbye = sample_speech.load("agent_goodbye").transcript
    assert said == [sample_speech.load("agent_greeting").transcript, goodbye, goodbye]
    assert model.wait_for_event("session.created")["model"] == "gpt-realtime-mini"
    assert [model.wait_for_event("response.done")["status"] for _ in range(3)] == 3 * ["completed"]
    assert model.wait_for_event("session.closed")["code"] == 1000


def test_each_client_has_a_separate_session(model: RunningCommand) -> None:
    url = f"{model.wait_for_event('listening')['url']}?model=gpt-realtime-2.1"
    with connect(url) as one, connect(url) as other:
        ids = [receive(each, "session.created")["session"]["id"] for each in (one, other)]
        greeting = sample_speech.load("agent_greeting").transcript
        assert [request_text(one), request_text(other)] == [greeting, greeting]
    assert ids[0] != ids[1]
    assert {model.wait_for_event("session.closed")["session"] for _ in range(2)} == {1, 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", {"code": "invalid_json"}),
        (
            '{"type": "response.cancel", "event_id": "mine"}',
            {
                "client_event": "response.cancel",
                "code": "response_cancel_not_active",
                "event_id": "mine",
            },
        ),
        (
            '{"type": "session.update", "session": {"type": "realtime", "voice": "sk-secret1234"}}',
            {
                "client_event": "session.update",
                "code": "unknown_parameter",
                "param": "session.voice",
            },
        ),
        ('{"type": "call.+15005550006"}', {"client_event": "call.[hidden]"}),
    ],
)
def test_errors_of_a_client_are_printed_in_the_apis_terms(
    model: RunningCommand, text: str, expected: dict[str, Any]
) -> None:
    with connect(f"{model.wait_for_event('listening')['url']}?model=gpt-realtime-2.1") as client:
        client.send(text)
        error = receive(client, "error")["error"]
    event = model.wait_for_event("client_error")
    assert event["code"] == error["code"]
    assert event["message"]
    assert {name: event.get(name) for name in expected} == expected
    assert "secret" not in json.dumps(event)
    assert "5550006" not in json.dumps(event)


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("", {}, "missing_model"),
        ("?model=gpt-realtime-2.1", {"OpenAI-Beta": "realtime=v1"}, "beta_api_shape_disabled"),
    ],
)
def test_a_connection_that_openai_would_close_is_closed_and_reported(
    model: RunningCommand, query: str, headers: dict[str, str], code: str
) -> None:
    url = f"{model.wait_for_event('listening')['url']}{query}"
    with connect(url, additional_headers=headers) as client:
        assert receive(client, "error")["error"]["code"] == code
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(HANG_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000
    event = model.wait_for_event("client_error")
    assert event["code"] == code
    assert "client_event" not in event


def test_other_paths_get_status_404(model: RunningCommand) -> None:
    url = model.wait_for_event("listening")["url"].removesuffix("/realtime")
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/responses"):
        pass
    assert refused.value.response.status_code == 404
