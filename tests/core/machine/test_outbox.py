from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Close, Notify, Peer, Send
from twilio_realtime_core.machine.outbox import Outbox
from twilio_realtime_core.notifications import KeyPressed
from twilio_realtime_core.protocols.realtime import DeleteItem
from twilio_realtime_core.protocols.twilio import Clear


def test_a_step_that_does_nothing_takes_no_actions() -> None:
    assert Outbox().take_actions() == []


def test_actions_are_taken_in_the_order_they_were_put_in() -> None:
    outbox = Outbox()
    outbox.send_to_twilio(Clear("MZ1"))
    outbox.send_to_realtime(DeleteItem("item"))
    outbox.notify(KeyPressed("5"))
    outbox.notify_fault(Peer.TWILIO, FaultKind.UNEXPECTED, "media while awaiting start")
    outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "no such item", "not_found")
    outbox.add(Close(Peer.REALTIME, 1000, ""))
    assert outbox.take_actions() == [
        Send(Peer.TWILIO, Clear("MZ1")),
        Send(Peer.REALTIME, DeleteItem("item")),
        Notify(KeyPressed("5")),
        Notify(Fault(Peer.TWILIO, FaultKind.UNEXPECTED, "media while awaiting start", None)),
        Notify(Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "no such item", "not_found")),
        Close(Peer.REALTIME, 1000, ""),
    ]


def test_the_next_step_starts_empty() -> None:
    outbox = Outbox()
    outbox.notify(KeyPressed("1"))
    first = outbox.take_actions()
    outbox.notify(KeyPressed("2"))
    assert outbox.take_actions() == [Notify(KeyPressed("2"))]
    assert first == [Notify(KeyPressed("1"))]
