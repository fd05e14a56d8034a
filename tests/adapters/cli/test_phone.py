"""`phone` with correct and faulty servers, made with `websockets`, which shares no code with it."""

import base64
import json
import socket
import struct
import threading
import time
import wave
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from command_line import RUNTIMES, RunningCommand
from timeouts import HANG_S
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.wav import load_wav
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import encode_wav, from_linear

SPEECH = sample_speech.load("agent_goodbye").audio[:2400]  # 0.3 s
PATIENT = ("--quiet-ms", "200", "--limit-s", str(HANG_S // 2))

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)
Serving = Callable[["Stream"], None]


class Stream:
    """The stream of a call at the server."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        assert self.receive()["event"] == "connected"
        self.start = self.receive()

    @property
    def sid(self) -> str:
        return str(self.start["streamSid"])

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.connection.recv(HANG_S))
        return message

    def until(self, event: str) -> dict[str, Any]:
        while (message := self.receive())["event"] != event:
            pass
        return message

    def send(self, event: str, **fields: object) -> None:
        self.connection.send(json.dumps({"event": event, "streamSid": self.sid, **fields}))

    def say(self, audio: bytes = SPEECH) -> None:
        self.send("media", media={"payload": base64.b64encode(audio).decode()})

    def hear_question(self) -> None:
        """Wait until the caller has spoken: half a second of silence, and a short question."""
        for _ in range(45):
            self.until("media")


def answer(stream: Stream) -> None:
    stream.hear_question()
    stream.say()
    stream.until("stop")


def listen(stream: Stream) -> None:
    stream.until("stop")


@contextmanager
def serving(act: Serving, **options: Any) -> Generator[str, None, None]:
    """A server that calls `act` with each stream; its URL."""

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            act(Stream(connection))

    with serve(handle, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{_port(server)}/media-stream"
        server.shutdown()
        thread.join(HANG_S)


def _port(server: Server) -> int:
    port: int = server.socket.getsockname()[1]
    return port


@pytest.fixture
def question(tmp_path: Path) -> str:
    path = tmp_path / "question.wav"
    path.write_bytes(encode_wav(sample_speech.load("caller_question").audio[:1600]))
    return str(path)


def make_call(
    capsys: pytest.CaptureFixture[str], url: str, *options: str
) -> tuple[int, list[dict[str, Any]]]:
    """Make a call in this process; return its exit status and its events."""
    status = run_command(["phone", url, "--json", *PATIENT, *options])
    out, errors = capsys.readouterr()
    assert errors == ""
    return status, [json.loads(line) for line in out.splitlines()]


@each_runtime
def test_an_answered_call_succeeds(runtime: str, question: str, tmp_path: Path) -> None:
    record = tmp_path / "call.wav"
    with serving(answer) as url:
        options = ("--wav", question, "--record", str(record), "--runtime", runtime, "--json")
        with RunningCommand("phone", url, *PATIENT, *options) as phone:
            assert phone.wait() == 0, phone.errors
    events = phone.events()
    names = [event["event"] for event in events]
    assert names == ["stream_started", "caller_speaks", "caller_hangs_up", "summary"]
    assert events[1]["ms"] == 200
    assert events[-1]["heard_ms"] == 300
    sides = record.read_bytes()
    data = sides[sides.index(b"data") + 8 :]
    caller, agent = data[0::2], data[1::2]
    said = sample_speech.load("caller_question").audio[:1600]
    answered_after = agent.index(SPEECH) - (caller.index(said) + len(said))
    assert events[-1]["answered_after_ms"] == pytest.approx(answered_after / 8, abs=25)
    assert answered_after >= 0


@each_runtime
def test_ctrl_c_ends_the_call_and_keeps_its_audio(runtime: str, tmp_path: Path) -> None:
    record = tmp_path / "call.wav"
    options = ("--record", str(record), "--runtime", runtime)
    with serving(listen) as url, RunningCommand("phone", url, *options) as phone:
        phone.wait_for_line("caller speaks")
        time.sleep(0.3)
        assert phone.send_signal() == 130
    assert phone.errors == ""
    assert len(record.read_bytes()) > 2 * 8 * 500  # the breath, at least


def test_the_stream_has_its_parameters_and_the_seed_s_ids(
    capsys: pytest.CaptureFixture[str], question: str
) -> None:
    starts: list[dict[str, Any]] = []

    def note(stream: Stream) -> None:
        starts.append(stream.start)
        stream.connection.close()

    with serving(note) as url:
        for seed in ("7", "7", "8"):
            options = ("--param", "plan=gold=1", "--param", "empty=", "--seed", seed)
            make_call(capsys, url, "--wav", question, *options)
    assert starts[0]["start"]["customParameters"] == {"plan": "gold=1", "empty": ""}
    assert starts[0] == starts[1]
    assert starts[2]["streamSid"] != starts[0]["streamSid"]


def test_latency_and_start_delay_are_observed_by_the_server(
    capsys: pytest.CaptureFixture[str], question: str
) -> None:
    echoes_s: list[float] = []
    plays_s: list[float] = []

    def echo(stream: Stream) -> float:
        began = time.monotonic()
        stream.send("mark", mark={"name": "any"})
        stream.until("mark")
        return time.monotonic() - began

    def play(stream: Stream) -> float:
        stream.say()
        return echo(stream)

    def measure(stream: Stream) -> None:
        echoes_s.extend(echo(stream) for _ in range(5))
        stream.hear_question()
        plays_s.extend(play(stream) for _ in range(3))
        stream.until("stop")

    with serving(measure) as url:
        options = ("--latency-ms", "100", "--start-delay-ms", "150", "--quiet-ms", "1000")
        status, events = make_call(capsys, url, "--wav", question, *options)
    assert status == 0
    # A busy machine adds to some of them, but hardly to all.
    assert 0.2 <= min(echoes_s) < 0.4
    assert 0.2 + 0.15 + 0.3 <= min(plays_s) < 0.9
    assert events[-1]["heard_ms"] == 3 * 300


def test_a_clear_is_printed_with_its_discarded_audio(
    capsys: pytest.CaptureFixture[str], question: str
) -> None:
    def clear(stream: Stream) -> None:
        stream.hear_question()
        stream.say(SPEECH * 100)
        stream.send("mark", mark={"name": "end"})
        stream.until("media")
        stream.send("clear")
        stream.until("mark")
        stream.until("stop")

    with serving(clear) as url:
        status, events = make_call(capsys, url, "--wav", question)
    assert status == 0
    (cleared,) = [event for event in events if event["event"] == "cleared"]
    assert cleared["heard_ms"] + cleared["discarded_ms"] in (29_999, 30_000)
    assert events[-1]["clears"] == 1


# Warnings that Twilio would have logged.


def misspell(stream: Stream) -> None:
    stream.send("media", media={"paylod": "////"})
    stream.send("nonsense")
    answer(stream)


def send_binary(stream: Stream) -> None:
    stream.connection.send(b"\xff" * 160)
    answer(stream)


def overflow(stream: Stream) -> None:
    for _ in range(11):
        stream.say(bytes(60 * 8000))
    stream.connection.close()


def hang_up(stream: Stream) -> None:
    stream.connection.close(4000, "call +15005550006 instead\x1b[2J")


def vanish(stream: Stream) -> None:
    stream.connection.socket.shutdown(socket.SHUT_RDWR)


def break_protocol(stream: Stream) -> None:
    stream.connection.socket.sendall(b"\xf3\x00")
    stream.until("stop")


@pytest.mark.parametrize(
    ("act", "codes", "message"),
    [
        (misspell, [31951], "media: media.payload is missing or no string"),
        (send_binary, [31950], "a binary message was ignored"),
        (overflow, [31931, 31921], "media: more than ten minutes are queued"),
        (hang_up, [31921], "the server closed the stream: 4000 call [hidden] instead"),
        (vanish, [31903], "the server broke the connection"),
        (break_protocol, [31924], "a frame that violates the WebSocket protocol"),
    ],
)
def test_warnings_have_the_numbers_of_twilio_s_log(
    capsys: pytest.CaptureFixture[str],
    question: str,
    act: Serving,
    codes: list[int],
    message: str,
) -> None:
    with serving(act) as url:
        status, events = make_call(capsys, url, "--wav", question)
    assert status == 1
    warnings = [event for event in events if event["event"] == "warning"]
    assert [event["code"] for event in warnings] == codes
    assert warnings[0]["message"].startswith(message)
    assert events[-1]["twilio_would_log"] == codes


def test_a_refused_handshake_has_number_31920(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(connection: ServerConnection, _: object) -> Any:
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")

    with serving(answer, process_request=refuse) as url:
        status, events = make_call(capsys, url)
    assert status == 1
    assert [event["event"] for event in events] == ["warning", "summary"]
    assert events[0]["code"] == 31920
    assert events[0]["message"] == "the handshake was answered with HTTP status 403"


def test_text_of_a_server_has_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(hang_up) as url:
        assert run_command(["phone", url]) == 1
    out, _ = capsys.readouterr()
    assert "4000 call [hidden] instead [2J" in out
    assert "\x1b" not in out


def test_an_unanswered_caller_hangs_up_at_the_limit(
    capsys: pytest.CaptureFixture[str], question: str
) -> None:
    with serving(listen) as url:
        status, events = make_call(capsys, url, "--wav", question, "--limit-s", "1")
    assert status == 1
    (warning,) = [event for event in events if event["event"] == "warning"]
    assert warning["message"] == "the agent had not finished after 1 s: the caller hung up"
    assert events[-1]["heard_ms"] == 0
    assert events[-1]["twilio_would_log"] == []


# The speech of the caller.


@given(linear=st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_a_wav_file_of_16_bit_samples_becomes_mulaw(
    tmp_path_factory: pytest.TempPathFactory, linear: list[int]
) -> None:
    path = tmp_path_factory.mktemp("wav") / "pcm.wav"
    samples = struct.pack(f"<{len(linear)}h", *linear)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples)
    assert load_wav(str(path)) == from_linear(samples)


def test_a_wav_file_of_mulaw_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mulaw.wav"
    path.write_bytes(encode_wav(SPEECH))
    assert load_wav(str(path)) == SPEECH
