"""Access to the service, by the requests that arrive."""

import re
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import evolve

from twilio_realtime.errors import UsageError
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse, Upgrade

ACCOUNT, SUBACCOUNT, SHARED_KEY = 32 * "a", 32 * "b", "shared-key-secret"
PUBLIC = "https://calls.example"
FORM = {"CallSid": "CA" + 32 * "1", "From": "+15005550006"}
SIGNED = ServiceConfig(auth_token=ACCOUNT)

VALIDATORS: Any = import_module("twilio.request_validator")


def request(target: str = "/incoming-call", **headers: str) -> HttpRequest:
    named = {"host": "localhost:5050", "content-type": "application/x-www-form-urlencoded"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode(FORM).encode()
    return HttpRequest("POST", target, tuple(named.items()), body)


def upgrade(target: str = "/media-stream", **headers: str) -> HttpRequest:
    named = {"host": "localhost:5050", "upgrade": "websocket", "connection": "Upgrade"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("GET", target, tuple(named.items()))


def signed(
    incoming: HttpRequest, url: str, token: str = ACCOUNT, algorithm: str | None = None
) -> HttpRequest:
    """Return a request as Twilio's helper library signs it for `url`."""
    fields = FORM if incoming.method == "POST" else {}
    signature = VALIDATORS.RequestValidator(token).compute_signature(url, fields, algorithm)
    headers = [("x-twilio-signature", str(signature))]
    if algorithm is not None:
        settings = f"key=webhooks_sharedkey_1,algorithm={algorithm}"
        headers.append(("x-twilio-webhooks-signature-settings", settings))
    return evolve(incoming, headers=(*incoming.headers, *headers))


def respond(service: Service, incoming: HttpRequest, *, is_exposed: bool = False) -> HttpResponse:
    response = service.respond(incoming, is_exposed=is_exposed)
    assert isinstance(response, HttpResponse)
    return response


def is_accepted(service: Service, incoming: HttpRequest, *, is_exposed: bool = False) -> bool:
    response = service.respond(incoming, is_exposed=is_exposed)
    return isinstance(response, Upgrade) or (
        isinstance(response, HttpResponse) and response.status == 200
    )


def stream_url_of(response: HttpResponse) -> str:
    match = re.search(r'<Stream url="([^"]*)">', response.body.decode())
    assert match, response
    return match[1]


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


# Who reaches the service


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"public_url": PUBLIC}, "--public-url"),
        ({"public_url": "wss://calls.example/x"}, "--public-url"),
        ({"trust_proxy": True}, "--trust-proxy"),
        ({"trust_proxy": True, "public_url": "http://localhost"}, "--trust-proxy"),
    ],
)
def test_a_public_service_needs_a_token(options: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=rf"{option}.*TWILIO_AUTH_TOKEN.*--insecure"):
        ServiceConfig(**options)
    ServiceConfig(**options, auth_token=ACCOUNT)
    ServiceConfig(**options, insecure=True)


def test_a_public_url_on_this_machine_needs_no_token() -> None:
    service = Service(ServiceConfig(public_url="http://127.0.0.1:5050"))
    assert is_accepted(service, request())
    assert not is_accepted(service, request(host="calls.example"))


TUNNELLED: list[dict[str, str]] = [
    {"host": "name.ngrok.app"},
    {"host": "203.0.113.7"},
    {"x_forwarded_host": "name.ngrok.app"},
    {"x_forwarded_for": "203.0.113.7"},
    {"x_forwarded_for": "203.0.113.7, 127.0.0.1"},
    {"x_real_ip": "203.0.113.7"},
    {"forwarded": "for=203.0.113.7"},
    {"forwarded": "for=unknown;host=localhost"},
    {"forwarded": 'for="[2001:db8::1]:4711"'},
    {"forwarded": "host=name.ngrok.app"},
]


@pytest.mark.parametrize("headers", TUNNELLED)
def test_without_a_token_a_request_through_a_tunnel_is_refused(headers: dict[str, str]) -> None:
    service = Service(ServiceConfig())
    assert respond(service, upgrade(**headers)).status == 403
    assert respond(service, request(**headers)).status in (403, 421)
    assert is_accepted(Service(ServiceConfig(insecure=True)), upgrade(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "127.0.0.1:5050"},
        {"host": "[::1]:5050"},
        {"host": "[::ffff:127.0.0.1]"},
        {"host": "agent:5050"},  # a container's name
        {"x_forwarded_for": "127.0.0.1", "x_forwarded_host": "localhost"},
        {"x_forwarded_for": "::1"},
        {"forwarded": 'for="[::1]:80"'},
    ],
)
def test_without_a_token_this_machine_is_served(headers: dict[str, str]) -> None:
    assert is_accepted(Service(ServiceConfig()), upgrade(**headers))


def test_without_a_token_nobody_is_served_at_an_exposed_address() -> None:
    for incoming in (request(), upgrade()):
        assert respond(Service(ServiceConfig()), incoming, is_exposed=True).status == 403
        assert is_accepted(Service(ServiceConfig(insecure=True)), incoming, is_exposed=True)
    static = Service(evolve(SIGNED, static_twiml=True))
    stream = signed(upgrade(), "ws://localhost:5050/media-stream")
    assert is_accepted(static, stream, is_exposed=True)


# Pages of other sites


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8000", "file://", ""]
)
def test_the_page_of_another_site_is_refused_unless_signed(origin: str) -> None:
    for config in (ServiceConfig(), ServiceConfig(insecure=True)):
        service = Service(config)
        assert respond(service, upgrade(origin=origin)).status == 403
        assert respond(service, request(origin=origin)).status == 403
    stream = signed(upgrade(origin=origin), "ws://localhost:5050/media-stream")
    assert is_accepted(Service(evolve(SIGNED, static_twiml=True)), stream)


@pytest.mark.parametrize("origin", ["http://localhost:5050", "https://LOCALHOST:5050"])
def test_a_page_of_the_service_may_open_a_stream(origin: str) -> None:
    assert is_accepted(Service(ServiceConfig()), upgrade(origin=origin))


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)],
)
def test_a_link_or_picture_of_another_site_is_refused(site: str, status: int) -> None:
    assert respond(Service(ServiceConfig()), request(sec_fetch_site=site)).status == status


def test_the_name_of_another_site_for_this_machine_is_refused() -> None:
    headers = {"host": "evil.example:5050", "origin": "http://evil.example:5050"}
    assert respond(Service(ServiceConfig()), upgrade(**headers)).status == 403


# Several secrets


@pytest.mark.parametrize(
    ("token", "algorithm"),
    [(SUBACCOUNT, None), (ACCOUNT, None), (SHARED_KEY, "HMAC_SHA256"), (ACCOUNT, "HMAC_SHA1")],
)
def test_any_of_the_secrets_may_have_signed(token: str, algorithm: str | None) -> None:
    service = Service(ServiceConfig(auth_token=(SUBACCOUNT, ACCOUNT, SHARED_KEY)))
    url = "http://localhost:5050/incoming-call"
    response = respond(service, signed(request(), url, token, algorithm))
    stream = stream_url_of(response)
    incoming = signed(upgrade(path_of(stream)), stream, token, algorithm)
    assert is_accepted(service, incoming)


def test_another_secret_or_algorithm_is_refused() -> None:
    service = Service(ServiceConfig(auth_token=(SUBACCOUNT, SHARED_KEY)))
    url = "http://localhost:5050/incoming-call"
    assert respond(service, signed(request(), url, ACCOUNT)).status == 403
    sha1 = signed(request(), url, SHARED_KEY)
    settings = ("x-twilio-webhooks-signature-settings", "key=k,algorithm=HMAC_SHA256")
    assert respond(service, evolve(sha1, headers=(*sha1.headers, settings))).status == 403
    settings = ("x-twilio-webhooks-signature-settings", "key=k,algorithm=HMAC_MD5")
    assert respond(service, evolve(sha1, headers=(*sha1.headers, settings))).status == 403


# The public URL, proven by the signature


BEHIND: list[tuple[dict[str, str], str]] = [
    ({"host": "calls.example"}, PUBLIC),  # a tunnel that adds nothing
    ({"host": "calls.example", "x_forwarded_proto": "https"}, PUBLIC),  # ngrok, cloudflared, Caddy
    ({"x_forwarded_host": "calls.example", "x_forwarded_proto": "https"}, PUBLIC),
    ({"x_forwarded_host": "calls.example", "x_forwarded_proto": "http"}, PUBLIC),  # two proxies
    ({"forwarded": "for=1.2.3.4;host=calls.example;proto=https"}, PUBLIC),
    ({"x_forwarded_host": "calls.example", "x_forwarded_port": "8443"}, f"{PUBLIC}:8443"),
    ({"host": "calls.example:8443"}, f"{PUBLIC}:8443"),
    ({"host": "calls.example", "x_forwarded_prefix": "/voice"}, f"{PUBLIC}/voice"),
    ({"host": "calls.example", "x_forwarded_prefix": "/voice/"}, f"{PUBLIC}/voice"),
    ({"host": "calls.example", "x_forwarded_prefix": "/other"}, PUBLIC),
]


@pytest.mark.parametrize(("headers", "public"), BEHIND)
def test_a_signature_proves_the_public_url(headers: dict[str, str], public: str) -> None:
    service = Service(SIGNED)
    response = respond(service, signed(request(**headers), f"{public}/incoming-call"))
    stream = stream_url_of(response)
    assert stream.startswith(f"wss{public.removeprefix('https')}/media-stream/")
    target = f"/media-stream/{stream.rpartition('/')[2]}"
    assert is_accepted(service, signed(upgrade(target, **headers), stream))


@pytest.mark.parametrize(("headers", "public"), BEHIND)
def test_a_stream_without_a_token_is_checked_by_the_same_urls(
    headers: dict[str, str], public: str
) -> None:
    service = Service(evolve(SIGNED, static_twiml=True))
    url = f"wss{public.removeprefix('https')}/media-stream"
    assert is_accepted(service, signed(upgrade(**headers), url))


def test_a_webhook_without_tls_leads_to_a_stream_with_tls() -> None:
    headers = {"host": "calls.example"}
    incoming = signed(request(**headers), "http://calls.example/incoming-call")
    assert stream_url_of(respond(Service(SIGNED), incoming)).startswith("wss://calls.example/")


@pytest.mark.parametrize(("headers", "public"), BEHIND)
def test_a_header_alone_proves_nothing(headers: dict[str, str], public: str) -> None:
    service = Service(SIGNED)
    assert respond(service, request(**headers)).status == 403
    other = signed(request(**headers), f"{public.replace('calls', 'other')}/incoming-call")
    assert respond(service, other).status == 403


def test_a_configured_url_is_the_only_one() -> None:
    service = Service(ServiceConfig(auth_token=ACCOUNT, public_url="https://voice.example"))
    incoming = signed(request(host="calls.example"), f"{PUBLIC}/incoming-call")
    assert respond(service, incoming).status == 403


# One-time tokens


def webhook_stream(service: Service) -> str:
    incoming = signed(request(host="calls.example"), f"{PUBLIC}/incoming-call")
    return stream_url_of(respond(service, incoming))


def test_a_signed_upgrade_opens_one_stream() -> None:
    service = Service(SIGNED)
    url = webhook_stream(service)
    incoming = signed(upgrade(path_of(url)), url)
    assert is_accepted(service, incoming)
    again = respond(service, incoming)
    assert again.status == 403
    assert b"used before" in again.body
    assert webhook_stream(service) != url


def test_the_url_of_a_stream_expires() -> None:
    now = 0
    service = Service(evolve(SIGNED, token_lifetime_ms=5000), now_ns=lambda: now)
    url = webhook_stream(service)
    now = 5000 * MS
    response = respond(service, signed(upgrade(path_of(url)), url))
    assert response.status == 403
    assert b"expired" in response.body


def test_a_refused_upgrade_does_not_use_up_its_token() -> None:
    service = Service(SIGNED)
    url = webhook_stream(service)
    assert respond(service, upgrade(path_of(url))).status == 403
    assert is_accepted(service, signed(upgrade(path_of(url)), url))


@pytest.mark.parametrize("token", ["", "x", "../healthz", 32 * "A"])
def test_an_unknown_token_is_refused(token: str) -> None:
    for config in (SIGNED, ServiceConfig()):
        response = respond(Service(config), upgrade(f"/media-stream/{token}"))
        assert response.status == 403
        assert b"unknown" in response.body


def test_a_plain_stream_needs_the_option_where_requests_are_signed() -> None:
    incoming = signed(upgrade(), "ws://localhost:5050/media-stream")
    response = respond(Service(SIGNED), incoming)
    assert response.status == 403
    assert b"--static-twiml" in response.body
    static = Service(evolve(SIGNED, static_twiml=True))
    assert is_accepted(static, incoming)
    assert is_accepted(static, incoming)  # replays are not noticed there
    assert respond(static, upgrade()).status == 403


def test_without_a_token_the_webhook_and_a_plain_stream_are_open_to_this_machine() -> None:
    service = Service(ServiceConfig())
    assert is_accepted(service, upgrade())
    url = stream_url_of(respond(service, request()))
    assert is_accepted(service, upgrade(path_of(url)))
    assert not is_accepted(service, upgrade(path_of(url)))


def test_a_token_never_stands_in_an_answer_to_others() -> None:
    service = Service(SIGNED)
    token = webhook_stream(service).rpartition("/")[2].encode()
    for incoming in (
        upgrade(f"/media-stream/{token.decode()}"),
        request(f"/media-stream/{token.decode()}"),
    ):
        assert token not in respond(service, incoming).body


# What Twilio reports of a stream


def test_twilio_is_asked_to_report_of_streams_and_what_it_reports_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Service(evolve(SIGNED, stream_status=True))
    incoming = signed(request(host="calls.example"), f"{PUBLIC}/incoming-call")
    body = respond(service, incoming).body.decode()
    assert f'statusCallback="{PUBLIC}/stream-status"' in body
    form = {"StreamEvent": "stream-error", "StreamError": "31920 for +15005550006"}
    report = request("/stream-status", host="calls.example")
    report = evolve(report, body=urlencode(form).encode())
    signature = VALIDATORS.RequestValidator(ACCOUNT).compute_signature(
        f"{PUBLIC}/stream-status", form
    )
    signature_header = ("x-twilio-signature", str(signature))
    with caplog.at_level("INFO"):
        assert respond(service, report).status == 403
        answer = respond(service, evolve(report, headers=(*report.headers, signature_header)))
    assert answer.status == 204
    (record,) = [each for each in caplog.records if vars(each).get("event") == "stream.reported"]
    assert vars(record)["status"] == "stream-error"
    assert vars(record)["reason"].startswith("31920 for ")
    assert "+1500" not in str(vars(record))
