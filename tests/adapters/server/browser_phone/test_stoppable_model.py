"""A model that is made to fall silent."""

from collections.abc import Hashable
from typing import Any

from twilio_realtime.server.browser_phone.stoppable_model import StoppableModel
from twilio_realtime_core import Bridge, CallConfig, HangUp, Peer, RealtimeLink
from twilio_realtime_core.machine.actions import Action, Refusal

TWILIO, MODEL, LATER = Peer.TWILIO, Peer.REALTIME, RealtimeLink(2)


class SpyBridge:
    """A bridge that keeps what reaches it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Hashable]] = []

    def __getattr__(self, name: str) -> Any:
        def note(*arguments: Any) -> list[Action]:
            self.calls.append((name, arguments[0]))
            return []

        return note

    def received(self, name: str) -> list[Hashable]:
        return [peer for each, peer in self.calls if each == name]


def opened() -> tuple[StoppableModel, SpyBridge]:
    spy = SpyBridge()
    bridge: Any = spy
    model = StoppableModel(bridge)
    model.opened(TWILIO, 0)
    model.opened(MODEL, 0)
    return model, spy


def test_a_model_that_was_stopped_is_not_heard_any_more() -> None:
    model, spy = opened()
    model.receive_text(MODEL, "{}", 1)
    model.stop()
    assert model.receive_text(MODEL, "{}", 2) == []
    assert model.pong(MODEL, b"", 2) == []
    model.receive_text(TWILIO, "{}", 3)
    assert spy.received("receive_text") == [MODEL, TWILIO]
    assert spy.received("pong") == []


def test_a_session_that_is_opened_later_works() -> None:
    model, spy = opened()
    model.stop()
    model.opened(LATER, 1)
    model.receive_text(LATER, "{}", 2)
    model.pong(LATER, b"", 2)
    assert spy.received("receive_text") == spy.received("pong") == [LATER]


def test_the_end_of_a_stopped_session_reaches_the_bridge() -> None:
    model, spy = opened()
    model.stop()
    model.closed(MODEL, 1006, "", 1)
    assert spy.received("closed") == [MODEL]
    model.opened(MODEL, 2)
    model.receive_text(MODEL, "{}", 3)
    assert spy.received("receive_text") == [MODEL]


def test_all_else_is_that_of_the_bridge() -> None:
    bridge = Bridge(CallConfig())
    model = StoppableModel(bridge)
    assert model.start(0) == []
    model.opened(TWILIO, 0)
    assert model.deadline == bridge.deadline is not None
    assert model.handle_timeout(1) == []
    assert model.items == bridge.items == ()
    assert model.playback_positions(1) == ()
    assert model.reasons == bridge.reasons
    model.send(HangUp(), 2)
    model.refused(MODEL, Refusal(401, None, None, "no"), 2)
    model.closed(TWILIO, 1000, "", 3)
    assert model.has_ended == bridge.has_ended
