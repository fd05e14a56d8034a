"""The webhook, the script and the result of `phone`, piece by piece."""

import http.server
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest

from twilio_realtime.cli.phone_junit import write_junit
from twilio_realtime.cli.phone_script import make_script
from twilio_realtime.cli.phone_webhook import CallRefusedError, request_stream
from twilio_realtime.errors import UsageError
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import encode_wav
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.webhook import connect_stream_twiml, is_signature_valid

TOKEN = 32 * "a"
FIELDS = {"CallSid": "CA1", "From": "+15005550006"}
STREAM = connect_stream_twiml("wss://calls.example/media-stream/t", {"plan": "gold & more"})


class Webhooks:
    """A server with an answer for each path, and what it was asked."""

    def __init__(self, answers: dict[str, tuple[int, bytes]]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, list[tuple[str, str]], str | None]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(**answers: bytes | tuple[int, bytes]) -> Generator[Webhooks]:
    webhooks = Webhooks(
        {
            f"/{name}": each if isinstance(each, tuple) else (200, each)
            for name, each in answers.items()
        }
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = parse_qsl(self.rfile.read(length).decode())
            signature = self.headers.get("X-Twilio-Signature")
            webhooks.requests.append((self.command, self.path, form, signature))
            status, body = webhooks.answers[self.path.partition("?")[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        webhooks.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield webhooks
        server.shutdown()
        thread.join()


def twiml(verbs: str) -> bytes:
    return f"<Response>{verbs}</Response>".encode()


def test_the_stream_of_the_twiml_is_found_by_a_signed_request() -> None:
    with serving(call=STREAM.encode()) as webhooks:
        url = f"{webhooks.url}/call?tenant=blue"
        stream = request_stream(url, FIELDS, TOKEN)
    assert stream.url == "wss://calls.example/media-stream/t"
    assert stream.parameters == {"plan": "gold & more"}
    ((method, path, form, signature),) = webhooks.requests
    assert (method, path, dict(form)) == ("POST", "/call?tenant=blue", FIELDS)
    assert is_signature_valid(TOKEN, signature, url, form)


def test_without_a_token_the_request_is_not_signed() -> None:
    with serving(call=STREAM.encode()) as webhooks:
        request_stream(f"{webhooks.url}/call", FIELDS, None)
    assert webhooks.requests[0][3] is None


def test_redirects_are_followed_by_their_method() -> None:
    with serving(
        call=twiml("<Say>Hello</Say><Redirect method='GET'>/next?x=1</Redirect>"),
        next=twiml("<Redirect> last </Redirect>"),
        last=STREAM.encode(),
    ) as webhooks:
        request_stream(f"{webhooks.url}/call", FIELDS, TOKEN)
    methods = [(method, path.partition("?")[0]) for method, path, _, _ in webhooks.requests]
    assert methods == [("POST", "/call"), ("GET", "/next"), ("POST", "/last")]
    assert "x=1&CallSid=CA1" in webhooks.requests[1][1]
    signature = webhooks.requests[1][3]
    assert is_signature_valid(TOKEN, signature, webhooks.url + webhooks.requests[1][1])


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (twiml("<Reject reason='busy'/>"), None, "the call was refused: busy"),
        (twiml("<Reject/>"), None, "the call was refused: rejected"),
        (twiml("<Hangup/>"), None, "ended before its stream"),
        (twiml("<Say>Closed.</Say>"), None, "ends without a stream"),
        (twiml("<Sing/>"), 12200, "does not know the verb <Sing>"),
        (twiml("<Connect/>"), 12200, "no <Stream>"),
        (twiml("<Redirect>/call</Redirect>"), 11206, "redirected the call 10 times"),
        ((403, b"wrong signature\nmore"), 11200, "answered 403: wrong signature"),
        ((500, b""), 11200, "answered 500"),
        (b"hello", 12100, "did not answer with XML"),
        (b"<Other/>", 12102, "does not begin with <Response>"),
        (twiml("<Say>" + 70_000 * "a" + "</Say>"), 11750, "more than 64000 bytes"),
    ],
)
def test_a_call_without_a_stream_is_refused(
    answer: bytes | tuple[int, bytes], code: int | None, words: str
) -> None:
    with serving(call=answer) as webhooks, pytest.raises(CallRefusedError, match=words) as caught:
        request_stream(f"{webhooks.url}/call", FIELDS, None)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/x", "cannot reach 127.0.0.1:9: the connection was refused"),
        ("http:///x", "not http://HOST/PATH"),
        ("http://a:b/x", "not http://HOST/PATH"),
        ("ftp://a/x", "not http://HOST/PATH"),
    ],
)
def test_a_server_that_cannot_be_reached_is_a_usage_error(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        request_stream(url, FIELDS, None)


# The script


def test_by_default_the_caller_asks_and_hangs_up() -> None:
    question = CallerSays(sample_speech.load("caller_question").audio)
    assert make_script([], quiet_ms=800) == [
        AfterDelay(500 * MS, question),
        WhenAgentQuiet(800 * MS, CallerHangsUp()),
    ]


def test_the_caller_waits_says_several_files_and_presses_keys(tmp_path: Path) -> None:
    files: list[str] = []
    for number in range(2):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(encode_wav(bytes([number + 1]) * 160))
        files.append(str(path))
    first, second = (CallerSays(bytes([number + 1]) * 160) for number in range(2))
    script = make_script(files, quiet_ms=1, waits=True, keys="1#", hangs_up=False)
    assert script == [
        WhenAgentQuiet(MS, first),
        WhenAgentQuiet(MS, second),
        WhenAgentQuiet(MS, CallerPressesKey("1")),
        AfterDelay(250 * MS, CallerPressesKey("#")),
    ]
    script = make_script(files, quiet_ms=1, interrupt_after_ms=700)
    assert script[1] == WhenAgentHeard(700, second)


def test_an_interruption_has_a_sample_and_keys_need_no_speech() -> None:
    sample = CallerSays(sample_speech.load("caller_interruption").audio)
    assert make_script([], quiet_ms=1, interrupt_after_ms=0)[1] == WhenAgentHeard(0, sample)
    keys = make_script([], quiet_ms=1, keys="5")
    assert keys[0] == AfterDelay(500 * MS, CallerPressesKey("5"))


def test_a_key_that_no_phone_has_is_refused() -> None:
    with pytest.raises(UsageError, match="a phone has no key x"):
        make_script([], quiet_ms=1, keys="1x")


# The result


def test_the_result_is_junit_xml(tmp_path: Path) -> None:
    path = tmp_path / "call.xml"
    write_junit(path, ["an answer took 2 s & more"], [2000, 300])
    suite = ElementTree.parse(path).getroot()  # noqa: S314
    assert suite.attrib["failures"] == "1"
    (case,) = suite
    values = [each.attrib["value"] for each in case.iter("property")]
    assert values == ["2000", "300"]
    assert [each.attrib["message"] for each in case.iter("failure")] == [
        "an answer took 2 s & more"
    ]
    write_junit(path, [], [])
    assert ElementTree.parse(path).getroot().attrib["failures"] == "0"  # noqa: S314
