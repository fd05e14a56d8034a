"""TLS in memory: two machines, each under a `Tls`, and the ciphertext between them."""

import os
import ssl
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from itertools import cycle
from typing import TypeAlias

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from certificates import client_context, self_signed_context, server_context
from twilio_realtime.runtime.tls import HANDSHAKE_TIMEOUT_NS, Tls
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Connect,
    Notify,
    SendBytes,
    Shutdown,
)
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

HOST = "model.example"
DIALLED, ACCEPTED = "dialled", "accepted"  # the key of the other side in each machine
NOW = 1_000

ActionsByMethod: TypeAlias = dict[str, list[ByteAction]]
"""The actions that a machine returns, by the method that was called."""


@define(eq=False)
class ScriptedMachine:
    """A machine that records its inputs and returns given actions."""

    actions: ActionsByMethod = field(factory=dict[str, list[ByteAction]])
    deadline: int | None = None
    inputs: list[tuple[object, ...]] = field(factory=list[tuple[object, ...]], init=False)
    received: bytes = field(default=b"", init=False)

    def start(self, now: int) -> list[ByteAction]:
        return self._record("start", now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        return self._record("connected", now, peer)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        return self._record("connect_failed", now, peer, reason)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        assert ("connected", peer) in self.inputs
        self.received += data
        return self._record("receive_bytes", now, peer)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        return self._record("receive_eof", now, peer)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        assert now >= NOW
        return self.actions.get("handle_timeout", [])

    def _record(self, method: str, now: int, *arguments: object) -> list[ByteAction]:
        assert now >= NOW
        if method != "receive_bytes" or self.inputs[-1][0] != method:  # counts once for all pieces
            self.inputs.append((method, *arguments))
        return self.actions.get(method, [])


class PerformingMachine(ScriptedMachine):
    """A machine with the methods `perform` and `answer`."""

    def answer(self, response: object, now: int) -> list[ByteAction]:
        return self._record("answer", now, response)

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        return [
            *self._record("perform", now),
            *(each for each in actions if isinstance(each, Notify)),
        ]


@define(eq=False)
class Endpoint:
    """One machine under `Tls`, and what it returned for the driver."""

    machine: ScriptedMachine
    tls: Tls
    peer: str
    sent: bytes = field(default=b"", init=False)
    """Bytes that are not transferred yet."""
    faults: list[Fault] = field(factory=list[Fault], init=False)
    is_shut_down: bool = field(default=False, init=False)

    def start(self) -> None:
        self.perform(self.tls.start(NOW))
        self.perform(self.tls.connected(self.peer, NOW))

    def receive(self, data: bytes) -> None:
        self.perform(self.tls.receive_bytes(self.peer, data, NOW))

    def receive_eof(self) -> None:
        self.perform(self.tls.receive_eof(self.peer, NOW))

    def request(self, *actions: ByteAction) -> None:
        """Let the machine return `actions`."""
        self.machine.actions["handle_timeout"] = list(actions)
        self.perform(self.tls.handle_timeout(NOW))

    def write(self, data: bytes) -> None:
        self.request(SendBytes(self.peer, data))

    def shut_down(self) -> None:
        self.request(Shutdown(self.peer))

    def take_sent(self) -> bytes:
        data, self.sent = self.sent, b""
        return data

    def perform(self, actions: list[ByteAction]) -> None:
        for action in actions:
            match action:
                case SendBytes(peer, data):
                    assert (peer, self.is_shut_down) == (self.peer, False)
                    self.sent += data
                case Shutdown(peer):
                    assert (peer, self.is_shut_down) == (self.peer, False)
                    self.is_shut_down = True
                case Notify(event):
                    assert isinstance(event, Fault)
                    self.faults.append(event)
                case Connect(tls=tls):
                    assert not tls

    @property
    def called_methods(self) -> list[object]:
        """The methods of the machine that were called after `start`."""
        return [method for method, *_ in self.machine.inputs[1:]]


def make_client(
    actions: ActionsByMethod | None = None,
    *,
    host: str = HOST,
    context: ssl.SSLContext | None = None,
) -> Endpoint:
    """Return an endpoint that dials `host`, with the actions of its machine."""
    machine = PerformingMachine(
        {"start": [Connect(DIALLED, host, 443, tls=True)], **(actions or {})}
    )
    return Endpoint(machine, Tls(machine, client=context or client_context()), DIALLED)


def make_server(
    actions: ActionsByMethod | None = None, *, context: ssl.SSLContext | None = None
) -> Endpoint:
    """Return an endpoint that accepts, with the actions of its machine."""
    machine = ScriptedMachine(actions or {})
    return Endpoint(
        machine, Tls(machine, server={ACCEPTED: context or server_context(HOST)}), ACCEPTED
    )


def transfer(client: Endpoint, server: Endpoint, cuts: Iterable[int] = (1 << 20,)) -> None:
    """Transfer what both have sent, in pieces of these lengths in turn, until nothing is left."""
    lengths = cycle(cuts)
    while client.sent or server.sent:
        for near, receiver in ((client, server), (server, client)):
            data = near.take_sent()
            while data:
                length = next(lengths)
                receiver.receive(data[:length])
                data = data[length:]


def connected_pair(actions: ActionsByMethod | None = None) -> tuple[Endpoint, Endpoint]:
    """Return both endpoints after the handshake, with the actions of the dialling machine."""
    client, server = make_client(actions), make_server()
    client.start()
    server.start()
    transfer(client, server)
    assert client.called_methods == server.called_methods == ["connected"]
    return client, server


# Connections that work


sizes = st.one_of(st.integers(0, 2_000), st.integers(16_000, 20_000))  # records hold 16 KiB
pattern = bytes(range(251)) * 80
pieces = st.lists(sizes.map(lambda size: pattern[:size]), max_size=2)
lengths = st.lists(st.integers(1, 3_000), min_size=1, max_size=6)


@settings(max_examples=20)
@given(requests=pieces, responses=pieces, cuts=lengths)
def test_written_bytes_are_read_however_they_are_cut(
    requests: list[bytes], responses: list[bytes], cuts: list[int]
) -> None:
    client = make_client({"connected": [SendBytes(DIALLED, b"hello")]})
    server = make_server({"connected": [SendBytes(ACCEPTED, b"welcome")]})
    client.start()
    server.start()
    transfer(client, server, cuts)
    for near, data in ((client, requests), (server, responses)):
        for piece in data:
            near.write(piece)
    transfer(client, server, cuts)
    client.shut_down()
    transfer(client, server, cuts)
    assert server.machine.received == b"hello" + b"".join(requests)
    assert client.machine.received == b"welcome" + b"".join(responses)
    assert client.called_methods == ["connected", "receive_bytes"]
    assert server.called_methods == ["connected", "receive_bytes", "receive_eof"]
    assert client.faults == server.faults == []


def test_machines_get_connected_only_after_a_complete_handshake() -> None:
    client, server = make_client(), make_server()
    client.start()
    server.start()
    server.receive(client.take_sent())
    assert client.called_methods == server.called_methods == []
    client.receive(server.take_sent())
    assert (client.called_methods, server.called_methods) == (["connected"], [])
    server.receive(client.take_sent())
    assert server.called_methods == ["connected"]


def test_data_with_the_end_of_the_handshake_is_read() -> None:
    client, server = make_client({"connected": [SendBytes(DIALLED, b"hello")]}), make_server()
    client.start()
    server.start()
    transfer(client, server)
    assert server.machine.received == b"hello"


def test_plaintext_is_not_visible() -> None:
    client, _ = connected_pair()
    client.write(b"secret" * 100)
    assert b"secret" not in client.sent
    assert len(client.sent) > 600


def test_a_megabyte_passes_in_one_step() -> None:
    client, server = connected_pair()
    data = bytes(range(256)) * 4096
    server.write(data)
    transfer(client, server)
    assert client.machine.received == data


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "b\u00fccher.example"])
def test_certificates_work_for_addresses_and_international_names(host: str) -> None:
    client, server = make_client(host=host), make_server(context=server_context(host))
    client.start()
    server.start()
    transfer(client, server)
    assert client.called_methods == ["connected"]


def test_the_default_context_trusts_the_authorities_of_the_system() -> None:
    machine = ScriptedMachine({"start": [Connect(DIALLED, HOST, 443, tls=True)]})
    client, server = Endpoint(machine, Tls(machine), DIALLED), make_server()
    client.start()
    server.start()
    transfer(client, server)
    assert client.called_methods == ["connect_failed"]


def test_tls_1_2_works_without_renegotiation() -> None:
    context = server_context("old.example")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = make_client(host="old.example"), make_server(context=context)
    client.start()
    server.start()
    transfer(client, server)
    client.write(b"hello")
    transfer(client, server)
    assert server.machine.received == b"hello"
    assert context.options & client_context().options & ssl.OP_NO_RENEGOTIATION


# Peers without TLS


def test_peers_without_tls_pass_through_unchanged() -> None:
    dial = Connect("model", "127.0.0.1", 80, tls=False)
    machine = ScriptedMachine(
        {
            "start": [dial],
            "connected": [SendBytes("model", b"hello"), Notify("up")],
            "receive_bytes": [SendBytes("model", b"again")],
            "receive_eof": [Shutdown("model")],
        },
        deadline=NOW + 5,
    )
    tls = Tls(machine, server={ACCEPTED: server_context(HOST)})
    assert tls.start(NOW) == [dial]
    assert tls.connected("model", NOW) == [SendBytes("model", b"hello"), Notify("up")]
    assert tls.receive_bytes("model", b"plain", NOW) == [SendBytes("model", b"again")]
    assert machine.received == b"plain"
    assert tls.deadline == NOW + 5
    assert tls.receive_eof("model", NOW) == [Shutdown("model")]


def make_phone_with_headers() -> tuple[Tls, Connect]:
    """Return a phone that dials a server with TLS, and its dial."""
    config = LinkConfig(max_message_bytes=1, headers=dict)
    tls = Tls(Stack(TwilioPeer(), {SERVER: config}, os.urandom), client=client_context())
    [dial] = tls.start(NOW)
    assert isinstance(dial, Connect)
    return tls, dial


def test_headers_of_a_function_are_resolved_before_tls_starts() -> None:
    tls, dial = make_phone_with_headers()
    assert (dial.tls, dial.headers) == (False, dict)
    assert tls.headers_resolved(SERVER, {"A": "b"}, NOW) == []
    [hello] = tls.connected(SERVER, NOW)
    assert isinstance(hello, SendBytes)
    assert hello.data.startswith(b"\x16")  # a ClientHello


def test_bad_headers_of_a_function_shut_down_what_was_to_be_tls() -> None:
    tls, _ = make_phone_with_headers()
    assert Shutdown(SERVER) in tls.headers_resolved(SERVER, None, NOW)


def test_headers_for_a_machine_that_has_none_are_misuse() -> None:
    client = make_client()
    with pytest.raises(LocalProtocolError, match="no method headers_resolved"):
        client.tls.headers_resolved(DIALLED, {}, NOW)


def test_connect_failed_is_passed_on_with_the_drivers_reason() -> None:
    client = make_client({"connect_failed": [Shutdown(DIALLED)]})
    client.perform(client.tls.start(NOW))
    assert client.tls.connect_failed(DIALLED, "no route", NOW) == [Shutdown(DIALLED)]
    assert client.machine.inputs[-1] == ("connect_failed", DIALLED, "no route")


def test_actions_of_the_application_are_performed_under_tls() -> None:
    client, server = connected_pair({"perform": [SendBytes(DIALLED, b"command")]})
    client.perform(client.tls.perform([], NOW))
    transfer(client, server)
    assert server.machine.received == b"command"


def test_later_answers_are_sent_under_tls() -> None:
    client, server = connected_pair({"answer": [SendBytes(DIALLED, b"answer")]})
    client.perform(client.tls.answer("response", NOW))
    transfer(client, server)
    assert client.machine.inputs[-1] == ("answer", "response")
    assert server.machine.received == b"answer"


def test_methods_that_a_machine_does_not_have_raise() -> None:
    _, server = connected_pair()
    with pytest.raises(LocalProtocolError, match="no method perform"):
        server.tls.perform([], NOW)
    with pytest.raises(LocalProtocolError, match="no method answer"):
        server.tls.answer("response", NOW)


# Certificates


@pytest.mark.parametrize(
    ("context", "host", "objection"),
    [
        (server_context(HOST), "other.example", "is for another name"),
        (server_context(HOST), "192.0.2.7", "is for another address"),
        (
            server_context(HOST, issuer="stranger"),
            HOST,
            "is not from an authority that is trusted here",
        ),
        (self_signed_context(), HOST, "is self-signed"),
        (
            server_context(HOST, not_after=datetime(2001, 1, 1, tzinfo=UTC)),
            HOST,
            "has expired (or this machine's clock is wrong)",
        ),
        (
            server_context(HOST, not_before=datetime(2999, 1, 1, tzinfo=UTC)),
            HOST,
            "is not valid yet (or this machine's clock is wrong)",
        ),
    ],
)
def test_an_invalid_certificate_is_refused_and_reported_on_both_sides(
    context: ssl.SSLContext, host: str, objection: str
) -> None:
    client = make_client({"connect_failed": [Shutdown(DIALLED)]}, host=host)
    server = make_server(context=context)
    client.start()
    server.start()
    transfer(client, server)
    reason = f"the TLS handshake with {host} failed: its certificate {objection}"
    assert client.machine.inputs[1:] == [("connect_failed", DIALLED, reason)]
    assert client.is_shut_down
    assert server.called_methods == []
    assert server.is_shut_down
    (fault,) = server.faults
    assert (fault.peer, fault.kind) == (ACCEPTED, FaultKind.BROKEN_PROTOCOL)
    assert "alert" in fault.message


@pytest.mark.parametrize("host", ["a..b", "x" * 64, ".".join(["y" * 60] * 5)])
def test_a_host_without_possible_certificate_cannot_be_connected(host: str) -> None:
    client = make_client({"connect_failed": [Shutdown(DIALLED)]}, host=host)
    client.start()
    assert client.called_methods == ["connect_failed"]
    assert client.is_shut_down
    assert client.sent == b""


# Peers that speak no TLS, and streams that break


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x00" * 100, b"\xff"]
)
def test_an_accepted_peer_without_tls_is_a_fault(data: bytes) -> None:
    server = make_server()
    server.start()
    server.receive(data + b"more to make a whole record")
    message = "the TLS handshake failed: what it sends is no TLS"
    assert server.faults == [Fault(ACCEPTED, FaultKind.BROKEN_PROTOCOL, message)]
    assert server.is_shut_down
    assert server.called_methods == []
    assert server.tls.deadline is None


def test_a_dialled_peer_without_tls_cannot_be_connected() -> None:
    client = make_client()
    client.start()
    for piece in (b"H", b"\x16P/1.1 400 Bad Request\r\n\r\n"):
        client.receive(piece)
    (failure,) = client.machine.inputs[1:]
    assert failure[2] == f"the TLS handshake with {HOST} failed: what it sends is no TLS"
    assert client.is_shut_down


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x28", "sslv3 alert handshake failure"),
        (b"\x15\x03\x03\x00\x02\x01\x00", "it hung up"),  # close_notify
    ],
)
def test_a_dialled_peer_that_refuses_the_handshake_cannot_be_connected(
    alert: bytes, words: str
) -> None:
    client = make_client()
    client.start()
    for byte in alert:
        client.receive(bytes([byte]))
    (failure,) = client.machine.inputs[1:]
    assert failure[2] == f"the TLS handshake with {HOST} failed: {words}"
    assert client.is_shut_down


def run_truncated(receiver: str, count: int) -> tuple[Endpoint, Endpoint, Endpoint, bytes]:
    """Run a short exchange in which `receiver` gets only the first `count` bytes.

    Returns the client, the server, the receiver, and the bytes that it did not get.
    """
    client = make_client({"connected": [SendBytes(DIALLED, b"question")]})
    server = make_server({"receive_bytes": [SendBytes(ACCEPTED, b"answer")]})
    client.start()
    server.start()
    rest = b""
    while client.sent or server.sent:
        for near, other in ((client, server), (server, client)):
            data = near.take_sent()
            if other.peer == receiver:
                data, rest = data[:count], rest + data[count:]
                count -= len(data)
            if data:
                other.receive(data)
    return client, server, (client if receiver == DIALLED else server), rest


each_receiver = pytest.mark.parametrize("receiver", [DIALLED, ACCEPTED])
counts = st.integers(0, 4_000)  # more than either endpoint sends


@each_receiver
@settings(max_examples=40)
@given(count=counts)
def test_a_stream_lost_at_any_byte_ends_once(receiver: str, count: int) -> None:
    client, server, side, _ = run_truncated(receiver, count)
    side.receive_eof()
    side.receive_eof()
    if "connected" in side.called_methods:
        assert side.called_methods[-1] == "receive_eof"
    elif receiver == DIALLED:
        assert side.called_methods == ["connect_failed"]
        assert side.is_shut_down
    else:
        assert side.called_methods == []
        assert side.is_shut_down
        assert len(side.faults) == (count > 0)
    assert side.called_methods.count("receive_eof") <= 1
    assert client.tls.deadline is None or server.tls.deadline == NOW + HANDSHAKE_TIMEOUT_NS


@each_receiver
@settings(max_examples=60)
@given(count=counts, noise=st.integers(1, 255), cut=st.booleans())
def test_an_altered_byte_ends_the_stream_before_it_is_read(
    receiver: str, count: int, noise: int, *, cut: bool
) -> None:
    client, server, side, rest = run_truncated(receiver, count)
    altered = bytes([rest[0] ^ noise]) + rest[1:] if rest else b"\x17\x03\x03\x00\x01x"
    for piece in [altered[:1], altered[1:]] if cut else [altered]:
        side.receive(piece)
    side.receive_eof()
    assert b"question".startswith(server.machine.received)
    assert b"answer".startswith(client.machine.received)
    assert side.called_methods[-1:] in (["receive_eof"], ["connect_failed"], [])
    assert side.is_shut_down or side.called_methods[-1] == "receive_eof"


@given(st.binary(max_size=600))
def test_no_first_bytes_raise(data: bytes) -> None:
    for side in (make_client(), make_server()):
        side.start()
        side.receive(data)
        side.receive_eof()
        assert side.is_shut_down
        assert side.called_methods in (["connect_failed"], [])


def test_broken_tls_is_a_fault_and_ends_the_stream() -> None:
    client, server = connected_pair()
    server.write(b"the last words")
    client.receive(server.take_sent() + b"\x17\x03\x03\x00\x20" + b"?" * 32)
    assert client.machine.received == b"the last words"
    assert client.called_methods == ["connected", "receive_bytes", "receive_eof"]
    (fault,) = client.faults
    assert (fault.peer, fault.kind) == (DIALLED, FaultKind.BROKEN_PROTOCOL)
    assert fault.message.startswith("TLS broke: ")
    transfer(client, server)  # the alert
    assert server.called_methods == ["connected", "receive_eof"]
    assert len(server.faults) == 1


def test_broken_tls_neither_writes_nor_reads() -> None:
    client, server = connected_pair()
    server.write(b"too late")
    client.receive(b"\x17\x03\x03\x00\x20" + b"?" * 32)
    client.take_sent()
    client.write(b"hello?")
    client.receive(server.take_sent())
    client.shut_down()
    assert client.sent == b""
    assert client.called_methods == ["connected", "receive_eof"]
    assert client.is_shut_down


# The end of a stream


def test_a_shutdown_sends_close_notify_and_ends_the_peer() -> None:
    client, server = connected_pair()
    client.write(b"goodbye")
    client.shut_down()
    server.receive(client.take_sent())
    server.receive_eof()
    assert server.machine.received == b"goodbye"
    assert server.called_methods == ["connected", "receive_bytes", "receive_eof"]
    assert server.faults == []


def test_a_peer_that_has_ended_can_still_be_written_to() -> None:
    last = SendBytes(DIALLED, b"!" * 1000)
    client, server = connected_pair({"receive_eof": [last, Shutdown(DIALLED)]})
    server.request(SendBytes(ACCEPTED, b"that is all"))
    whole = server.take_sent()
    server.shut_down()
    client.receive(whole + server.take_sent())
    assert client.machine.received == b"that is all"
    assert client.called_methods == ["connected", "receive_bytes", "receive_eof"]
    assert client.is_shut_down
    assert len(client.sent) > 1000


def test_an_end_without_close_notify_is_an_end() -> None:
    client, _ = connected_pair()
    client.receive_eof()
    assert client.called_methods == ["connected", "receive_eof"]
    assert client.faults == []


def test_the_machine_gets_nothing_after_a_shutdown() -> None:
    client, server = connected_pair({"receive_bytes": [Shutdown(DIALLED)]})
    server.write(b"hang up")
    client.receive(server.take_sent() + b"noise that nobody reads any more")
    server.write(b"still there?")
    client.receive(server.take_sent())
    client.receive_eof()
    assert client.called_methods == ["connected", "receive_bytes"]
    assert client.faults == []


def test_a_machine_may_shut_down_as_soon_as_connected() -> None:
    client = make_client({"connected": [SendBytes(DIALLED, b"hello")]})
    server = make_server({"connected": [Shutdown(ACCEPTED)]})
    client.start()
    server.start()
    transfer(client, server)
    assert server.called_methods == ["connected"]
    assert client.called_methods == ["connected", "receive_eof"]


@pytest.mark.parametrize("opened", [False, True])
def test_a_machine_may_shut_down_before_it_is_connected(*, opened: bool) -> None:
    client = make_client()
    client.perform(client.tls.start(NOW))
    if opened:
        client.perform(client.tls.connected(DIALLED, NOW))
    client.take_sent()
    client.shut_down()
    assert client.is_shut_down
    assert client.sent == b""
    assert client.called_methods == []


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("failed", ["connecting", "shaking hands"])
def test_a_machine_may_dial_again_after_a_failure(failed: str, *, tls: bool) -> None:
    client = make_client({"connect_failed": [Connect(DIALLED, HOST, 443, tls=tls)]})
    client.perform(client.tls.start(NOW))
    if failed == "connecting":
        client.perform(client.tls.connect_failed(DIALLED, "no route", NOW))
    else:
        client.perform(client.tls.connected(DIALLED, NOW))
        client.receive_eof()
        client.take_sent()
        client.is_shut_down = False
    client.perform(client.tls.connected(DIALLED, NOW))
    assert bool(client.sent) is tls
    assert client.called_methods == ["connect_failed"] + ([] if tls else ["connected"])


# Time


def test_an_incomplete_handshake_of_an_accepted_peer_times_out() -> None:
    client, server = make_client(), make_server()
    client.start()
    server.start()
    server.receive(client.take_sent())
    deadline = server.tls.deadline
    assert deadline == NOW + HANDSHAKE_TIMEOUT_NS
    assert server.tls.handle_timeout(deadline - 1) == []
    server.perform(server.tls.handle_timeout(deadline))
    message = "the TLS handshake was not complete in time"
    assert server.faults == [Fault(ACCEPTED, FaultKind.TIMED_OUT, message)]
    assert server.is_shut_down
    assert server.tls.deadline is None
    assert server.called_methods == []


def test_the_deadline_is_the_earlier_one() -> None:
    server = make_server()
    server.start()
    server.machine.deadline = NOW + 1
    assert server.tls.deadline == NOW + 1
    server.machine.deadline = NOW + 2 * HANDSHAKE_TIMEOUT_NS
    assert server.tls.deadline == NOW + HANDSHAKE_TIMEOUT_NS


def test_a_complete_handshake_has_no_deadline() -> None:
    _, server = connected_pair()
    assert server.tls.deadline is None


def test_a_connection_that_ends_without_data_is_no_fault() -> None:
    server = make_server()
    server.start()
    server.receive_eof()
    assert server.is_shut_down
    assert server.faults == []


# Misuse


def test_misuse_raises_and_changes_nothing() -> None:
    client, server = make_client(), make_server()
    with pytest.raises(LocalProtocolError, match="not started"):
        server.tls.connected(ACCEPTED, NOW)
    client.start()
    server.start()
    hello = client.take_sent()
    with pytest.raises(LocalProtocolError, match="time runs backwards"):
        server.tls.receive_bytes(ACCEPTED, hello, NOW - 1)
    for side in (client, server):
        with pytest.raises(LocalProtocolError, match="connected already"):
            side.tls.connected(side.peer, NOW)
        with pytest.raises(LocalProtocolError, match="connected already"):
            side.tls.connect_failed(side.peer, "too late", NOW)
    with pytest.raises(LocalProtocolError, match="not connected yet"):
        server.write(b"too early")
    server.receive(hello)
    transfer(client, server)
    assert client.called_methods == server.called_methods == ["connected"]
