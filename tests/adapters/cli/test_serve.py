"""`serve`, called by `phone` and connected to `model`: three processes on loopback sockets."""

import http.client
import json
import re
import signal
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from command_line import RUNTIMES, RunningCommand
from timeouts import HANG_S
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import SILENCE, encode_wav

KEY = "sk-proj-0123456789abcdef"
TOKEN = "0123456789abcdef0123456789abcdef"
SECRET = "+15005550006"
NOBODY = "ws://127.0.0.1:9/v1/realtime"
CLOSE_1001 = b"\x88\x02\x03\xe9"

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


class Authority:
    """Certificates for localhost, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        self.trusted, self.certificate, self.key = (
            str(folder / name) for name in ("trusted.pem", "certificate.pem", "key.pem")
        )
        authority.cert_pem.write_to_path(self.trusted)
        leaf.cert_chain_pems[0].write_to_path(self.certificate)
        leaf.private_key_pem.write_to_path(self.key)

    @property
    def options(self) -> tuple[str, ...]:
        return ("--certificate", self.certificate, "--key", self.key)


def channels(file: bytes) -> tuple[bytes, bytes]:
    """Both channels of a stereo WAV file of µ-law."""
    assert file[20:24] == b"\x07\0\x02\0"
    data = file[file.index(b"data") + 8 :]
    return data[0::2], data[1::2]


def without_silence(audio: bytes) -> bytes:
    return audio.replace(bytes([SILENCE]), b"")


def first_sound(audio: bytes) -> int:
    """The position of the first sample that is not silent."""
    return len(audio) - len(audio.lstrip(bytes([SILENCE])))


@each_runtime
def test_phone_serve_and_model_make_a_call(runtime: str, tmp_path: Path) -> None:
    question = sample_speech.load("caller_question").audio[:2400]
    wav, record = tmp_path / "question.wav", tmp_path / "call.wav"
    wav.write_bytes(encode_wav(question))
    authority = Authority(tmp_path)
    run = ("--runtime", runtime, "--json")
    with RunningCommand("model", "--port", "0", "--say", "caller_interruption", *run) as model:
        serving = ("--realtime-url", model.wait_for_event("listening")["url"], *authority.options)
        keys = {"OPENAI_API_KEY": KEY}
        with RunningCommand("serve", "--port", "0", *serving, *run, environment=keys) as serve:
            url = f"wss://localhost:{serve.wait_for_event('listening')['port']}/media-stream"
            calling = ("--wav", str(wav), "--record", str(record), "--quiet-ms", "1500")
            trust = {"SSL_CERT_FILE": authority.trusted}
            secret = ("--param", f"from={SECRET}")
            with RunningCommand("phone", url, *calling, *secret, *run, environment=trust) as phone:
                assert phone.wait() == 0, phone.errors
            serve.wait_for_event("call.ended")
            assert serve.send_signal() == 130
        model.wait_for_event("session.closed")
        assert model.send_signal(signal.SIGTERM) == 143

    answer = sample_speech.load("caller_interruption").audio
    summary = phone.events()[-1]
    assert summary["twilio_would_log"] == []
    assert summary["clears"] == 0
    assert 0 <= summary["heard_ms"] - len(answer) // 8 < 50  # whole tokens of the model's speech
    caller, agent = channels(record.read_bytes())
    assert question in caller
    # On a busy machine the answer may have pauses.
    assert without_silence(agent) == without_silence(answer)
    answered_after = first_sound(agent) - (caller.index(question) + len(question))
    assert summary["answered_after_ms"] == pytest.approx(answered_after / 8, abs=25)
    assert answered_after > 0

    names = [event["event"] for event in serve.events()]
    expected = ["call.started", "session.ready", "response.started", "call.ended"]
    assert [name for name in names if name in expected] == expected
    assert serve.events()[-1]["reason"] == "caller hung up"
    assert serve.events()[-1]["turns"] == 1
    assert serve.events()[-1]["response_latency_ms"] > 0
    assert {event.get("call") for event in serve.events()[1:]} == {1}
    assert "client_error" not in [event["event"] for event in model.events()]
    for command in (model, serve, phone):
        assert command.errors == ""
        for secret_text in (KEY, SECRET):
            assert secret_text not in "".join(command.lines)


def test_events_of_a_call_are_printed_as_lines(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        "from twilio_realtime import Agent, CallConfig\n"
        "agent = Agent(config=CallConfig(reconnect=None))\n"
    )
    arguments = ("serve", "--port", "0", "--realtime-url", NOBODY)
    with RunningCommand(*arguments, folder=tmp_path) as serve:
        port = serve.wait_for_line("listening on").partition("127.0.0.1:")[2].partition(":")[0]
        with RunningCommand("phone", f"ws://127.0.0.1:{port}/media-stream") as phone:
            assert phone.wait() == 1
        started = serve.wait_for_line("call started")
        fault = serve.wait_for_line("fault  ")
        ended = serve.wait_for_line("call ended")
    assert re.search(r"INFO +call 1 +twilio +call started  call_sid=CA", started)
    assert re.search(r"WARNING +call 1 +realtime +fault .* kind=refused", fault)
    assert re.search(r'WARNING +call 1 .* reason="realtime unreachable"', ended)
    assert "warning  code=31921" in phone.lines[-2]
    assert "twilio_would_log=31921" in phone.lines[-1]
    assert "\x1b" not in "".join(serve.lines + phone.lines)  # no colours but on a terminal


@each_runtime
def test_paths_are_served_and_signatures_required(runtime: str) -> None:
    arguments = ("serve", "--port", "0", "--realtime-url", NOBODY, "--runtime", runtime, "--json")
    public = ("--public-url", "https://calls.example")
    token = {"TWILIO_AUTH_TOKEN": TOKEN}
    with RunningCommand(*arguments, *public, environment=token) as serve:
        port = serve.wait_for_event("listening")["port"]
        statuses = [
            status(http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S), method, path)
            for method, path in [
                ("GET", "/healthz"),
                ("POST", "/incoming-call"),
                ("GET", "/media-stream"),
                ("GET", "/"),
            ]
        ]
        assert serve.send_signal() == 130
    assert statuses == [200, 403, 426, 404]
    assert TOKEN not in "".join(serve.lines)


def test_serve_with_a_certificate_uses_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    arguments = ("serve", "--port", "0", "--realtime-url", NOBODY, "--json")
    with RunningCommand(*arguments, *authority.options) as serve:
        listening = serve.wait_for_event("listening")
        context = ssl.create_default_context(cafile=authority.trusted)
        secure = http.client.HTTPSConnection(
            "localhost", listening["port"], timeout=HANG_S, context=context
        )
        assert status(secure, "GET", "/healthz") == 200
        with socket.create_connection(("127.0.0.1", listening["port"])) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            fault = serve.wait_for_event("fault")
    assert listening["url"].startswith("https://")
    assert fault["reason"] == "the TLS handshake failed: what it sends is no TLS"
    assert "call" not in fault


def status(connection: http.client.HTTPConnection, method: str, path: str) -> int:
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


@each_runtime
def test_calls_are_numbered_and_end_with_the_service(runtime: str) -> None:
    run = ("serve", "--port", "0", "--runtime", runtime, "--json")
    with ExitStack() as opened:
        silent = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1/realtime"
        serve = opened.enter_context(RunningCommand(*run, "--realtime-url", url))
        port = serve.wait_for_event("listening")["port"]
        streams = [opened.enter_context(stream(port)) for _ in range(3)]
        numbers = sorted(serve.wait_for_event("call.started")["call"] for _ in streams)
        serve.process.send_signal(signal.SIGINT)
        silent.close()  # it would not answer
        for each in streams:
            each.settimeout(HANG_S)
            while CLOSE_1001 not in each.recv(65536):
                pass
            each.close()
        assert serve.wait() == 130
    assert numbers == [1, 2, 3]
    assert serve.errors == ""


def stream(port: int) -> socket.socket:
    """A connection with a started stream, made by hand."""
    about = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1", "tracks": ["inbound"]}
    layout = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1"}
    text = json.dumps(start | {"start": about | {"mediaFormat": layout, "customParameters": {}}})
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        b"GET /media-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text.encode()
    )
    return connection
