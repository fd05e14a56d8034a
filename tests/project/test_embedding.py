"""The embeddings of `docs/embedding.md` see real calls through: one over real sockets, in a plain
`selectors` loop, one in the callbacks of a framework."""

import heapq
import os
import socket
import threading
from collections.abc import Callable, Hashable
from itertools import count
from pathlib import Path

from attrs import define, field

from answer_one_call import answer
from callbacks import Call
from selectors_loop import Loop
from timeouts import HANG_S
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
)
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import (
    Action,
    Bridge,
    CallConfig,
    Close,
    Notify,
    Open,
    Peer,
    Send,
    SendPing,
)
from twilio_realtime_core import HangUp as Stop
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ms
from twilio_realtime_core.notifications import CallEnded, EndReason, Interrupted, KeyPressed
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

LINK = LinkConfig(max_message_bytes=1 << 24)
ANSWER = sample_speech.load("agent_answer")
SCRIPT: tuple[Cue, ...] = (
    AfterDelay(100 * MS, CallerSays(sample_speech.load("caller_interruption").audio)),
    WhenAgentHeard(300, CallerSays(sample_speech.load("caller_interruption").audio)),
    AfterDelay(100 * MS, CallerPressesKey("5")),
    AfterDelay(2 * SECOND, CallerHangsUp()),  # a busy machine interrupts late
)


def model() -> RealtimePeer:
    quick = Pace(first_spoken_item_ns=20 * MS, first_audio_ns=20 * MS)
    return RealtimePeer([Reply((SpokenReply(ANSWER.audio, ANSWER.transcript),))], pace=quick)


def test_one_call_over_real_sockets_in_a_selectors_loop() -> None:
    told: list[object] = []
    simulated = model()
    requests: list[HttpRequest] = []

    def respond(request: HttpRequest) -> Upgrade:
        requests.append(request)
        return Upgrade(simulated, CLIENT, {CLIENT: LINK})

    def serve_model() -> None:
        connection, _ = model_listener.accept()
        Loop(HttpConnection(CLIENT, respond, os.urandom), faults.append).run({CLIENT: connection})

    def serve_bridge(listener: socket.socket, url: str) -> None:
        answer(listener, url, "a-key", told.append)

    faults: list[object] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as model_listener,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        url = f"ws://127.0.0.1:{model_listener.getsockname()[1]}/v1/realtime"
        port = listener.getsockname()[1]
        phone = TwilioPeer(url=f"ws://127.0.0.1:{port}/media-stream", script=SCRIPT)
        threads = [
            threading.Thread(target=serve_model, daemon=True),
            threading.Thread(target=serve_bridge, args=(listener, url), daemon=True),
        ]
        for thread in threads:
            thread.start()
        Loop(Stack(phone, {SERVER: LINK}, os.urandom), lambda event: None).run({})
        for thread in threads:
            thread.join(HANG_S)
            assert not thread.is_alive()
    assert requests[0].header("authorization") == "Bearer a-key"
    assert "openai-beta" not in dict(requests[0].headers)
    ended = told[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert faults == []
    assert simulated.sent_errors == []
    assert phone.warnings == []
    assert [event for event in told if isinstance(event, KeyPressed)] == [KeyPressed("5")]
    (interrupted,) = [event for event in told if isinstance(event, Interrupted)]
    assert interrupted.items[0].heard_ms == simulated.conversation[1].truncated_ms
    assert len(phone.clears) == 1


class Framework:
    """A callback framework with virtual time. Its sockets end at simulated peers at once."""

    def __init__(self, dialling_ns: int = 0) -> None:
        self.now = 0
        self.dialling_ns = dialling_ns
        self.heap: list[tuple[int, int, Callable[[], object]]] = []
        self.serial = count()
        self.far_ends: dict[Hashable, FarEnd] = {}

    def now_ns(self) -> int:
        return self.now

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Callable[[], None]:
        wanted = [callback]
        self.at(when_ns, lambda: wanted and wanted.pop()())
        return wanted.clear

    def at(self, when_ns: int, callback: Callable[[], object]) -> None:
        heapq.heappush(self.heap, (max(when_ns, self.now), next(self.serial), callback))

    def dial(self, call: Call, peer: Hashable, url: str) -> None:
        assert url.startswith("ws://model/v1/realtime?model=")

        def open_() -> None:
            self.far_ends[peer].opened()
            call.on_open(peer, self.far_ends[peer])

        self.at(self.now + self.dialling_ns, open_)

    def run(self) -> None:
        while self.heap:
            self.now, _, callback = heapq.heappop(self.heap)
            callback()


@define(eq=False)
class FarEnd:
    """A socket of the framework, and the simulated machine at its far end."""

    framework: Framework
    machine: MessageMachine
    key: Hashable
    call: Call
    peer: Hashable
    is_open: bool = True
    timer: int | None = field(default=None, init=False)

    def opened(self) -> None:
        self.perform(self.machine.opened(self.key, self.framework.now))

    def send_text(self, text: str) -> None:
        self.perform(self.machine.receive_text(self.key, text, self.framework.now))

    def ping(self, payload: bytes) -> None:
        self.framework.at(self.framework.now, lambda: self.call.on_pong(self.peer, payload))

    def close(self, code: int, reason: str) -> None:
        """Both ends know of it once all that was sent has arrived."""

        def arrive() -> None:
            if self.is_open:
                self.is_open = False
                self.perform(self.machine.closed(self.key, code, reason, self.framework.now))
                self.call.on_close(self.peer, code, reason)

        self.framework.at(self.framework.now, arrive)

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message=message):
                    self.deliver(message.encode())
                case Close(code=code, reason=reason):
                    self.close(code, reason)
                case SendPing() | Open() | Notify():
                    pass
        deadline = self.machine.deadline
        if deadline is not None and deadline != self.timer:
            self.timer = deadline
            self.framework.at(deadline, self.expire)

    def deliver(self, text: str) -> None:
        def arrive() -> None:
            if self.is_open:
                self.call.on_text(self.peer, text)

        self.framework.at(self.framework.now, arrive)

    def expire(self) -> None:
        self.timer = None
        self.perform(self.machine.handle_timeout(self.framework.now))


def test_one_call_in_the_callbacks_of_a_framework() -> None:
    told: list[object] = []
    framework, phone, simulated = Framework(), TwilioPeer(url="", script=SCRIPT), model()
    bridge = Bridge(CallConfig(url="ws://model/v1/realtime"))
    call = Call(framework, bridge, told.append)
    twilio = FarEnd(framework, phone, SERVER, call, Peer.TWILIO)
    framework.far_ends[Peer.REALTIME] = FarEnd(framework, simulated, CLIENT, call, Peer.REALTIME)
    phone.start(0)
    simulated.start(0)
    call.on_accept(twilio)
    twilio.opened()
    framework.run()
    ended = told[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert simulated.sent_errors == []
    assert phone.warnings == []
    (interrupted,) = [event for event in told if isinstance(event, Interrupted)]
    assert interrupted.items[0].heard_ms == samples_to_ms(phone.clears[0].heard_bytes)
    assert call.bridge.deadline is None


def test_a_call_ended_while_dialling_leaves_no_socket_open() -> None:
    told: list[object] = []
    framework, phone, simulated = Framework(dialling_ns=SECOND), TwilioPeer(url=""), model()
    call = Call(framework, Bridge(CallConfig(url="ws://model/v1/realtime")), told.append)
    twilio = FarEnd(framework, phone, SERVER, call, Peer.TWILIO)
    realtime = FarEnd(framework, simulated, CLIENT, call, Peer.REALTIME)
    framework.far_ends[Peer.REALTIME] = realtime
    phone.start(0)
    simulated.start(0)
    call.on_accept(twilio)
    twilio.opened()
    framework.at(500 * MS, lambda: call.command(Stop()))
    framework.run()
    assert told[-1] == CallEnded(EndReason.HUNG_UP)
    assert not realtime.is_open
    assert not twilio.is_open


def test_the_page_shows_the_files_that_are_tested() -> None:
    page = Path("docs/embedding.md").read_text()
    for example in ("selectors_loop", "answer_one_call", "callbacks"):
        assert Path(f"docs/examples/{example}.py").read_text().strip() in page
