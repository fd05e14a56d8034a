"""Access to the page: its token and session, and requests of this machine and page alone."""

from random import Random

import pytest

from twilio_realtime.server.browser_phone.access import PageAccess, TokenRefusal, find_refusal
from twilio_realtime_core.transport.http import HttpRequest

PAGE = "http://127.0.0.1:5050"


def request(method: str = "POST", host: str = "127.0.0.1:5050", **headers: str) -> HttpRequest:
    named = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(method, "/browser-phone/call", tuple(named.items()))


def upgrade(**headers: str) -> HttpRequest:
    return request("GET", upgrade="websocket", **headers)


def status(incoming: HttpRequest, *, scheme: str = "http", is_exposed: bool = False) -> int:
    refusal = find_refusal(incoming, scheme, is_exposed=is_exposed)
    return 200 if refusal is None else refusal.status


def test_a_token_gives_the_session_once() -> None:
    access = PageAccess(Random(1).randbytes)
    session = access.exchange(access.token)
    assert access.is_session(session)
    assert access.exchange(access.token) is TokenRefusal.USED


@pytest.mark.parametrize("token", ["", "x", None, 7, "ä", "\udc80", 32 * "A"])
def test_another_token_gives_no_session(token: object) -> None:
    access = PageAccess(Random(1).randbytes)
    assert access.exchange(token) is TokenRefusal.UNKNOWN
    assert not access.is_session(token)
    assert isinstance(access.exchange(access.token), str)


def test_tokens_and_sessions_differ_and_are_long() -> None:
    random = Random(1)
    made = [PageAccess(random.randbytes) for _ in range(2)]
    secrets = {each.token for each in made} | {str(each.exchange(each.token)) for each in made}
    assert {len(each) for each in secrets} == {32}
    assert len(secrets) == 4


def test_a_session_that_is_given_stays_valid() -> None:
    access = PageAccess(Random(1).randbytes, "kept")
    assert access.is_session("kept")
    assert access.exchange(access.token) == "kept"


def test_secrets_are_not_in_the_representation() -> None:
    access = PageAccess(Random(1).randbytes)
    assert access.token not in repr(access)


@pytest.mark.parametrize("host", ["127.0.0.1:5050", "localhost:5050", "[::1]:5050", "localhost"])
def test_requests_of_the_page_at_a_loopback_host_are_allowed(host: str) -> None:
    assert status(request(host=host, origin=f"http://{host}")) == 200
    assert status(request("GET", host=host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5050",
        "192.168.1.5:5050",
        "server",
        "",
        "127.0.0.1.x.y",
        "127.0.0.1:é",
        "127.0.0.1:1; script-src *",
        "127.0.0.1:x",
        "a@127.0.0.1",
    ],
)
def test_another_host_is_refused_even_if_it_resolves_here(host: str) -> None:
    assert status(request(host=host, origin=f"http://{host}")) == 403
    assert status(request("GET", host=host)) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:5051",
        "https://127.0.0.1:5050",
        "http://localhost:5050",
        f"{PAGE}.evil.example",
    ],
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    assert status(request(origin=origin)) == 403
    assert status(upgrade(origin=origin)) == 403


def test_what_changes_something_needs_an_origin() -> None:
    assert status(request()) == 403
    assert status(upgrade()) == 403
    assert status(upgrade(origin=PAGE)) == 200


def test_the_origin_has_the_scheme_of_the_server() -> None:
    assert status(request(origin="https://127.0.0.1:5050"), scheme="https") == 200
    assert status(request(origin=PAGE), scheme="https") == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_files_are_not_for_other_pages_but_links_lead_here(site: str) -> None:
    incoming = request("GET", sec_fetch_site=site)
    assert status(incoming) == 403
    assert find_refusal(incoming, "http", is_exposed=False, is_navigation=True) is None


def test_requests_through_a_tunnel_are_refused() -> None:
    assert status(request(origin=PAGE, x_forwarded_for="203.0.113.7")) == 403
    assert status(request(origin=PAGE, x_forwarded_host="calls.example")) == 403
    assert status(request("GET", forwarded="for=203.0.113.7")) == 403


def test_connections_from_other_machines_are_refused() -> None:
    assert status(request(origin=PAGE), is_exposed=True) == 403
    assert status(request("GET"), is_exposed=True) == 403
