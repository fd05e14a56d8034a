from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import FaultKind, LocalProtocolError
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.transport.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
)
from twilio_realtime_core.transport.handshake import HttpRequest, encode_upgrade_response
from twilio_realtime_core.transport.websocket import (
    Link,
    LinkClosed,
    LinkConfig,
    LinkEvent,
    LinkFault,
    LinkOpened,
    LinkPong,
)

CONFIG = LinkConfig(max_message_bytes=1000)
KEY = "AQEBAQEBAQEBAQEBAQEBAQ=="  # of `ones`
REQUEST = HttpRequest(
    "GET",
    "/",
    (
        ("host", "h"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ),
)
LOST = LinkClosed(1006, "")


def ones(size: int) -> bytes:
    return b"\x01" * size


def new_client(config: LinkConfig = CONFIG) -> Link:
    return Link.client("ws://h/", config, 0, ones)


def open_client(config: LinkConfig = CONFIG) -> Link:
    link = new_client(config)
    link.connected(0)
    assert list(link.receive_bytes(encode_upgrade_response(REQUEST), 0)) == [LinkOpened()]
    return link


def open_server(config: LinkConfig = CONFIG) -> Link:
    link = Link.server(REQUEST, config)
    assert link.connected(0) == [encode_upgrade_response(REQUEST), LinkOpened()]
    return link


def take(link: Link, *frames: tuple[int, bytes], now: int = 0) -> list[LinkEvent]:
    """What a server makes of frames from a client."""
    data = b"".join(encode_frame(first, payload, b"mask") for first, payload in frames)
    return list(link.receive_bytes(data, now))


def written(events: Iterable[LinkEvent]) -> bytes:
    return b"".join(event for event in events if isinstance(event, bytes))


def closing(code: int, reason: str = "") -> bytes:
    """The close frame of a server."""
    return encode_frame(CLOSE, encode_close(code, reason), None)


def test_client_and_server_open_and_talk() -> None:
    client, server = new_client(), Link.server(REQUEST, CONFIG)
    [request] = client.connected(0)
    assert f"Sec-WebSocket-Key: {KEY}".encode() in written([request])
    [response, opened] = server.connected(0)
    assert opened == LinkOpened()
    assert list(client.receive_bytes(written([response]), 0)) == [LinkOpened()]
    assert list(server.receive_bytes(client.send_text("to the server"), 0)) == ["to the server"]
    assert list(client.receive_bytes(server.send_text("é" * 300), 0)) == ["é" * 300]


def test_frames_right_behind_the_response_are_taken() -> None:
    link = new_client()
    link.connected(0)
    early = encode_upgrade_response(REQUEST) + encode_frame(TEXT, b"early", None)
    assert list(link.receive_bytes(early, 0)) == [LinkOpened(), "early"]


def test_only_a_client_masks_with_the_given_bytes() -> None:
    assert open_client().send_text("a") == b"\x81\x81\x01\x01\x01\x01\x60"
    assert open_server().send_text("a") == b"\x81\x01a"


def test_headers_of_the_config_are_sent_and_not_shown() -> None:
    config = LinkConfig(max_message_bytes=1, headers=(("Authorization", "Bearer secret"),))
    assert b"Authorization: Bearer secret" in written(new_client(config).connected(0))
    assert "secret" not in repr(config)
    assert "secret" not in repr(new_client(config))


def test_an_invalid_config_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match="max_message_bytes"):
        LinkConfig(max_message_bytes=0)
    with pytest.raises(LocalProtocolError, match="ping_interval_ms must be more than 0"):
        LinkConfig(max_message_bytes=1, ping_interval_ms=0)
    with pytest.raises(LocalProtocolError, match="set by the handshake"):
        LinkConfig(max_message_bytes=1, headers=(("Host", "x"),))


def test_a_refusal_is_a_fault_with_its_status() -> None:
    link = new_client()
    link.connected(0)
    fault, closed = link.receive_bytes(b"HTTP/1.1 401 Unauthorized\r\nA: b\r\n\r\nbody", 0)
    assert isinstance(fault, LinkFault)
    assert (fault.kind, fault.code) == (FaultKind.REFUSED, "401")
    assert closed == LOST
    assert list(link.receive_bytes(b"more of the body", 0)) == []
    assert link.deadline is None


@pytest.mark.parametrize("value", [b"\xe9", b"\xff\xfe\xfd"])
@pytest.mark.parametrize("name", [b"Connection", b"Sec-WebSocket-Protocol", b"Upgrade"])
def test_a_response_with_non_ascii_headers_is_a_fault(name: bytes, value: bytes) -> None:
    link = new_client()
    link.connected(0)
    response = encode_upgrade_response(REQUEST).replace(
        b"\r\n\r\n", b"\r\n" + name + b": " + value + b"\r\n\r\n"
    )
    events = list(link.receive_bytes(response.replace(b"Upgrade: websocket\r\n", b""), 0))
    assert isinstance(events[0], LinkFault)
    assert events[0].kind is FaultKind.BROKEN_PROTOCOL


def test_accepting_an_invalid_request_is_misuse() -> None:
    with pytest.raises(LocalProtocolError):
        Link.server(HttpRequest("GET", "/", ()), CONFIG)


def test_no_url_is_misuse_of_a_client() -> None:
    with pytest.raises(LocalProtocolError):
        Link.client("https://h/", CONFIG, 0, ones)


def test_a_stream_that_could_not_be_connected_ends_the_link() -> None:
    link = new_client()
    [fault, closed] = link.connect_failed("no route")
    assert fault == LinkFault(FaultKind.REFUSED, "could not be reached: no route")
    assert closed == LinkClosed(1006, "no route")
    assert link.connect_failed("again") == []
    assert link.connected(0) == []


def test_a_link_that_is_not_open_yet_sends_nothing() -> None:
    link = new_client()
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="not open"):
            link.send_text("a")
        with pytest.raises(LocalProtocolError, match="not open"):
            link.send_ping(b"a")
        link.connected(0) if link.is_connecting else None


def test_a_link_is_connected_once_and_before_bytes_come() -> None:
    link = new_client()
    with pytest.raises(LocalProtocolError, match="before"):
        list(link.receive_bytes(b"HTTP", 0))
    link.connected(0)
    with pytest.raises(LocalProtocolError, match="already"):
        link.connected(0)


def test_text_that_utf8_cannot_hold_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match="surrogate"):
        open_client().send_text("\ud800")


def test_a_ping_of_the_peer_is_answered_with_its_payload() -> None:
    assert take(open_server(), (PING, b"x")) == [encode_frame(PONG, b"x", None)]


def test_a_flood_of_pings_leaves_nothing_behind_but_its_pongs() -> None:
    events = take(open_server(), *[(PING, b"x" * 125)] * 1000)
    assert events == [encode_frame(PONG, b"x" * 125, None)] * 1000


def test_pongs_of_the_machine_s_pings_are_reported() -> None:
    link = open_server()
    assert link.send_ping(b"probe") == encode_frame(PING, b"probe", None)
    assert take(link, (PONG, b"probe")) == [LinkPong(b"probe")]


@pytest.mark.parametrize("payload", [b"x" * 126, b"keepalive"])
def test_a_ping_too_long_or_like_keepalive_is_misuse(payload: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="ping"):
        open_server().send_ping(payload)


def test_keepalive_pings_are_not_reported() -> None:
    link = open_server()
    assert link.deadline == 20 * SECOND
    assert link.handle_timeout(20 * SECOND - 1) == []
    assert link.handle_timeout(20 * SECOND) == [encode_frame(PING, b"keepalive", None)]
    assert link.deadline == 40 * SECOND
    assert take(link, (PONG, b"keepalive"), now=21 * SECOND) == []
    assert link.deadline == 41 * SECOND


def test_other_pongs_do_not_keep_a_link_alive() -> None:
    link = open_server()
    link.handle_timeout(20 * SECOND)
    take(link, (PONG, b"other"), now=21 * SECOND)
    [fault, closed] = link.handle_timeout(40 * SECOND)
    assert isinstance(fault, LinkFault)
    assert fault.kind is FaultKind.TIMED_OUT
    assert closed == LOST
    assert link.deadline is None


def test_a_link_without_keepalive_has_no_deadline() -> None:
    link = open_server(LinkConfig(max_message_bytes=1, ping_interval_ms=None))
    assert link.deadline is None
    assert take(link, (PONG, b"keepalive")) == []


@pytest.mark.parametrize("answer", [b"", encode_upgrade_response(REQUEST)[:-1]])
def test_half_a_handshake_and_then_silence_times_out(answer: bytes) -> None:
    link = new_client()
    link.connected(SECOND)
    assert list(link.receive_bytes(answer, SECOND)) == []
    assert link.deadline == 10 * SECOND
    [fault, closed] = link.handle_timeout(10 * SECOND)
    assert isinstance(fault, LinkFault)
    assert (fault.kind, closed) == (FaultKind.TIMED_OUT, LOST)


def test_the_time_for_the_handshake_holds_for_connecting_too() -> None:
    link = new_client()
    assert link.handle_timeout(10 * SECOND)[-1] == LOST
    assert link.connected(11 * SECOND) == []


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "bye"), (1001, ""), (3000, "é" * 60), (4999, "")]
)
def test_a_close_of_the_peer_is_answered_and_reported(code: int, reason: str) -> None:
    link = open_server()
    events = take(link, (CLOSE, encode_close(code, reason)))
    assert events == [closing(code), LinkClosed(code, reason)]
    assert link.is_closed
    assert take(link, (TEXT, b"late")) == []
    assert link.receive_eof() == []
    assert link.deadline is None


def test_a_close_without_a_code_is_answered_without_one() -> None:
    assert take(open_server(), (CLOSE, b"")) == [
        encode_frame(CLOSE, b"", None),
        LinkClosed(1005, ""),
    ]


def test_closing_awaits_the_answer_without_further_messages() -> None:
    link = open_server()
    assert link.close(1000, "done", 5) == [closing(1000, "done")]
    assert link.deadline == 5 + 2 * SECOND
    late = (
        (TEXT, b"x"),
        (TEXT, b"x" * 200),
        (0x02, b"x"),
        (0x80, b"y"),
        (PING, b"x"),
        (PONG, b"x"),
    )
    assert take(link, *late) == []
    assert link.send_text("late") == b""
    assert link.send_ping(b"late") == b""
    assert link.close(1000, "again", 6) == []
    assert take(link, (CLOSE, encode_close(1000, "done"))) == [LinkClosed(1000, "done")]
    assert link.close(1000, "again", 7) == []


def test_received_messages_are_dropped_once_the_link_closes() -> None:
    link = open_server()
    seen: list[LinkEvent] = []
    data = b"".join(encode_frame(TEXT, text, b"mask") for text in (b"1", b"2", b"3" * 200))
    for event in link.receive_bytes(data, 0):
        seen.append(event)
        link.close(1000, "", 0)
    assert seen == ["1"]


def test_both_sides_may_close_at_once() -> None:
    client, server = open_client(), open_server()
    from_client, from_server = client.close(1000, "c", 0), server.close(1001, "s", 0)
    assert list(client.receive_bytes(written(from_server), 0)) == [LinkClosed(1001, "s")]
    assert list(server.receive_bytes(written(from_client), 0)) == [LinkClosed(1000, "c")]


def test_a_close_that_is_not_answered_times_out() -> None:
    link = open_server()
    link.close(1000, "", 0)
    [fault, closed] = link.handle_timeout(2 * SECOND)
    assert isinstance(fault, LinkFault)
    assert (fault.kind, closed) == (FaultKind.TIMED_OUT, LOST)


def test_a_link_closed_before_it_is_open_ends() -> None:
    link = new_client()
    assert link.close(1000, "", 0) == [LOST]
    link = new_client()
    link.connected(0)
    assert link.close(1000, "", 0) == [LOST]
    assert list(link.receive_bytes(encode_upgrade_response(REQUEST), 0)) == []


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_code_that_may_not_be_sent_is_misuse(code: int) -> None:
    link = open_server()
    with pytest.raises(LocalProtocolError, match=str(code)):
        link.close(code, "", 0)
    assert link.send_text("still open")


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"\x81\x01a", FaultKind.BROKEN_PROTOCOL, 1002),
        (b"\xff" * 20, FaultKind.BROKEN_PROTOCOL, 1002),
        (encode_frame(CLOSE, b"\x00\x01", b"mask"), FaultKind.BROKEN_PROTOCOL, 1002),
        (encode_frame(CLOSE, b"\x03\xe8\xff", b"mask"), FaultKind.BROKEN_PROTOCOL, 1007),
        (encode_frame(TEXT, b"\xff" * 200, b"mask"), FaultKind.BROKEN_PROTOCOL, 1007),
        (encode_frame(TEXT, b"x" * 1001, b"mask"), FaultKind.TOO_LARGE, 1009),
    ],
)
def test_a_fault_in_the_frames_fails_the_link(data: bytes, kind: FaultKind, code: int) -> None:
    link = open_server()
    parting, fault, closed = link.receive_bytes(data, 0)
    assert isinstance(fault, LinkFault)
    assert (fault.kind, closed) == (kind, LOST)
    assert isinstance(parting, bytes)
    assert parting[2:4] == code.to_bytes(2, "big")
    assert link.is_closed
    assert take(link, (TEXT, b"after it")) == []
    assert link.send_text("after it") == b""


def test_a_fault_while_closing_sends_no_second_close_frame() -> None:
    link = open_server()
    link.close(1000, "", 0)
    fault, closed = link.receive_bytes(b"\xff" * 20, 0)
    assert isinstance(fault, LinkFault)
    assert closed == LOST


def test_a_binary_message_is_left_out() -> None:
    fault, text = take(open_server(), (0x82, b"\x00"), (TEXT, b"text"))
    assert isinstance(fault, LinkFault)
    assert (fault.kind, text) == (FaultKind.BINARY_MESSAGE, "text")


def test_a_stream_that_ends_during_the_handshake_is_a_refusal() -> None:
    link = new_client()
    link.connected(0)
    [fault, closed] = link.receive_eof()
    assert isinstance(fault, LinkFault)
    assert (fault.kind, closed) == (FaultKind.REFUSED, LOST)
    assert link.receive_eof() == []


def test_a_stream_that_ends_while_closing_is_lost() -> None:
    link = open_server()
    link.close(1000, "", 0)
    assert link.receive_eof() == [LOST]


SESSION = (
    encode_upgrade_response(REQUEST)
    + encode_frame(TEXT, b"short", None)
    + encode_frame(TEXT, b"x" * 300, None)
    + encode_frame(0x01, b"frag", None)
    + encode_frame(PING, b"p", None)
    + encode_frame(0x80, b"ments", None)
    + closing(1000, "bye")
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SESSION)), st.lists(st.integers(0, len(SESSION)), max_size=4))
def test_a_stream_cut_at_any_byte_closes_the_link_once(end: int, places: list[int]) -> None:
    def run(marks: list[int]) -> list[LinkEvent]:
        link = new_client()
        events = link.connected(0)
        for start, stop in zip([0, *marks], [*marks, end], strict=True):
            events += link.receive_bytes(SESSION[start:stop], 0)
        return events + link.receive_eof() + link.receive_eof() + link.handle_timeout(99 * SECOND)

    events = run(sorted(min(place, end) for place in places))
    assert events == run([])
    assert [type(event) for event in events].count(LinkClosed) == 1
    assert isinstance(events[-1], LinkClosed)
    assert events[-1].code == (1000 if end == len(SESSION) else 1006)
