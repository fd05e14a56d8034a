"""TLS in memory: two machines, each under its own `Tls`, and the ciphertext between them."""

import ssl
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from itertools import cycle
from typing import TypeAlias

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from certificates import self_signed, serving, trusting
from twilio_realtime.runtime.tls import HANDSHAKE_TIMEOUT_NS, Tls
from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Connect,
    Notify,
    SendBytes,
    Shutdown,
)

HOST = "model.example"
DIALLED, ACCEPTED = "dialled", "accepted"  # what each machine calls the other
NOW = 1_000

Answers: TypeAlias = dict[str, list[ByteAction]]
"""What a machine asks for, by the method that was called."""


@define(eq=False)
class Probe:
    """A machine that keeps what it is told, and asks for what it was told to ask for."""

    answers: Answers = field(factory=dict[str, list[ByteAction]])
    deadline: int | None = None
    told: list[tuple[object, ...]] = field(factory=list[tuple[object, ...]], init=False)
    received: bytes = field(default=b"", init=False)

    def start(self, now: int) -> list[ByteAction]:
        return self._hear("start", now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        return self._hear("connected", now, peer)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        return self._hear("connect_failed", now, peer, reason)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        assert ("connected", peer) in self.told
        self.received += data
        return self._hear("receive_bytes", now, peer)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        return self._hear("receive_eof", now, peer)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        assert now >= NOW
        return self.answers.get("handle_timeout", [])

    def _hear(self, method: str, now: int, *arguments: object) -> list[ByteAction]:
        assert now >= NOW
        if method != "receive_bytes" or self.told[-1][0] != method:  # however many pieces come
            self.told.append((method, *arguments))
        return self.answers.get(method, [])


class Performer(Probe):
    """One that carries out what others asked for."""

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        return [
            *self._hear("perform", now),
            *(each for each in actions if isinstance(each, Notify)),
        ]


@define(eq=False)
class Side:
    """One machine under `Tls`, and what has come out for the driver."""

    probe: Probe
    tls: Tls
    peer: str
    sent: bytes = field(default=b"", init=False)
    """What the far side has not got yet."""
    faults: list[Fault] = field(factory=list[Fault], init=False)
    shut: bool = field(default=False, init=False)

    def begin(self) -> None:
        self.do(self.tls.start(NOW))
        self.do(self.tls.connected(self.peer, NOW))

    def get(self, data: bytes) -> None:
        self.do(self.tls.receive_bytes(self.peer, data, NOW))

    def get_eof(self) -> None:
        self.do(self.tls.receive_eof(self.peer, NOW))

    def ask(self, *actions: ByteAction) -> None:
        """Let the machine ask for something."""
        self.probe.answers["handle_timeout"] = list(actions)
        self.do(self.tls.handle_timeout(NOW))

    def write(self, data: bytes) -> None:
        self.ask(SendBytes(self.peer, data))

    def shut_down(self) -> None:
        self.ask(Shutdown(self.peer))

    def take(self) -> bytes:
        taken, self.sent = self.sent, b""
        return taken

    def do(self, actions: list[ByteAction]) -> None:
        for action in actions:
            match action:
                case SendBytes(peer, data):
                    assert (peer, self.shut) == (self.peer, False)
                    self.sent += data
                case Shutdown(peer):
                    assert (peer, self.shut) == (self.peer, False)
                    self.shut = True
                case Notify(event):
                    assert isinstance(event, Fault)
                    self.faults.append(event)
                case Connect(tls=tls):
                    assert not tls

    @property
    def heard(self) -> list[object]:
        """What the machine was told after its start."""
        return [method for method, *_ in self.probe.told[1:]]


def dialling(
    then: Answers | None = None, *, host: str = HOST, context: ssl.SSLContext | None = None
) -> Side:
    """The side that dials `host`, with what its machine asks for later."""
    probe = Performer({"start": [Connect(DIALLED, host, 443, tls=True)], **(then or {})})
    return Side(probe, Tls(probe, client=context or trusting()), DIALLED)


def accepting(then: Answers | None = None, *, context: ssl.SSLContext | None = None) -> Side:
    """The side that accepts, with what its machine asks for."""
    probe = Probe(then or {})
    return Side(probe, Tls(probe, server={ACCEPTED: context or serving(HOST)}), ACCEPTED)


def exchange(client: Side, server: Side, cuts: Iterable[int] = (1 << 20,)) -> None:
    """Carry what both have sent, in pieces of these lengths in turn, until nothing is left."""
    lengths = cycle(cuts)
    while client.sent or server.sent:
        for near, far in ((client, server), (server, client)):
            data = near.take()
            while data:
                length = next(lengths)
                far.get(data[:length])
                data = data[length:]


def joined(then: Answers | None = None) -> tuple[Side, Side]:
    """Both sides, with the handshake done, and what the dialling machine asks for later."""
    client, server = dialling(then), accepting()
    client.begin()
    server.begin()
    exchange(client, server)
    assert client.heard == server.heard == ["connected"]
    return client, server


# What works


sizes = st.one_of(st.integers(0, 2_000), st.integers(16_000, 20_000))  # records hold 16 KiB
pattern = bytes(range(251)) * 80
pieces = st.lists(sizes.map(lambda size: pattern[:size]), max_size=2)
lengths = st.lists(st.integers(1, 3_000), min_size=1, max_size=6)


@settings(max_examples=20)
@given(requests=pieces, answers=pieces, cuts=lengths)
def test_what_one_machine_writes_the_other_reads_however_the_bytes_are_cut(
    requests: list[bytes], answers: list[bytes], cuts: list[int]
) -> None:
    client = dialling({"connected": [SendBytes(DIALLED, b"hello")]})
    server = accepting({"connected": [SendBytes(ACCEPTED, b"welcome")]})
    client.begin()
    server.begin()
    exchange(client, server, cuts)
    for near, data in ((client, requests), (server, answers)):
        for piece in data:
            near.write(piece)
    exchange(client, server, cuts)
    client.shut_down()
    exchange(client, server, cuts)
    assert server.probe.received == b"hello" + b"".join(requests)
    assert client.probe.received == b"welcome" + b"".join(answers)
    assert client.heard == ["connected", "receive_bytes"]
    assert server.heard == ["connected", "receive_bytes", "receive_eof"]
    assert client.faults == server.faults == []


def test_a_machine_is_told_connected_when_the_handshake_is_complete_and_not_before() -> None:
    client, server = dialling(), accepting()
    client.begin()
    server.begin()
    server.get(client.take())
    assert client.heard == server.heard == []
    client.get(server.take())
    assert (client.heard, server.heard) == (["connected"], [])
    server.get(client.take())
    assert server.heard == ["connected"]


def test_what_comes_with_the_end_of_the_handshake_is_read_at_once() -> None:
    client, server = dialling({"connected": [SendBytes(DIALLED, b"hello")]}), accepting()
    client.begin()
    server.begin()
    exchange(client, server)
    assert server.probe.received == b"hello"


def test_what_is_written_is_not_to_be_seen() -> None:
    client, _ = joined()
    client.write(b"secret" * 100)
    assert b"secret" not in client.sent
    assert len(client.sent) > 600


def test_a_megabyte_passes_in_one_step() -> None:
    client, server = joined()
    data = bytes(range(256)) * 4096
    server.write(data)
    exchange(client, server)
    assert client.probe.received == data


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "b\u00fccher.example"])
def test_a_certificate_may_be_for_an_address_or_an_international_name(host: str) -> None:
    client, server = dialling(host=host), accepting(context=serving(host))
    client.begin()
    server.begin()
    exchange(client, server)
    assert client.heard == ["connected"]


def test_without_a_context_of_ones_own_the_authorities_of_the_system_count() -> None:
    probe = Probe({"start": [Connect(DIALLED, HOST, 443, tls=True)]})
    client, server = Side(probe, Tls(probe), DIALLED), accepting()
    client.begin()
    server.begin()
    exchange(client, server)
    assert client.heard == ["connect_failed"]


def test_tls_1_2_is_spoken_too_and_never_renegotiates() -> None:
    context = serving("old.example")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = dialling(host="old.example"), accepting(context=context)
    client.begin()
    server.begin()
    exchange(client, server)
    client.write(b"hello")
    exchange(client, server)
    assert server.probe.received == b"hello"
    assert context.options & trusting().options & ssl.OP_NO_RENEGOTIATION


# What passes through


def test_peers_without_tls_pass_through_unchanged() -> None:
    dial = Connect("model", "127.0.0.1", 80, tls=False)
    probe = Probe(
        {
            "start": [dial],
            "connected": [SendBytes("model", b"hello"), Notify("up")],
            "receive_bytes": [SendBytes("model", b"again")],
            "receive_eof": [Shutdown("model")],
        },
        deadline=NOW + 5,
    )
    tls = Tls(probe, server={ACCEPTED: serving(HOST)})
    assert tls.start(NOW) == [dial]
    assert tls.connected("model", NOW) == [SendBytes("model", b"hello"), Notify("up")]
    assert tls.receive_bytes("model", b"plain", NOW) == [SendBytes("model", b"again")]
    assert probe.received == b"plain"
    assert tls.deadline == NOW + 5
    assert tls.receive_eof("model", NOW) == [Shutdown("model")]


def test_a_stream_that_could_not_be_opened_is_told_to_the_machine_in_the_drivers_words() -> None:
    client = dialling({"connect_failed": [Shutdown(DIALLED)]})
    client.do(client.tls.start(NOW))
    assert client.tls.connect_failed(DIALLED, "no route", NOW) == [Shutdown(DIALLED)]
    assert client.probe.told[-1] == ("connect_failed", DIALLED, "no route")


def test_what_the_application_asked_for_is_performed_under_tls() -> None:
    client, server = joined({"perform": [SendBytes(DIALLED, b"command")]})
    client.do(client.tls.perform([], NOW))
    exchange(client, server)
    assert server.probe.received == b"command"


def test_a_machine_that_performs_nothing_for_others_is_not_asked_to() -> None:
    _, server = joined()
    with pytest.raises(LocalProtocolError, match="no way to carry out"):
        server.tls.perform([], NOW)


# Certificates


@pytest.mark.parametrize(
    ("context", "host", "objection"),
    [
        (serving(HOST), "other.example", "is for another name"),
        (serving(HOST), "192.0.2.7", "is for another address"),
        (serving(HOST, by="stranger"), HOST, "is not from an authority that is trusted here"),
        (self_signed(), HOST, "is self-signed"),
        (
            serving(HOST, not_after=datetime(2001, 1, 1, tzinfo=UTC)),
            HOST,
            "has expired (or this machine's clock is wrong)",
        ),
        (
            serving(HOST, not_before=datetime(2999, 1, 1, tzinfo=UTC)),
            HOST,
            "is not valid yet (or this machine's clock is wrong)",
        ),
    ],
)
def test_a_certificate_that_is_not_good_for_the_host_is_refused_and_both_sides_hear_of_it(
    context: ssl.SSLContext, host: str, objection: str
) -> None:
    client = dialling({"connect_failed": [Shutdown(DIALLED)]}, host=host)
    server = accepting(context=context)
    client.begin()
    server.begin()
    exchange(client, server)
    reason = f"the TLS handshake with {host} failed: its certificate {objection}"
    assert client.probe.told[1:] == [("connect_failed", DIALLED, reason)]
    assert client.shut
    assert server.heard == []
    assert server.shut
    (fault,) = server.faults
    assert (fault.peer, fault.kind) == (ACCEPTED, FaultKind.BROKEN_PROTOCOL)
    assert "alert" in fault.message


@pytest.mark.parametrize("host", ["a..b", "x" * 64, ".".join(["y" * 60] * 5)])
def test_a_host_that_can_have_no_certificate_cannot_be_connected(host: str) -> None:
    client = dialling({"connect_failed": [Shutdown(DIALLED)]}, host=host)
    client.begin()
    assert client.heard == ["connect_failed"]
    assert client.shut
    assert client.sent == b""


# What is no TLS, or breaks


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x00" * 100, b"\xff"]
)
def test_an_accepted_peer_that_speaks_no_tls_is_a_fault_that_says_so(data: bytes) -> None:
    server = accepting()
    server.begin()
    server.get(data + b"more to make a whole record")
    message = "the TLS handshake failed: what it sends is no TLS"
    assert server.faults == [Fault(ACCEPTED, FaultKind.BROKEN_PROTOCOL, message)]
    assert server.shut
    assert server.heard == []
    assert server.tls.deadline is None


def test_a_dialled_peer_that_speaks_no_tls_could_not_be_connected() -> None:
    client = dialling()
    client.begin()
    for piece in (b"H", b"\x16P/1.1 400 Bad Request\r\n\r\n"):
        client.get(piece)
    (told,) = client.probe.told[1:]
    assert told[2] == f"the TLS handshake with {HOST} failed: what it sends is no TLS"
    assert client.shut


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x28", "sslv3 alert handshake failure"),
        (b"\x15\x03\x03\x00\x02\x01\x00", "it hung up"),  # close_notify
    ],
)
def test_a_dialled_peer_that_refuses_the_handshake_could_not_be_connected(
    alert: bytes, words: str
) -> None:
    client = dialling()
    client.begin()
    for byte in alert:
        client.get(bytes([byte]))
    (told,) = client.probe.told[1:]
    assert told[2] == f"the TLS handshake with {HOST} failed: {words}"
    assert client.shut


def call_until(far: str, count: int) -> tuple[Side, Side, Side, bytes]:
    """A short call in which the side `far` gets only the first `count` bytes: client, server, that
    side, and what it would have got next."""
    client = dialling({"connected": [SendBytes(DIALLED, b"question")]})
    server = accepting({"receive_bytes": [SendBytes(ACCEPTED, b"answer")]})
    client.begin()
    server.begin()
    late = b""
    while client.sent or server.sent:
        for near, other in ((client, server), (server, client)):
            data = near.take()
            if other.peer == far:
                data, late = data[:count], late + data[count:]
                count -= len(data)
            if data:
                other.get(data)
    return client, server, (client if far == DIALLED else server), late


sides = pytest.mark.parametrize("far", [DIALLED, ACCEPTED])
counts = st.integers(0, 4_000)  # more than either side sends


@sides
@settings(max_examples=40)
@given(count=counts)
def test_a_stream_lost_at_any_byte_ends_once(far: str, count: int) -> None:
    client, server, side, _ = call_until(far, count)
    side.get_eof()
    side.get_eof()
    if "connected" in side.heard:
        assert side.heard[-1] == "receive_eof"
    elif far == DIALLED:
        assert side.heard == ["connect_failed"]
        assert side.shut
    else:
        assert side.heard == []
        assert side.shut
        assert len(side.faults) == (count > 0)
    assert side.heard.count("receive_eof") <= 1
    assert client.tls.deadline is None or server.tls.deadline == NOW + HANDSHAKE_TIMEOUT_NS


@sides
@settings(max_examples=60)
@given(count=counts, noise=st.integers(1, 255), cut=st.booleans())
def test_a_byte_spoilt_anywhere_ends_the_stream_and_nothing_false_is_read(
    far: str, count: int, noise: int, *, cut: bool
) -> None:
    client, server, side, late = call_until(far, count)
    spoilt = bytes([late[0] ^ noise]) + late[1:] if late else b"\x17\x03\x03\x00\x01x"
    for piece in [spoilt[:1], spoilt[1:]] if cut else [spoilt]:
        side.get(piece)
    side.get_eof()
    assert b"question".startswith(server.probe.received)
    assert b"answer".startswith(client.probe.received)
    assert side.heard[-1:] in (["receive_eof"], ["connect_failed"], [])
    assert side.shut or side.heard[-1] == "receive_eof"


@given(st.binary(max_size=600))
def test_whatever_comes_first_nothing_is_raised(data: bytes) -> None:
    for side in (dialling(), accepting()):
        side.begin()
        side.get(data)
        side.get_eof()
        assert side.shut
        assert side.heard in (["connect_failed"], [])


def test_a_stream_that_breaks_is_a_fault_and_an_end_after_what_came_before() -> None:
    client, server = joined()
    server.write(b"the last words")
    client.get(server.take() + b"\x17\x03\x03\x00\x20" + b"?" * 32)
    assert client.probe.received == b"the last words"
    assert client.heard == ["connected", "receive_bytes", "receive_eof"]
    (fault,) = client.faults
    assert (fault.peer, fault.kind) == (DIALLED, FaultKind.BROKEN_PROTOCOL)
    assert fault.message.startswith("TLS broke: ")
    exchange(client, server)  # the alert
    assert server.heard == ["connected", "receive_eof"]
    assert len(server.faults) == 1


def test_after_tls_has_broken_nothing_is_written_and_nothing_read() -> None:
    client, server = joined()
    server.write(b"too late")
    client.get(b"\x17\x03\x03\x00\x20" + b"?" * 32)
    client.take()
    client.write(b"hello?")
    client.get(server.take())
    client.shut_down()
    assert client.sent == b""
    assert client.heard == ["connected", "receive_eof"]
    assert client.shut


# How it ends


def test_a_shutdown_says_so_to_the_peer_whose_machine_is_told_of_the_end() -> None:
    client, server = joined()
    client.write(b"goodbye")
    client.shut_down()
    server.get(client.take())
    server.get_eof()
    assert server.probe.received == b"goodbye"
    assert server.heard == ["connected", "receive_bytes", "receive_eof"]
    assert server.faults == []


def test_a_peer_that_has_ended_can_still_be_written_to() -> None:
    last = SendBytes(DIALLED, b"!" * 1000)
    client, server = joined({"receive_eof": [last, Shutdown(DIALLED)]})
    server.ask(SendBytes(ACCEPTED, b"that is all"))
    whole = server.take()
    server.shut_down()
    client.get(whole + server.take())
    assert client.probe.received == b"that is all"
    assert client.heard == ["connected", "receive_bytes", "receive_eof"]
    assert client.shut
    assert len(client.sent) > 1000


def test_an_end_without_a_word_is_an_end() -> None:
    client, _ = joined()
    client.get_eof()
    assert client.heard == ["connected", "receive_eof"]
    assert client.faults == []


def test_after_a_shutdown_the_machine_is_told_nothing_more() -> None:
    client, server = joined({"receive_bytes": [Shutdown(DIALLED)]})
    server.write(b"hang up")
    client.get(server.take() + b"noise that nobody reads any more")
    server.write(b"still there?")
    client.get(server.take())
    client.get_eof()
    assert client.heard == ["connected", "receive_bytes"]
    assert client.faults == []


def test_a_machine_may_hang_up_as_soon_as_it_is_connected() -> None:
    client = dialling({"connected": [SendBytes(DIALLED, b"hello")]})
    server = accepting({"connected": [Shutdown(ACCEPTED)]})
    client.begin()
    server.begin()
    exchange(client, server)
    assert server.heard == ["connected"]
    assert client.heard == ["connected", "receive_eof"]


@pytest.mark.parametrize("opened", [False, True])
def test_a_machine_may_give_up_while_it_waits(*, opened: bool) -> None:
    client = dialling()
    client.do(client.tls.start(NOW))
    if opened:
        client.do(client.tls.connected(DIALLED, NOW))
    client.take()
    client.shut_down()
    assert client.shut
    assert client.sent == b""
    assert client.heard == []


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("failed", ["connecting", "shaking hands"])
def test_a_machine_may_dial_again_where_it_has_failed(failed: str, *, tls: bool) -> None:
    client = dialling({"connect_failed": [Connect(DIALLED, HOST, 443, tls=tls)]})
    client.do(client.tls.start(NOW))
    if failed == "connecting":
        client.do(client.tls.connect_failed(DIALLED, "no route", NOW))
    else:
        client.do(client.tls.connected(DIALLED, NOW))
        client.get_eof()
        client.take()
        client.shut = False
    client.do(client.tls.connected(DIALLED, NOW))
    assert bool(client.sent) is tls
    assert client.heard == ["connect_failed"] + ([] if tls else ["connected"])


# Time


def test_an_accepted_peer_that_does_not_complete_the_handshake_is_given_up() -> None:
    client, server = dialling(), accepting()
    client.begin()
    server.begin()
    server.get(client.take())
    limit = server.tls.deadline
    assert limit == NOW + HANDSHAKE_TIMEOUT_NS
    assert server.tls.handle_timeout(limit - 1) == []
    server.do(server.tls.handle_timeout(limit))
    message = "the TLS handshake was not complete in time"
    assert server.faults == [Fault(ACCEPTED, FaultKind.TIMED_OUT, message)]
    assert server.shut
    assert server.tls.deadline is None
    assert server.heard == []


def test_the_deadline_is_the_earlier_one() -> None:
    server = accepting()
    server.begin()
    server.probe.deadline = NOW + 1
    assert server.tls.deadline == NOW + 1
    server.probe.deadline = NOW + 2 * HANDSHAKE_TIMEOUT_NS
    assert server.tls.deadline == NOW + HANDSHAKE_TIMEOUT_NS


def test_the_time_for_a_handshake_is_over_once_it_is_complete() -> None:
    _, server = joined()
    assert server.tls.deadline is None


def test_somebody_who_only_looks_whether_the_port_is_open_is_no_fault() -> None:
    server = accepting()
    server.begin()
    server.get_eof()
    assert server.shut
    assert server.faults == []


# Misuse


def test_the_contract_can_be_broken_in_no_way_that_changes_anything() -> None:
    client, server = dialling(), accepting()
    with pytest.raises(LocalProtocolError, match="not started"):
        server.tls.connected(ACCEPTED, NOW)
    client.begin()
    server.begin()
    hello = client.take()
    with pytest.raises(LocalProtocolError, match="time runs backwards"):
        server.tls.receive_bytes(ACCEPTED, hello, NOW - 1)
    for side in (client, server):
        with pytest.raises(LocalProtocolError, match="connected already"):
            side.tls.connected(side.peer, NOW)
        with pytest.raises(LocalProtocolError, match="connected already"):
            side.tls.connect_failed(side.peer, "too late", NOW)
    with pytest.raises(LocalProtocolError, match="not told is connected"):
        server.write(b"too early")
    server.get(hello)
    exchange(client, server)
    assert client.heard == server.heard == ["connected"]
