"""Usage errors: one line that says how to correct the error, and exit status 2."""

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

import twilio_realtime.asyncio
from certificates import server_context
from command_line import RUNTIMES, RunningCommand, usage_error
from timeouts import HANG_S
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.idle_clock import idle_clock_options
from twilio_realtime.cli.runtime import RuntimeApi, run
from twilio_realtime.sim.audio import encode_wav

KEY = "sk-proj-0123456789abcdef"
LOCAL = "ws://127.0.0.1:9/v1/realtime"

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def error_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """As `usage_error`, but in this process, which is faster."""
    assert run_command(arguments) == 2
    out, errors = capsys.readouterr()
    (line,) = errors.splitlines()
    assert out == ""
    assert line.startswith("twilio-realtime: ")
    return line


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_REALTIME_URL"):
        monkeypatch.delenv(name, raising=False)


# Errors found by click.


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("nosuch", "No such command 'nosuch'. (see twilio-realtime --help)"),
        ("phone ws://h/ --latncy-ms 3", "--latency-ms"),
        ("phone", "Missing argument 'URL'. (see twilio-realtime phone --help)"),
        ("serve --port 99999", "99999 is not in the range 0<=x<=65535"),
        ("model --port http", "'http' is not a valid integer"),
        ("model --say hello", "'hello' is not one of 'caller_question'"),
        ("serve --runtime curio", "'curio' is not one of 'trio', 'asyncio'"),
        ("phone ws://h/ --quiet-ms 0", "0 is not in the range"),
    ],
)
def test_a_wrong_option_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: str, line: str
) -> None:
    assert line in error_line(capsys, *arguments.split())


def test_help_is_printed_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "phone", "model"])
def test_help_has_examples_and_exit_statuses(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run_command([command, "--help"]) == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert f"Examples: {'# ' if command == 'serve' else 'twilio-realtime'}" in help_text
    assert f"twilio-realtime {command} " in help_text
    assert "Exit status: " in help_text


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"


def test_a_usage_error_exits_with_2_without_a_traceback() -> None:
    assert usage_error("phone", "ws:///media-stream").startswith("the URL must be a ws:// or wss:")


def test_a_missing_extra_is_named_with_its_installation() -> None:
    script = "import sys; sys.modules['rich'] = None; import twilio_realtime.cli.__main__"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "twilio-realtime: rich is not installed: pip install 'twilio-realtime-core[server]'"
    )


# Errors of serve.


def test_serve_needs_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert "OPENAI_API_KEY is not set" in error_line(capsys, "serve")


def test_serve_needs_a_token_to_serve_other_hosts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = error_line(capsys, "serve", "--realtime-url", LOCAL, "--host", "")
    assert "listening on all addresses without TWILIO_AUTH_TOKEN" in line
    assert "--insecure" in line


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://api.openai.com/v1/realtime", "the URL must be a ws:// or wss:// URL"),
        ("ws://models.example/v1/realtime", "the API key would travel in the clear"),
    ],
)
def test_serve_needs_a_valid_realtime_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, line: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    printed = error_line(capsys, "serve", "--realtime-url", url)
    assert line in printed
    assert KEY not in printed


def test_serve_needs_a_valid_public_url(capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(capsys, "serve", "--realtime-url", LOCAL, "--public-url", "calls.example")
    assert "--public-url is not a URL at which Twilio can reach this server" in line


def pem(folder: Path, name: str) -> tuple[str, str]:
    leaf = trustme.CA().issue_cert(name)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    return str(certificate), str(key)


def test_serve_needs_a_certificate_and_its_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (one, key), (_, other) = pem(tmp_path, "one.example"), pem(tmp_path, "other.example")
    run = ("serve", "--realtime-url", LOCAL)
    assert "--key needs --certificate" in error_line(capsys, *run, "--key", key)
    assert "no such file" in error_line(capsys, *run, "--certificate", "absent.pem")
    assert "not a PEM file" in error_line(capsys, *run, "--certificate", key)
    line = error_line(capsys, *run, "--certificate", one, "--key", other)
    assert "--key does not belong to --certificate" in line


@each_runtime
@pytest.mark.parametrize("command", ["model", "serve"])
def test_a_port_in_use_is_reported(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    command: str,
) -> None:
    monkeypatch.setenv("OPENAI_REALTIME_URL", LOCAL)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        line = error_line(capsys, command, "--port", port, "--runtime", runtime)
    assert f"cannot listen on port {port} of 127.0.0.1: it is in use" in line


@each_runtime
def test_an_address_of_another_machine_is_reported(
    capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    line = error_line(capsys, "model", "--host", "192.0.2.1", "--runtime", runtime)
    assert "cannot listen on port 5051 of 192.0.2.1: cannot assign requested address" in line


# Errors of phone.


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "ftp://127.0.0.1/media-stream",
            "it has another scheme, or none: use the URL that",
        ),
        ("ws:///media-stream", "it has no host"),
        ("ws://127.0.0.1:9/stream?to=me", "Twilio does not call a URL with a query (31920)"),
    ],
)
def test_phone_needs_a_valid_url(capsys: pytest.CaptureFixture[str], url: str, line: str) -> None:
    assert line in error_line(capsys, "phone", url)


@each_runtime
def test_phone_reports_a_refused_connection(
    capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    line = error_line(capsys, "phone", f"ws://127.0.0.1:{port}/media-stream", "--runtime", runtime)
    assert f"cannot reach 127.0.0.1:{port}: connection refused (Twilio would log 31902)" in line


@each_runtime
def test_phone_reports_a_certificate_that_does_not_match(
    capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    with shaking_hands(server_context("other.example")) as port:
        line = error_line(
            capsys, "phone", f"wss://localhost:{port}/media-stream", "--runtime", runtime
        )
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
        thread.join(HANG_S)


def test_phone_needs_a_valid_wav_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    run = ("phone", "ws://127.0.0.1:9/", "--wav", str(noise))
    assert "noise.wav: no such file" in error_line(capsys, *run)
    for content in (b"", b"RIFF", b"noise" * 100, encode_wav(b"left", b"right")):
        noise.write_bytes(content)
        assert "is not a WAV file with 8000 Hz, mono" in error_line(capsys, *run)
    noise.write_bytes(encode_wav(b""))
    assert "has no audio, or more than ten minutes" in error_line(capsys, *run)
    assert "more than ten minutes" in error_line(capsys, *run[:-1], "/dev/zero")
    assert "is a directory" in error_line(capsys, *run[:-1], str(tmp_path))


def test_phone_needs_a_writable_file_for_its_audio(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = error_line(
        capsys, "phone", "ws://127.0.0.1:9/", "--record", str(tmp_path / "no" / "call.wav")
    )
    assert "call.wav: no such file or directory" in line


@pytest.mark.parametrize("parameter", ["plan", "=gold"])
def test_phone_needs_parameters_with_a_name_and_a_value(
    capsys: pytest.CaptureFixture[str], parameter: str
) -> None:
    line = error_line(capsys, "phone", "ws://127.0.0.1:9/", "--param", parameter)
    assert "--param needs a name and a value" in line


# Event loops.


def loop_module(options: dict[str, Any] | None = None) -> str:
    """Return the module of the loop on which a command runs on asyncio."""
    modules: list[str] = []

    async def main(api: RuntimeApi) -> int:
        assert api is twilio_realtime.asyncio
        modules.append(type(asyncio.get_running_loop()).__module__)
        return 0

    assert run(main, "asyncio", options) == 0
    return modules[0]


def test_asyncio_runs_on_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_module() == "uvloop"

    def runs_plain(name: str) -> bool:
        return False

    monkeypatch.setattr("twilio_realtime.cli.runtime.runs_uvloop", runs_plain)
    assert loop_module().startswith("asyncio.")


def test_a_loop_that_a_command_brings_is_used() -> None:
    assert loop_module(idle_clock_options("asyncio")) == "twilio_realtime.cli.idle_clock"


# Exit statuses.


@each_runtime
@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_a_signal_ends_the_command_without_a_traceback(
    runtime: str, number: int, status: int
) -> None:
    with RunningCommand("model", "--port", "0", "--runtime", runtime) as command:
        command.wait_for_line("listening on ws://127.0.0.1:")
        assert command.send_signal(number) == status
    assert command.errors == ""


@each_runtime
def test_a_closed_stdout_ends_the_command_without_output(runtime: str) -> None:
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
            assert process.wait(HANG_S) == 141
        assert process.stderr.read() == b""
