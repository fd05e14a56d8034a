"""How the command is wrong to be used: one line that says what to do, and exit status 2."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from certificates import server_context
from command_line import RUNTIMES, Command, complaint
from twilio_realtime.cli.commands import call
from twilio_realtime.sim.audio import write_wav

KEY = "sk-proj-0123456789abcdef"
LOCAL = "ws://127.0.0.1:9/v1/realtime"

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """As `complaint`, in this process, which takes less time."""
    assert call(arguments) == 2
    out, errors = capsys.readouterr()
    (line,) = errors.splitlines()
    assert out == ""
    assert line.startswith("twilio-realtime: ")
    return line


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_REALTIME_URL"):
        monkeypatch.delenv(name, raising=False)


# What click finds.


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("nosuch", "No such command 'nosuch'. (twilio-realtime --help tells more)"),
        (
            "phone ws://h/ --latncy-ms 3",
            "No such option '--latncy-ms'. Did you mean '--latency-ms'",
        ),
        ("phone", "Missing argument 'URL'. (twilio-realtime phone --help tells more)"),
        ("serve --port 99999", "99999 is not in the range 0<=x<=65535"),
        ("model --port http", "'http' is not a valid integer"),
        ("model --say hello", "'hello' is not one of 'caller_question'"),
        ("serve --runtime curio", "'curio' is not one of 'trio', 'asyncio'"),
        ("phone ws://h/ --quiet-ms 0", "0 is not in the range"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: str, line: str
) -> None:
    assert line in said(capsys, *arguments.split())


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert call([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "phone", "model"])
def test_help_teaches_by_examples_and_exit_statuses(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert call([command, "--help"]) == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert f"Examples: {'# ' if command == 'serve' else 'twilio-realtime'}" in help_text
    assert f"twilio-realtime {command} " in help_text
    assert "Exit status: " in help_text


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"


def test_the_process_exits_with_2_and_without_a_traceback() -> None:
    told = complaint("phone", "http://127.0.0.1/")
    assert told.startswith("the URL is not a ws:// or wss:// URL")


def test_without_the_extra_the_command_says_how_to_install_it() -> None:
    script = "import sys; sys.modules['rich'] = None; import twilio_realtime.cli.__main__"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "twilio-realtime: rich is not installed: pip install 'twilio-realtime-core[server]'"
    )


# What serve needs.


def test_serve_needs_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert "OPENAI_API_KEY is not set" in said(capsys, "serve")


def test_serve_needs_a_token_for_others_than_this_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = said(capsys, "serve", "--realtime-url", LOCAL, "--host", "")
    assert "listening on all addresses without TWILIO_AUTH_TOKEN" in line
    assert "--insecure" in line


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://api.openai.com/v1/realtime", "the URL is not a ws:// or wss:// URL"),
        ("ws://models.example/v1/realtime", "the API key would travel in the clear"),
    ],
)
def test_serve_needs_a_good_realtime_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, line: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    told = said(capsys, "serve", "--realtime-url", url)
    assert line in told
    assert KEY not in told


def test_serve_needs_a_good_public_url(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, "serve", "--realtime-url", LOCAL, "--public-url", "calls.example")
    assert "--public-url is no URL by which Twilio could reach this server" in line


def pem(folder: Path, name: str) -> tuple[str, str]:
    leaf = trustme.CA().issue_cert(name)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    return str(certificate), str(key)


def test_serve_needs_a_certificate_and_its_own_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (one, key), (_, other) = pem(tmp_path, "one.example"), pem(tmp_path, "other.example")
    run = ("serve", "--realtime-url", LOCAL)
    assert "--key needs --certificate" in said(capsys, *run, "--key", key)
    assert "no such file" in said(capsys, *run, "--certificate", "absent.pem")
    assert "no PEM file" in said(capsys, *run, "--certificate", key)
    line = said(capsys, *run, "--certificate", one, "--key", other)
    assert "--key does not belong to --certificate" in line


@each_runtime
@pytest.mark.parametrize("command", ["model", "serve"])
def test_a_port_in_use_is_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    command: str,
) -> None:
    monkeypatch.setenv("OPENAI_REALTIME_URL", LOCAL)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        line = said(capsys, command, "--port", port, "--runtime", runtime)
    assert f"cannot listen on port {port} of 127.0.0.1: it is in use" in line


@each_runtime
def test_an_address_of_another_machine_is_told(
    capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    line = said(capsys, "model", "--host", "192.0.2.1", "--runtime", runtime)
    assert "cannot listen on port 5051 of 192.0.2.1: cannot assign requested address" in line


# What phone needs.


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://127.0.0.1/media-stream", "the URL is not a ws:// or wss:// URL: give the one"),
        ("ws:///media-stream", "the URL must have a host"),
        ("ws://127.0.0.1:9/stream?to=me", "Twilio calls no stream whose URL has a query (31920)"),
    ],
)
def test_phone_needs_a_good_url(capsys: pytest.CaptureFixture[str], url: str, line: str) -> None:
    assert line in said(capsys, "phone", url)


@each_runtime
def test_phone_says_when_nobody_listens(capsys: pytest.CaptureFixture[str], runtime: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    line = said(capsys, "phone", f"ws://127.0.0.1:{port}/media-stream", "--runtime", runtime)
    assert f"cannot reach 127.0.0.1:{port}: connection refused (Twilio would log 31902)" in line


@each_runtime
def test_phone_says_when_the_certificate_does_not_match(
    capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    with shaking_hands(server_context("other.example")) as port:
        line = said(capsys, "phone", f"wss://localhost:{port}/media-stream", "--runtime", runtime)
    assert f"cannot reach localhost:{port}: the TLS handshake with localhost failed: " in line
    assert "its certificate is not from an authority that is trusted here" in line
    assert "31910" in line


@contextmanager
def shaking_hands(context: ssl.SSLContext) -> Generator[int, None, None]:
    """A server that does nothing but one TLS handshake; its port."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # the caller objects
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def test_phone_needs_a_good_wav(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    run = ("phone", "ws://127.0.0.1:9/", "--wav", str(noise))
    assert "noise.wav: no such file" in said(capsys, *run)
    for content in (b"", b"RIFF", b"noise" * 100, write_wav(b"left", b"right")):
        noise.write_bytes(content)
        assert "is no WAV file of 8000 Hz, mono" in said(capsys, *run)
    noise.write_bytes(write_wav(b""))
    assert "holds no audio, or more than ten minutes" in said(capsys, *run)
    assert "more than ten minutes" in said(capsys, *run[:-1], "/dev/zero")
    assert "is a directory" in said(capsys, *run[:-1], str(tmp_path))


def test_phone_needs_a_place_for_its_recording(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = said(capsys, "phone", "ws://127.0.0.1:9/", "--record", str(tmp_path / "no" / "call.wav"))
    assert "call.wav: no such file or directory" in line


@pytest.mark.parametrize("parameter", ["plan", "=gold"])
def test_phone_needs_parameters_with_a_name_and_a_value(
    capsys: pytest.CaptureFixture[str], parameter: str
) -> None:
    line = said(capsys, "phone", "ws://127.0.0.1:9/", "--param", parameter)
    assert "--param needs a name and a value" in line


# How it ends.


@each_runtime
@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_a_signal_ends_it_without_a_traceback(runtime: str, number: int, status: int) -> None:
    with Command("model", "--port", "0", "--runtime", runtime) as command:
        command.line("listening on ws://127.0.0.1:")
        assert command.interrupt(number) == status
    assert command.errors == ""


@each_runtime
def test_who_reads_no_further_ends_it_quietly(runtime: str) -> None:
    command = [sys.executable, "-m", "twilio_realtime.cli", "model", "--port", "0", "--json"]
    with subprocess.Popen(  # noqa: S603
        [*command, "--runtime", runtime], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = json.loads(process.stdout.readline())["port"]
        process.stdout.close()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"\x16")
            assert process.wait(5) == 141
        assert process.stderr.read() == b""
