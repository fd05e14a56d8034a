"""The embedding of `docs/how-to/embedding.md` sees a real call through, in a plain
`selectors` loop."""

import os
import socket
import threading
from pathlib import Path

from answer_one_call import answer
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
from twilio_realtime_core.machine.units import MS, SECOND
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


def test_the_page_shows_the_files_that_are_tested() -> None:
    page = Path("docs/how-to/embedding.md").read_text()
    for example in ("selectors_loop", "answer_one_call"):
        assert Path(f"docs/examples/{example}.py").read_text().strip() in page
