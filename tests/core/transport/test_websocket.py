from collections.abc import Callable, Iterable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import Refusal
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.transport.frames import (
    CLOSE,
    MAX_OTHER_FRAMES,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
)
from twilio_realtime_core.transport.handshake import (
    MAX_REFUSAL_BYTES,
    HttpRequest,
    encode_upgrade_response,
)
from twilio_realtime_core.transport.websocket import (
    Link,
    LinkClosed,
    LinkConfig,
    LinkEvent,
    LinkFault,
    LinkOpened,
    LinkPong,
    LinkRefused,
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


FROM_FUNCTION = LinkConfig(max_message_bytes=1, headers=dict)


@pytest.mark.parametrize("returned", [{"A": "b"}, (("A", "b"),), [("A", "b")]])
def test_headers_of_a_function_are_sent(returned: object) -> None:
    link = new_client(FROM_FUNCTION)
    assert link.headers_resolved(returned) == []
    assert b"\r\nA: b\r\n" in written(link.connected(0))
    assert "headers" not in repr(FROM_FUNCTION)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "not pairs of text"),
        ("A: b", "not pairs of text"),
        ([("A", b"secret")], "not pairs of text"),
        ([["A", "secret"]], "not pairs of text"),
        ([("A", "secret", "c")], "not pairs of text"),
        ({"A": "secret\n"}, "the header 'A' has a name or a value that HTTP does not allow"),
        ({"Host": "secret"}, "the header 'Host' is set by the handshake"),
    ],
)
def test_bad_headers_of_a_function_close_the_link(returned: object, words: str) -> None:
    link = new_client(FROM_FUNCTION)
    fault, closed = link.headers_resolved(returned)
    assert isinstance(fault, LinkFault)
    assert fault.kind is FaultKind.REFUSED
    assert fault.message.startswith("could not be reached: ")
    assert words in fault.message
    assert "secret" not in fault.message
    assert isinstance(closed, LinkClosed)
    assert closed.code == 1006
    assert "secret" not in closed.reason
    assert link.headers_resolved({}) == []


def test_headers_of_a_function_that_are_late_close_the_link() -> None:
    link = new_client(FROM_FUNCTION)
    assert link.deadline is not None
    message = "the function of the headers has not returned in time"
    assert link.handle_timeout(link.deadline) == [
        LinkFault(FaultKind.TIMED_OUT, message),
        LinkClosed(1006, ""),
    ]


def test_headers_are_resolved_once_and_before_the_link_is_connected() -> None:
    link = new_client(FROM_FUNCTION)
    with pytest.raises(LocalProtocolError, match="the headers are missing"):
        link.connected(0)
    link.headers_resolved({})
    for wrong in (link, new_client(), Link.server(REQUEST, CONFIG)):
        with pytest.raises(LocalProtocolError, match="no headers are missing"):
            wrong.headers_resolved({})


def test_an_invalid_config_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match="headers must be a tuple of pairs"):
        LinkConfig(max_message_bytes=1, headers=[("A", "b")])  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="max_message_bytes"):
        LinkConfig(max_message_bytes=0)
    with pytest.raises(LocalProtocolError, match="ping_interval_ms must be 100 to 2147483647 ms"):
        LinkConfig(max_message_bytes=1, ping_interval_ms=0)
    with pytest.raises(LocalProtocolError, match="set by the handshake"):
        LinkConfig(max_message_bytes=1, headers=(("Host", "x"),))


def test_a_refusal_is_a_fault_with_its_status() -> None:
    link = new_client()
    link.connected(0)
    fault, closed = link.receive_bytes(b"HTTP/1.1 401 Unauthorized\r\nA: b\r\n\r\nbody", 0)
    assert isinstance(fault, LinkFault)
    assert (fault.kind, fault.code) == (FaultKind.REFUSED, "401")
    assert closed == LinkRefused(Refusal(401, None, None, fault.message))
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


def test_messages_keep_a_link_alive_without_pongs() -> None:
    link, ping = open_server(), encode_frame(PING, b"keepalive", None)
    pings = 0
    for second in range(1, 121):
        assert take(link, (TEXT, b"{}"), now=second * SECOND) == ["{}"]
        if link.deadline == second * SECOND:
            assert link.handle_timeout(second * SECOND) == [ping]
            pings += 1
        assert link.deadline is not None
        assert link.deadline > second * SECOND
    assert pings == 6
    assert link.handle_timeout(139 * SECOND) == []
    fault, closed = link.handle_timeout(140 * SECOND)
    assert isinstance(fault, LinkFault)
    assert closed == LOST


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
        events: list[LinkEvent] = [*link.connected(0)]
        for start, stop in zip([0, *marks], [*marks, end], strict=True):
            events += link.receive_bytes(SESSION[start:stop], 0)
        ends = link.receive_eof() + link.receive_eof() + link.handle_timeout(99 * SECOND)
        return [*events, *ends]

    events = run(sorted(min(place, end) for place in places))
    assert events == run([])
    assert [type(event) for event in events].count(LinkClosed) == 1
    assert isinstance(events[-1], LinkClosed)
    assert events[-1].code == (1000 if end == len(SESSION) else 1006)


# What a server says when it refuses.

REFUSED_HEAD = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
ERROR = (
    b'{"error": {"message": "You exceeded sk-1", "type": "quota", "code": "insufficient_quota"}}'
)


def sized(body: bytes) -> bytes:
    return REFUSED_HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(body: bytes) -> bytes:
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    return REFUSED_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (sized(ERROR), "insufficient_quota"),
        (chunked(ERROR), "insufficient_quota"),
        (sized(ERROR.replace(b'"insufficient_quota"', b"null")), "quota"),
        (sized(b'{"error": {"code": "sk-secret-1"}}'), "[hidden]"),
        (sized(b'{"error": {"code": ""}}'), "429"),
        (sized(b'{"error": "no"}'), "429"),
        (sized(b"no JSON"), "429"),
        (sized(b'{"error":' * 1500), "429"),
        (sized(b""), "429"),
        (sized(b" " * (MAX_REFUSAL_BYTES - len(ERROR)) + ERROR), "insufficient_quota"),
        (sized(b" " * (MAX_REFUSAL_BYTES - len(ERROR) + 1) + ERROR), "429"),
        (REFUSED_HEAD + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n", "429"),
        (REFUSED_HEAD.replace(b"json", b"other") + b"\r\n" + ERROR, "429"),
    ],
)
def test_a_refusal_has_the_code_of_its_error_however_it_is_cut(response: bytes, code: str) -> None:
    for size in (len(response), len(REFUSED_HEAD), 997):
        link = new_client()
        link.connected(0)
        events: list[LinkEvent] = []
        for start in range(0, len(response), size):
            events += link.receive_bytes(response[start : start + size], 0)
        suffix = "" if code == "429" else f": {code}"
        message = f"the handshake was answered with HTTP status 429{suffix}"
        refusal = Refusal(429, None, None if code == "429" else code, message)
        assert events == [LinkFault(FaultKind.REFUSED, message, code), LinkRefused(refusal)]


ENDS: Final[list[Callable[[Link], Iterable[LinkEvent]]]] = [
    Link.receive_eof,
    lambda link: link.handle_timeout(10 * SECOND),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("body", "code"), [(ERROR, "insufficient_quota"), (ERROR[:20], "429")])
def test_a_refusal_without_an_end_has_what_was_received(
    end: Callable[[Link], Iterable[LinkEvent]], body: bytes, code: str
) -> None:
    link = new_client()
    link.connected(0)
    assert list(link.receive_bytes(REFUSED_HEAD + b"\r\n" + body, 0)) == []
    fault, closed = end(link)
    assert isinstance(fault, LinkFault)
    assert (fault.kind, fault.code) == (FaultKind.REFUSED, code)
    assert isinstance(closed, LinkRefused)
    assert closed.refusal.error_code == (None if code == "429" else code)


# Frames that cost more than their bytes.


def flood(link: Link, frame: tuple[int, bytes], count: int, now: int = 0) -> list[LinkEvent]:
    return take(link, *[frame] * count, now=now)


@pytest.mark.parametrize("frame", [(PING, b""), (PONG, b""), (TEXT, b"{}"), (0x01, b"x")])
def test_small_frames_are_limited(frame: tuple[int, bytes]) -> None:
    link = open_server()
    following = (0x00, b"x") if frame[0] == 0x01 else frame
    events = take(link, frame) + flood(link, following, MAX_OTHER_FRAMES)
    fault, closed = events[-2:]
    assert isinstance(fault, LinkFault)
    assert fault.kind is FaultKind.TOO_MANY
    assert closed == LOST
    assert written(events)[-60:].find((1008).to_bytes(2, "big")) >= 0


def test_a_hundred_small_frames_a_second_are_accepted() -> None:
    link = open_server()
    flood(link, (PING, b""), MAX_OTHER_FRAMES, now=SECOND)
    for second in range(2, 30):
        assert len(flood(link, (PING, b""), 100, now=second * SECOND)) == 100
    assert any(isinstance(each, LinkFault) for each in flood(link, (PING, b""), 1, now=29 * SECOND))


@given(st.lists(st.integers(0, 7000), max_size=5))
def test_the_limit_of_small_frames_does_not_depend_on_cuts(cuts: list[int]) -> None:
    data = b"".join(encode_frame(TEXT, b"a", b"mask") for _ in range(MAX_OTHER_FRAMES + 5))

    def run(marks: list[int]) -> list[LinkEvent]:
        link = open_server()
        events: list[LinkEvent] = []
        for start, stop in zip([0, *marks], [*marks, len(data)], strict=True):
            events += link.receive_bytes(data[start:stop], SECOND)
        return events

    assert run(sorted(cuts)) == run([])
