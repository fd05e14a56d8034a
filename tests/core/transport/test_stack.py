from collections.abc import Callable, Hashable

import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Close,
    Connect,
    Notify,
    Open,
    Refusal,
    Send,
    SendBytes,
    SendPing,
    Shutdown,
)
from twilio_realtime_core.machine.contract import ByteMachine, MessageMachine
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
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

CONFIG = LinkConfig(max_message_bytes=1000)
REQUEST = HttpRequest(
    "GET",
    "/",
    (
        ("host", "h"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "AQEBAQEBAQEBAQEBAQEBAQ=="),  # of `ones`
        ("sec-websocket-version", "13"),
    ),
)
OPEN = Open("server", "wss://h/path?q=1")


def ones(size: int) -> bytes:
    return b"\x01" * size


@frozen
class Words:
    text: str

    def encode(self) -> str:
        return self.text


@define
class Script:
    """A machine that records its inputs, and returns the actions that the test names."""

    deadline: int | None = None
    inputs: list[tuple[object, ...]] = field(factory=list[tuple[object, ...]])
    answers: dict[tuple[object, ...], list[Action]] = field(
        factory=dict[tuple[object, ...], list[Action]]
    )

    def _take(self, *what: object) -> list[Action]:
        self.inputs.append(what)
        return self.answers.get(what, [])

    def start(self, now: int) -> list[Action]:
        return self._take("start")

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return self._take("opened", peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return self._take("text", peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return self._take("pong", peer, payload)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self._take("refused", peer, refusal)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return self._take("closed", peer, code, reason)

    def handle_timeout(self, now: int) -> list[Action]:
        if self.deadline is not None and self.deadline <= now:
            self.deadline = None
        return self._take("timeout", now)


def from_client(first: int, payload: bytes) -> bytes:
    return encode_frame(first, payload, b"mask")


def from_server(first: int, payload: bytes) -> bytes:
    return encode_frame(first, payload, None)


@define
class Scene:
    machine: Script
    stack: Stack
    started: list[ByteAction]


@pytest.fixture
def scene() -> Scene:
    """A stack with a client accepted and a server dialled, both open."""
    return new_scene()


def new_scene(answers: dict[tuple[object, ...], list[Action]] | None = None) -> Scene:
    machine = Script(answers={("start",): [OPEN], **(answers or {})})
    stack = Stack(machine, {"client": CONFIG, "server": CONFIG}, ones, {"client": REQUEST})
    started = stack.start(0)
    stack.connected("server", 0)
    stack.receive_bytes("server", encode_upgrade_response(REQUEST), 0)
    return Scene(machine, stack, started)


def test_a_stack_makes_a_byte_machine_of_a_message_machine() -> None:
    machine: MessageMachine = Script()
    lifted: ByteMachine = Stack(machine, {}, ones)
    assert lifted.start(0) == []
    assert lifted.deadline is None


def test_start_starts_the_machine_and_then_accepts(scene: Scene) -> None:
    assert scene.started == [
        Connect("server", "h", 443, tls=True),
        SendBytes("client", encode_upgrade_response(REQUEST)),
    ]
    assert scene.machine.inputs == [("start",), ("opened", "client"), ("opened", "server")]


def test_a_request_is_sent_when_the_stream_is_connected() -> None:
    stack = Stack(Script(answers={("start",): [OPEN]}), {"server": CONFIG}, ones)
    stack.start(0)
    [sent] = stack.connected("server", 1)
    assert isinstance(sent, SendBytes)
    assert sent.data.startswith(b"GET /path?q=1 HTTP/1.1\r\nHost: h\r\n")


def test_messages_go_from_peer_to_peer(scene: Scene) -> None:
    scene.machine.answers["text", "client", "in"] = [Send("server", Words("out"))]
    assert scene.stack.receive_bytes("client", from_client(TEXT, b"in"), 1) == [
        SendBytes("server", encode_frame(TEXT, b"out", ones(4)))
    ]
    scene.machine.answers["text", "server", "back"] = [Send("client", Words("home"))]
    assert scene.stack.receive_bytes("server", from_server(TEXT, b"back"), 1) == [
        SendBytes("client", from_server(TEXT, b"home"))
    ]


def test_each_message_is_handled_before_the_next(scene: Scene) -> None:
    scene.machine.answers["text", "client", "1"] = [Close("client", 1000, "enough")]
    data = from_client(TEXT, b"1") + from_client(TEXT, b"2") + from_client(PING, b"")
    assert scene.stack.receive_bytes("client", data, 1) == [
        SendBytes("client", from_server(CLOSE, encode_close(1000, "enough")))
    ]
    assert scene.machine.inputs[-1] == ("text", "client", "1")


def test_notifications_and_actions_keep_their_order(scene: Scene) -> None:
    actions: list[Action] = [
        Notify("a"),
        Send("client", Words("b")),
        Notify("c"),
        SendPing("client", b"d"),
    ]
    scene.machine.answers["text", "client", "go"] = actions
    assert scene.stack.receive_bytes("client", from_client(TEXT, b"go"), 1) == [
        Notify("a"),
        SendBytes("client", from_server(TEXT, b"b")),
        Notify("c"),
        SendBytes("client", from_server(PING, b"d")),
    ]
    scene.stack.receive_bytes("client", from_client(PONG, b"d"), 1)
    assert scene.machine.inputs[-1] == ("pong", "client", b"d")


def test_actions_of_an_action_follow_those_of_its_step() -> None:
    machine = Script()
    machine.answers["start",] = [OPEN, Close("server", 1000, ""), Notify("first")]
    machine.answers["closed", "server", 1006, ""] = [Notify("second")]
    stack = Stack(machine, {"server": CONFIG}, ones)
    assert stack.start(0) == [
        Connect("server", "h", 443, tls=True),
        Shutdown("server"),
        Notify("first"),
        Notify("second"),
    ]


def test_headers_of_a_function_are_asked_for_at_each_connect() -> None:
    machine = Script()
    machine.answers["start",] = [OPEN]
    source = dict[str, str]
    stack = Stack(machine, {"server": LinkConfig(max_message_bytes=1, headers=source)}, ones)
    assert stack.start(0) == [Connect("server", "h", 443, tls=True, headers=source)]
    assert stack.headers_resolved("server", {"A": "b"}, 1) == []
    [sent] = stack.connected("server", 2)
    assert isinstance(sent, SendBytes)
    assert b"\r\nA: b\r\n" in sent.data


def test_bad_headers_of_a_function_end_the_attempt() -> None:
    machine = Script()
    machine.answers["start",] = [OPEN]
    stack = Stack(machine, {"server": LinkConfig(max_message_bytes=1, headers=dict)}, ones)
    stack.start(0)
    fault, shutdown = stack.headers_resolved("server", None, 1)
    assert isinstance(fault, Notify)
    assert shutdown == Shutdown("server")
    assert machine.inputs[-1][:3] == ("closed", "server", 1006)
    assert stack.headers_resolved("server", {}, 2) == []


def test_actions_of_a_command_are_performed(scene: Scene) -> None:
    assert scene.stack.perform([Notify("a"), Send("client", Words("b"))], 1) == [
        Notify("a"),
        SendBytes("client", from_server(TEXT, b"b")),
    ]
    with pytest.raises(LocalProtocolError, match="backwards"):
        scene.stack.perform([Notify("a")], 0)


def test_actions_on_a_closed_link_are_left_out(scene: Scene) -> None:
    scene.stack.receive_eof("server", 1)
    actions: list[Action] = [
        Send("server", Words("x")),
        SendPing("server", b"x"),
        Close("server", 1000, ""),
    ]
    scene.machine.answers["text", "client", "go"] = actions
    assert scene.stack.receive_bytes("client", from_client(TEXT, b"go"), 1) == []


def test_an_accepted_peer_may_be_closed_before_it_opens() -> None:
    machine = Script(answers={("start",): [Close("client", 1000, "")]})
    stack = Stack(machine, {"client": CONFIG}, ones, {"client": REQUEST})
    assert stack.start(0) == [Shutdown("client")]
    assert machine.inputs == [("start",), ("closed", "client", 1006, "")]


def test_a_closed_link_is_reported_once_and_shut_down(scene: Scene) -> None:
    close = from_client(CLOSE, encode_close(1001, "away"))
    assert scene.stack.receive_bytes("client", close, 1) == [
        SendBytes("client", from_server(CLOSE, encode_close(1001, ""))),
        Shutdown("client"),
    ]
    assert scene.machine.inputs[-1] == ("closed", "client", 1001, "away")
    inputs = len(scene.machine.inputs)
    assert scene.stack.receive_bytes("client", b"late", 2) == []
    assert scene.stack.receive_eof("client", 2) == []
    assert len(scene.machine.inputs) == inputs


def test_a_lost_stream_is_reported(scene: Scene) -> None:
    assert scene.stack.receive_eof("server", 1) == [Shutdown("server")]
    assert scene.machine.inputs[-1] == ("closed", "server", 1006, "")


def test_faults_of_a_peer_are_notified_with_its_name(scene: Scene) -> None:
    [notified] = scene.stack.receive_bytes("client", from_client(0x82, b"x"), 1)
    assert isinstance(notified, Notify)
    assert isinstance(notified.event, Fault)
    assert (notified.event.peer, notified.event.kind) == ("client", FaultKind.BINARY_MESSAGE)


def test_a_refusal_has_its_status_and_ends_the_link() -> None:
    machine = Script(answers={("start",): [OPEN]})
    stack = Stack(machine, {"server": CONFIG}, ones)
    stack.start(0)
    stack.connected("server", 0)
    notified, shutdown = stack.receive_bytes("server", b"HTTP/1.1 429 \r\n\r\n", 0)
    assert isinstance(notified, Notify)
    assert isinstance(notified.event, Fault)
    assert (notified.event.kind, notified.event.code) == (FaultKind.REFUSED, "429")
    assert shutdown == Shutdown("server")
    message = "the handshake was answered with HTTP status 429"
    assert machine.inputs[-1] == ("refused", "server", Refusal(429, None, None, message))


def test_a_peer_that_cannot_be_reached_is_refused_and_closed() -> None:
    machine = Script(answers={("start",): [OPEN]})
    stack = Stack(machine, {"server": CONFIG}, ones)
    stack.start(0)
    notified, shutdown = stack.connect_failed("server", "no such host", 1)
    assert notified == Notify(
        Fault("server", FaultKind.REFUSED, "could not be reached: no such host")
    )
    assert shutdown == Shutdown("server")
    assert machine.inputs[-1] == ("closed", "server", 1006, "no such host")
    assert stack.connect_failed("server", "again", 2) == []
    assert stack.connected("server", 3) == []


def test_the_deadline_is_the_earliest_of_machine_and_links(scene: Scene) -> None:
    assert scene.stack.deadline == 20 * SECOND
    scene.machine.deadline = 5
    assert scene.stack.deadline == 5
    scene.machine.deadline = 30 * SECOND
    assert scene.stack.deadline == 20 * SECOND


def test_time_outs_reach_the_links_and_the_machine(scene: Scene) -> None:
    scene.machine.deadline = 20 * SECOND
    assert scene.stack.handle_timeout(20 * SECOND) == [
        SendBytes("client", from_server(PING, b"keepalive")),
        SendBytes("server", encode_frame(PING, b"keepalive", ones(4))),
    ]
    assert scene.machine.inputs[-1] == ("timeout", 20 * SECOND)
    assert scene.stack.deadline == 40 * SECOND


def test_an_early_time_out_changes_nothing(scene: Scene) -> None:
    inputs = list(scene.machine.inputs)
    assert scene.stack.handle_timeout(20 * SECOND - 1) == []
    assert scene.machine.inputs == inputs


def test_actions_of_an_immediate_second_timeout_are_kept() -> None:
    class Hasty(Script):
        def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
            self.deadline = now
            return super().closed(peer, code, reason, now)

        def handle_timeout(self, now: int) -> list[Action]:
            answer = super().handle_timeout(now)
            return [*answer, Close("late", 1000, "")] if now == 5 else answer

    machine = Hasty(answers={("start",): [Open("late", "ws://h")]}, deadline=5)
    stack = Stack(machine, {"late": CONFIG}, ones)
    stack.start(0)
    assert stack.handle_timeout(5) == [Shutdown("late")]
    assert machine.inputs[-2:] == [("closed", "late", 1006, ""), ("timeout", 5)]
    assert stack.deadline is None


@pytest.mark.parametrize(
    "action",
    [
        Open("server", "ws://h/"),  # it has a link already
        Open("stranger", "ws://h/"),  # it has no configuration
        Send("stranger", Words("x")),
        SendPing("stranger", b""),
        Close("stranger", 1000, ""),
        Close("server", 1005, ""),
        SendPing("server", b"x" * 126),
    ],
)
def test_impossible_actions_of_a_machine_are_misuse(scene: Scene, action: Action) -> None:
    scene.machine.answers["text", "client", "go"] = [action]
    with pytest.raises(LocalProtocolError):
        scene.stack.receive_bytes("client", from_client(TEXT, b"go"), 1)


def test_a_bad_url_is_misuse() -> None:
    machine = Script(answers={("start",): [Open("server", "https://h/")]})
    with pytest.raises(LocalProtocolError):
        Stack(machine, {"server": CONFIG}, ones).start(0)


def test_an_accepted_peer_needs_a_request_and_limits() -> None:
    with pytest.raises(LocalProtocolError, match="LinkConfig"):
        Stack(Script(), {}, ones, {"client": REQUEST})
    with pytest.raises(LocalProtocolError, match="accepted"):
        Stack(Script(), {"client": CONFIG}, ones, {"client": HttpRequest("GET", "/")})


MISUSES: list[Callable[[Stack], object]] = [
    lambda stack: stack.start(10),
    lambda stack: stack.handle_timeout(9),
    lambda stack: stack.receive_bytes("client", b"", 9),
    lambda stack: stack.receive_bytes("stranger", b"", 11),
    lambda stack: stack.receive_eof("stranger", 11),
    lambda stack: stack.connected("stranger", 11),
    lambda stack: stack.connected("client", 11),
    lambda stack: stack.connect_failed("server", "", 11),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_raises_and_changes_nothing(scene: Scene, misuse: Callable[[Stack], object]) -> None:
    scene.stack.handle_timeout(10)
    inputs = list(scene.machine.inputs)
    with pytest.raises(LocalProtocolError):
        misuse(scene.stack)
    assert scene.machine.inputs == inputs
    assert scene.stack.handle_timeout(10) == []


def test_nothing_can_be_said_to_a_stack_before_start() -> None:
    stack = Stack(Script(), {"client": CONFIG}, ones, {"client": REQUEST})
    with pytest.raises(LocalProtocolError, match="started"):
        stack.receive_bytes("client", b"", 0)
    with pytest.raises(LocalProtocolError, match="started"):
        stack.handle_timeout(0)


def test_bytes_for_a_stream_that_is_not_connected_are_misuse() -> None:
    stack = Stack(Script(answers={("start",): [OPEN]}), {"server": CONFIG}, ones)
    stack.start(0)
    with pytest.raises(LocalProtocolError):
        stack.receive_bytes("server", b"HTTP", 0)


STREAM = b"".join(
    from_client(first, payload)
    for first, payload in [
        (TEXT, b"1"),
        (PING, b"2"),
        (TEXT, b"x" * 300),
        (0x01, b"4"),
        (0x80, b"5"),
        (TEXT, b"stop"),
        (TEXT, b"7"),
        (CLOSE, b"\x03\xe8"),
    ]
)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, len(STREAM) - 1), max_size=8))
def test_bytes_cut_anywhere_have_one_outcome(places: set[int]) -> None:
    def run(marks: list[int]) -> tuple[list[ByteAction], list[tuple[object, ...]]]:
        stop: list[Action] = [Send("client", Words("bye")), Close("client", 1000, "")]
        scene = new_scene({("text", "client", "stop"): stop})
        out: list[ByteAction] = []
        for start, end in zip([0, *marks], [*marks, len(STREAM)], strict=True):
            out += scene.stack.receive_bytes("client", STREAM[start:end], 1)
        return out, scene.machine.inputs

    assert run(sorted(places)) == run([])
