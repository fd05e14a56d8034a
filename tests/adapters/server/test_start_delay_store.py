"""What earlier calls have shown of lines is given to later ones."""

from calling import SID, Call, connected, created, delta, mark, start
from twilio_realtime.server.start_delay_store import MAX_CALLS, Lines
from twilio_realtime_core import CallConfig, HangUp, Peer
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.machine.units import MS


def late_call(lines: Lines) -> Call:
    """A call whose player begins 120 ms late."""
    call = Call()
    call.bridge = lines.bridge(CallConfig())  # type: ignore[assignment]
    call.bridge.start(0)
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start(SID))
    call.phone(mark("0"))
    call.opened_and_configured()
    call.model(created())
    call.start_delay_ns = 120 * MS
    call.model(delta(800))
    call.play(220)
    return call


def test_a_call_is_learned_of_once_it_is_over() -> None:
    lines = Lines()
    call = late_call(lines)
    assert lines.known() == StartDelayHistory()
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    call.closed(Peer.REALTIME)
    assert lines.known() == StartDelayHistory((120 * MS,))
    assert lines.known() == StartDelayHistory((120 * MS,))


def test_a_call_that_never_ends_is_learned_of_when_many_others_have_come() -> None:
    lines = Lines()
    late_call(lines)
    for _ in range(MAX_CALLS - 1):
        lines.bridge(CallConfig())
    assert lines.known() == StartDelayHistory()
    lines.bridge(CallConfig())
    assert lines.known() == StartDelayHistory((120 * MS,))
