"""The answers of the service, request by request, and a whole call through it."""

import importlib
import re
from hashlib import sha256
from random import Random
from typing import Protocol
from urllib.parse import urlencode

import attrs
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from certificates import client_context, server_context
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.bridge_wrapper import BridgeLike
from twilio_realtime.runtime.tls import Tls
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig, check_exposure
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays, Cue, WhenAgentQuiet
from twilio_realtime.sim.phone.caller import CallerHangsUp as HangUpPhone
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime.sim.world.byte_world import ByteWorld
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Fault,
    HangUp,
    Notify,
    Peer,
    SendBytes,
    SessionConfig,
)
from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason, ResponseFinished
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "sk-proj-secret"
PUBLIC = "https://calls.example"
FORM = {"CallSid": "CA" + 32 * "1", "From": "+15005550006", "Digits": "", "Name": "Jürgen & Söhne"}


class Validator(Protocol):
    """The part of Twilio's helper library that the tests use; it has no types."""

    def compute_signature(self, uri: str, params: dict[str, str]) -> str: ...


module = importlib.import_module("twilio.request_validator")
VALIDATOR: Validator = module.RequestValidator(TOKEN)


def request(
    method: str = "GET", target: str = "/incoming-call", body: bytes = b"", /, **headers: str
) -> HttpRequest:
    named = {"host": "localhost:5050"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return HttpRequest(method, target, tuple(named.items()), body)


def upgrade(target: str = "/media-stream", **headers: str) -> HttpRequest:
    return request(
        "GET",
        target,
        connection="Upgrade",
        upgrade="websocket",
        sec_websocket_version="13",
        sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    )


def form(fields: dict[str, str], target: str = "/incoming-call", **headers: str) -> HttpRequest:
    headers["content_type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    return request("POST", target, urlencode(fields).encode(), **headers)


def after_stream(fields: dict[str, str], **headers: str) -> HttpRequest:
    return form(fields, "/after-stream", **headers)


def signed(incoming: HttpRequest, url: str, fields: dict[str, str] | None = None) -> HttpRequest:
    """Return a request as Twilio's helper library signs it for `url`."""
    signature = VALIDATOR.compute_signature(url, fields or {})
    return evolve(incoming, headers=(*incoming.headers, ("x-twilio-signature", signature)))


def answer(incoming: HttpRequest, config: ServiceConfig | None = None) -> HttpResponse:
    response = Service(config or ServiceConfig()).respond(incoming)
    assert isinstance(response, HttpResponse)
    assert response.body.count(b"\n") == (response.status != 200 or response.body == b"ok\n")
    return response


def stream_url_of(response: HttpResponse) -> str:
    """Return the URL of the stream in the TwiML."""
    assert response.status == 200
    match = re.search(r'<Stream url="([^"]*)">', response.body.decode())
    assert match
    return match[1]


def base_url_of(response: HttpResponse) -> str:
    """Return the URL of the stream in the TwiML up to its token, which is random."""
    base, slash, token = stream_url_of(response).rpartition("/")
    assert slash
    assert re.fullmatch("[A-Za-z0-9_-]{32}", token)
    return base


SIGNED_ONLY = ServiceConfig(auth_token=TOKEN, public_url=PUBLIC)
UNSIGNED = ServiceConfig(public_url=PUBLIC, insecure=True)
STATIC = evolve(SIGNED_ONLY, static_twiml=True)


# The answers


@pytest.mark.parametrize("incoming", [request(), form(FORM)])
def test_the_webhook_is_answered_with_twiml_of_the_stream(incoming: HttpRequest) -> None:
    response = answer(incoming, evolve(UNSIGNED, parameters={"who": "Ann & Co"}))
    assert response.content_type == "text/xml"
    assert base_url_of(response) == "wss://calls.example/media-stream"
    assert b'<Parameter name="who" value="Ann &amp; Co"/>' in response.body


def test_form_parameters_are_not_repeated_in_the_twiml() -> None:
    assert b"+15005550006" not in answer(form(FORM)).body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_health_check_is_answered(method: str) -> None:
    assert answer(request(method, "/healthz?verbose"), SIGNED_ONLY) == HttpResponse(200, b"ok\n")


@pytest.mark.parametrize("target", ["/", "/incoming-call/", "/Healthz", "*", "", "//healthz"])
def test_an_unknown_path_is_404(target: str) -> None:
    assert answer(request("GET", target)).status == 404


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", "/incoming-call", "GET, POST"),
        ("HEAD", "/incoming-call", "GET, POST"),
        ("POST", "/media-stream", "GET"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_with_the_allowed_ones(
    method: str, target: str, allowed: str
) -> None:
    response = answer(request(method, target))
    assert (response.status, response.headers) == (405, (("Allow", allowed),))


def test_a_stream_request_without_upgrade_is_426() -> None:
    connection = Service(ServiceConfig()).open_connection()
    connection.start(0)
    connection.connected(Peer.TWILIO, 0)
    data = b"GET /media-stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = connection.receive_bytes(Peer.TWILIO, data, 0)[1]
    assert isinstance(sent, SendBytes)
    assert sent.data.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nUpgrade: websocket\r\n" in sent.data
    assert b"\r\nConnection: Upgrade\r\n" in sent.data


def test_each_websocket_becomes_a_call_with_its_bridge() -> None:
    service = Service(ServiceConfig(api_key=KEY, safety_identifier="5f4dcc3b"))
    first, second = service.respond(upgrade()), service.respond(upgrade())
    assert isinstance(first, Upgrade)
    assert isinstance(second, Upgrade)
    assert isinstance(first.machine, Bridge)
    assert first.machine is not second.machine
    assert first.peer is Peer.TWILIO


def test_only_the_realtime_link_has_the_key() -> None:
    config = ServiceConfig(api_key=KEY, safety_identifier="5f4dcc3b")
    links = config.link_configs()
    assert links[Peer.TWILIO].headers == ()
    assert links[Peer.TWILIO].max_message_bytes == twilio.MAX_MESSAGE_BYTES
    assert links[Peer.REALTIME].max_message_bytes == realtime.MAX_MESSAGE_BYTES
    assert links[Peer.REALTIME].headers == (
        ("Authorization", f"Bearer {KEY}"),
        ("OpenAI-Safety-Identifier", "5f4dcc3b"),
    )
    assert ServiceConfig().link_configs()[Peer.REALTIME].headers == ()


def test_secrets_are_not_shown() -> None:
    config = ServiceConfig(
        api_key=KEY,
        auth_token=TOKEN,
        public_url=f"{PUBLIC}/t0ken",
        call=CallConfig(url="wss://model.example/?key=t0ken"),
        parameters={"who": "t0ken"},
    )
    assert not any(secret in repr(config) for secret in (KEY, TOKEN, "t0ken"))
    assert "auth_token=<hidden>" in repr(config)
    assert "auth_token=None" in repr(ServiceConfig())


def test_accepted_connections_can_use_tls() -> None:
    connection = Service(ServiceConfig(), server_tls=server_context("localhost")).open_connection()
    connection.start(0)
    connection.connected(Peer.TWILIO, 0)
    fault, *_ = connection.receive_bytes(Peer.TWILIO, b"GET / HTTP/1.1\r\n\r\n", 0)
    assert isinstance(fault, Notify)
    assert "is no TLS" in str(fault.event)


# Signatures


fields = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=6)


@given(fields)
def test_a_signed_form_is_answered(fields: dict[str, str]) -> None:
    incoming = signed(form(fields), f"{PUBLIC}/incoming-call", fields)
    assert answer(incoming, SIGNED_ONLY).status == 200


def test_a_query_is_signed_unchanged() -> None:
    target = "/incoming-call?From=%2B15005550006&b=&a=%20"
    incoming = signed(request("GET", target), PUBLIC + target)
    assert answer(incoming, SIGNED_ONLY).status == 200
    other = signed(request("GET", "/incoming-call?From=%2B1"), PUBLIC + target)
    assert answer(other, SIGNED_ONLY).status == 403


def test_a_json_body_is_signed_by_its_hash() -> None:
    body = b'{"CallSid": "CA1"}'
    target = f"/incoming-call?bodySHA256={sha256(body).hexdigest()}"
    incoming = request("POST", target, body, content_type="application/json")
    assert answer(signed(incoming, PUBLIC + target), SIGNED_ONLY).status == 200
    spoilt = evolve(signed(incoming, PUBLIC + target), body=b"{}")
    assert answer(spoilt, SIGNED_ONLY).status == 403


def test_the_stream_is_signed_with_the_url_of_the_twiml() -> None:
    service = Service(SIGNED_ONLY)
    webhook = service.respond(signed(request(), f"{PUBLIC}/incoming-call"))
    assert isinstance(webhook, HttpResponse)
    url = stream_url_of(webhook)
    stream = upgrade(url.removeprefix("wss://calls.example"))
    for other in (url.replace("wss", "https"), url + "/", "wss://calls.example/media-stream"):
        refusal = service.respond(signed(stream, other))
        assert isinstance(refusal, HttpResponse)
        assert refusal.status == 403
    assert isinstance(service.respond(signed(stream, url)), Upgrade)


@pytest.mark.parametrize("incoming", [request(), form(FORM), upgrade(), after_stream(FORM)])
def test_an_unsigned_request_is_refused(incoming: HttpRequest) -> None:
    response = answer(incoming, SIGNED_ONLY)
    assert response.status == 403
    assert b"has no X-Twilio-Signature" in response.body


@pytest.mark.parametrize("incoming", [request(), form(FORM), upgrade()])
def test_a_signature_for_another_url_is_refused_without_showing_ours(
    incoming: HttpRequest,
) -> None:
    config = evolve(SIGNED_ONLY, public_url=f"{PUBLIC}/t0ken")
    response = answer(signed(incoming, f"{PUBLIC}{incoming.target}"), config)
    assert response.status == 403
    assert b"--public-url" in response.body
    assert b"t0ken" not in response.body
    assert b"calls.example" not in response.body


def test_an_unreadable_form_is_400() -> None:
    body = b"From=%ff"
    assert answer(request("POST", "/incoming-call", body), SIGNED_ONLY).status == 400


def test_without_a_token_no_signature_is_required() -> None:
    assert answer(form(FORM, x_twilio_signature="wrong"), UNSIGNED).status == 200
    assert isinstance(Service(UNSIGNED).respond(upgrade(host="calls.example")), Upgrade)


# The public URL


@pytest.mark.parametrize(
    "public", [f"{PUBLIC}/voice", f"{PUBLIC}/voice/", "wss://calls.example/voice"]
)
@pytest.mark.parametrize("keeps_path", [True, False])
def test_a_public_path_works_with_and_without_the_proxys_prefix(
    public: str, *, keeps_path: bool
) -> None:
    service = Service(ServiceConfig(auth_token=TOKEN, public_url=public))
    prefix = "/voice" if keeps_path else ""
    webhook = form(FORM, f"{prefix}/incoming-call?x=1")
    response = service.respond(signed(webhook, f"{PUBLIC}/voice/incoming-call?x=1", FORM))
    assert isinstance(response, HttpResponse)
    assert base_url_of(response) == "wss://calls.example/voice/media-stream"
    url = stream_url_of(response)
    target = prefix + url.removeprefix("wss://calls.example/voice")
    assert isinstance(service.respond(signed(upgrade(target), url)), Upgrade)


@pytest.mark.parametrize(
    "host", ["localhost:5050", "localhost", "127.0.0.1:5050", "[::1]:5050", "127.1.2.3"]
)
def test_on_loopback_the_url_comes_from_the_host_header(host: str) -> None:
    assert base_url_of(answer(request(host=host))) == f"ws://{host}/media-stream"


@pytest.mark.parametrize(
    "host", ["calls.example", "localhost.example", "x@localhost", "[::1", "", "10.0.0.1", "a b"]
)
def test_a_host_header_other_than_loopback_is_not_trusted(host: str) -> None:
    headers = {"x_forwarded_host": "calls.example", "x_forwarded_proto": "https"}
    response = answer(request(host=host, **headers))
    assert response.status == 421
    if "localhost" not in host:
        assert b"--public-url" in response.body


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"x_forwarded_proto": "https", "x_forwarded_host": "a.example"}, "https://a.example"),
        ({"x_forwarded_proto": "wss", "x_forwarded_host": "a.example"}, "https://a.example"),
        ({"x_forwarded_proto": "HTTPS", "host": "a.example"}, "https://a.example"),
        ({"host": "a.example"}, "https://a.example"),
        ({"x_forwarded_host": "a.example:8443, b.example"}, "https://a.example:8443"),
        (
            {"x_forwarded_proto": "https , http", "x_forwarded_host": "a.example"},
            "https://a.example",
        ),
        ({"forwarded": "for=1.2.3.4;proto=https;host=a.example"}, "https://a.example"),
        (
            {"forwarded": 'FOR="[::1]"; Host="a.example:8443" ;proto=https'},
            "https://a.example:8443",
        ),
        ({"forwarded": r'for="a,\"b;c";host=a.example'}, "https://a.example"),
        ({"forwarded": 'proto=https;host="a.example'}, "https://localhost:5050"),
        ({"forwarded": r'host="a\.example"'}, "https://a.example"),
        ({"forwarded": "host=a.example;host=b.example, host=c.example"}, "https://a.example"),
        ({"forwarded": "proto=https, host=c.example", "host": "a.example"}, "https://a.example"),
        ({"forwarded": "host=b.example", "x_forwarded_host": "a.example"}, "https://a.example"),
        ({}, "http://localhost:5050"),
        ({"x_forwarded_proto": "http"}, "http://localhost:5050"),
        ({"x_forwarded_proto": "https"}, "https://localhost:5050"),
    ],
)
def test_the_url_comes_from_the_headers_of_a_trusted_proxy(
    headers: dict[str, str], url: str
) -> None:
    config = ServiceConfig(auth_token=TOKEN, trust_proxy=True, static_twiml=True)
    webhook = signed(request(**headers), f"{url}/incoming-call")
    stream = base_url_of(answer(webhook, config))
    assert stream == f"ws{url.removeprefix('http')}/media-stream"
    assert isinstance(Service(config).respond(signed(upgrade(**headers), stream)), Upgrade)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_proto": "gopher"},
        {"x_forwarded_proto": "http", "x_forwarded_host": "calls.example"},
        {"x_forwarded_host": "calls.example/path?query"},
        {"x_forwarded_host": "me@calls.example"},
        {"x_forwarded_host": "\u00e9.example"},
        {"host": ""},
    ],
)
def test_a_url_that_twilio_could_not_dial_is_refused(
    headers: dict[str, str],
) -> None:
    config = ServiceConfig(auth_token=TOKEN, trust_proxy=True)
    for incoming in (request(**headers), upgrade(**headers)):
        assert answer(incoming, config).status == 421


header_names = st.sampled_from(
    ["host", "forwarded", "x_forwarded_host", "x_forwarded_proto", "content_type"]
)
header_values = st.text(st.sampled_from('hostproto=";,\\ :.[]@/?#1a\u00ff'), max_size=24)


@given(
    st.dictionaries(header_names, header_values),
    st.sampled_from(["GET", "POST", "HEAD", "DELETE"]),
    st.sampled_from(["/incoming-call", "/media-stream", "/healthz", "/x", "*"]),
    st.binary(max_size=20),
    st.booleans(),
)
def test_no_request_raises(
    headers: dict[str, str],
    method: str,
    target: str,
    body: bytes,
    trust_proxy: bool,  # noqa: FBT001
) -> None:
    for token in (None, TOKEN):
        config = ServiceConfig(auth_token=token, trust_proxy=trust_proxy, insecure=token is None)
        answer(request(method, target, body, **headers), config)


# Invalid settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auth_token": ""}, "auth token is empty"),
        ({"public_url": "calls.example"}, "absolute"),
        ({"public_url": "http://calls.example"}, "wss only"),
        ({"auth_token": ()}, "auth token is empty"),
        ({"auth_token": (TOKEN, "")}, "auth token is empty"),
        ({"token_lifetime_ms": 0}, r"token_lifetime_ms must be 1 to 2147483647 ms \(int\), not 0"),
        ({"token_lifetime_ms": 60.0}, r"token_lifetime_ms must be .* ms \(int\), not 60\.0"),
        ({"public_url": PUBLIC, "insecure": "false"}, "insecure must be True or False, not str"),
        ({"trust_proxy": 1}, r"ServiceConfig\.trust_proxy must be True or False"),
        ({"static_twiml": "no"}, r"ServiceConfig\.static_twiml must be True or False"),
        ({"stream_status": None}, r"ServiceConfig\.stream_status must be True or False"),
        ({"ask_after_stream": "no"}, r"ServiceConfig\.ask_after_stream must be True or False"),
        ({"provider": "azzure"}, "provider must be 'openai' or 'azure': it is another text"),
        ({"auth_token": b"t0ken"}, r"ServiceConfig\.auth_token must be text, .*, not bytes"),
        ({"auth_token": 5}, r"ServiceConfig\.auth_token must be text, .*, not int"),
        ({"auth_token": [TOKEN, 5]}, r"ServiceConfig\.auth_token must be .*: item 1 is not"),
        ({"api_key": b"t0ken"}, r"ServiceConfig\.api_key must be text, or callable, or None"),
        ({"organization": 5}, r"ServiceConfig\.organization must be text, or None, not int"),
        ({"project": 5}, r"ServiceConfig\.project must be text, or None, not int"),
        ({"safety_identifier": 5}, r"ServiceConfig\.safety_identifier must be text, or None"),
        ({"headers": "t0ken"}, r"ServiceConfig\.headers must be a mapping, .*, not str"),
        ({"headers": [("a", 5)], "api_key": KEY}, "headers .* pairs of text"),
        ({"call": 5}, r"ServiceConfig\.call must be CallConfig, not int"),
        ({"public_url": 5}, r"ServiceConfig\.public_url must be text, or None, not int"),
        ({"parameters": 5}, r"ServiceConfig\.parameters must be a mapping, not int"),
        ({"parameters": {"a": 5}}, r"parameters\['a'\] must be text, not int"),
        ({"public_url": f"{PUBLIC}?t0ken"}, "query"),
        ({"parameters": {"": "x"}}, "empty name"),
        ({"parameters": {str(n): 400 * "x" for n in range(120)}}, "bytes"),
        ({"api_key": "two\nlines"}, "Authorization"),
        ({"safety_identifier": "\u00e9"}, "OpenAI-Safety-Identifier"),
        ({"api_key": KEY, "call": CallConfig(url="ws://model.example")}, "in the clear"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        ServiceConfig(**settings)  # type: ignore[arg-type]
    assert "t0ken" not in str(caught.value)


def test_every_field_of_the_service_has_a_rule() -> None:
    for name in attrs.fields_dict(ServiceConfig):
        with pytest.raises(UsageError, match=rf"ServiceConfig\.{name} must be"):
            ServiceConfig(**{name: object()})  # type: ignore[arg-type]


def test_plain_connections_are_allowed_without_key_or_on_this_machine() -> None:
    assert ServiceConfig(call=CallConfig(url="ws://model.example")).api_key is None
    local = CallConfig(url="ws://127.0.0.1:8000/v1/realtime")
    assert ServiceConfig(api_key=KEY, call=local).api_key == KEY


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.53"])
def test_on_loopback_no_token_is_required(host: str) -> None:
    check_exposure(host, None, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "calls.example"])  # noqa: S104
def test_other_addresses_require_a_token_or_the_insecure_option(host: str) -> None:
    check_exposure(host, TOKEN, insecure=False)
    check_exposure(host, None, insecure=True)
    with pytest.raises(UsageError, match=r"TWILIO_AUTH_TOKEN.*127\.0\.0\.1.*--insecure"):
        check_exposure(host, None, insecure=False)


# Whole calls


QUESTION = sample_speech.load("caller_question").audio
ANSWER = sample_speech.load("agent_answer")
VAD = SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 500})
SCRIPT: tuple[Cue, ...] = (
    AfterDelay(500 * MS, CallerSays(QUESTION)),
    WhenAgentQuiet(9 * SECOND, HangUpPhone()),
)


class SimulatedCall:
    """Phone, service and model in a world of bytes, cut anywhere."""

    def __init__(self, *, tls: bool, script: tuple[Cue, ...] = SCRIPT) -> None:
        random = Random(1)
        config = ServiceConfig(
            api_key=KEY,
            auth_token=TOKEN,
            public_url=PUBLIC,
            call=CallConfig(url=f"{'wss' if tls else 'ws'}://localhost/v1/realtime", session=VAD),
        )
        service = Service(config, client_tls=client_context(), random_bytes=random.randbytes)
        webhook = service.respond(signed(request(), f"{PUBLIC}/incoming-call"))
        assert isinstance(webhook, HttpResponse)
        url = stream_url_of(webhook)
        self.opened_calls: list[tuple[BridgeLike, HttpRequest]] = []
        self.machine = service.open_connection(self.on_call)
        self.phone = TwilioPeer(url=url, seed=1, script=script)
        self.model = RealtimePeer([Reply((SpokenReply(ANSWER.audio, ANSWER.transcript),))], seed=2)
        self.requests: list[HttpRequest] = []

        def respond(request: HttpRequest) -> HttpResponse | Upgrade:
            self.requests.append(request)
            links = {CLIENT: LinkConfig(max_message_bytes=realtime.MAX_MESSAGE_BYTES)}
            return Upgrade(self.model, CLIENT, links)

        signature = VALIDATOR.compute_signature(url, {})
        link = LinkConfig(
            max_message_bytes=twilio.MAX_MESSAGE_BYTES, headers=(("x-twilio-signature", signature),)
        )
        model: ByteMachine = HttpConnection(CLIENT, respond, random.randbytes)
        if tls:
            model = Tls(model, server={CLIENT: server_context("localhost")})
        self.world = ByteWorld(seed=1, is_segmented=True)
        self.world.add("phone", Stack(self.phone, {SERVER: link}, random.randbytes))
        self.world.add("service", self.machine)
        self.world.add("model", model)
        self.world.join(("phone", SERVER), ("service", Peer.TWILIO), latency_ns=40 * MS)
        self.world.join(("service", Peer.REALTIME), ("model", CLIENT), latency_ns=25 * MS)

    def on_call(self, bridge: BridgeLike, request: HttpRequest) -> None:
        self.opened_calls.append((bridge, request))

    def events(self, *kinds: type) -> list[object]:
        return [event for _, _, event in self.world.notifications if isinstance(event, kinds)]

    def run(self) -> None:
        self.world.run_until(lambda: bool(self.events(CallEnded)), 60 * SECOND)
        self.world.run(60 * SECOND)


each_transport = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@each_transport
def test_a_whole_call_passes_through_the_service(*, tls: bool) -> None:
    call = SimulatedCall(tls=tls)
    call.run()
    (ended,) = call.events(CallEnded)
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert len(call.events(ResponseFinished)) == 1
    assert call.events(Fault) == []
    assert call.phone.warnings == []
    assert call.model.sent_errors == []
    assert call.machine.deadline is None
    (opening,) = call.requests
    assert opening.header("authorization") == f"Bearer {KEY}"
    assert opening.header("openai-beta") is None
    assert opening.target == "/v1/realtime?model=gpt-realtime-2.1"


@each_transport
def test_the_application_gets_the_bridge_and_sends_it_commands(*, tls: bool) -> None:
    call = SimulatedCall(tls=tls, script=())
    call.world.run_until(lambda: bool(call.events(CallStarted)), SECOND)
    ((bridge, opened),) = call.opened_calls
    assert opened.path.startswith("/media-stream/")
    call.world.run(2 * SECOND)
    call.world.call("service", "perform", bridge.send(HangUp(), call.world.now))
    call.run()
    assert call.events(CallEnded) == [CallEnded(EndReason.HUNG_UP)]
    assert call.phone.is_over
