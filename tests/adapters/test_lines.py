"""What earlier calls have shown of lines is given to later ones."""

import gc
import weakref

import pytest

from calling import SID, Call, connected, created, delta, mark, start
from twilio_realtime_app.lines import Lines
from twilio_realtime_core import CallConfig, HangUp, Peer
from twilio_realtime_core.lag import LineHistory
from twilio_realtime_core.times import MS


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
    call.late_ns = 120 * MS
    call.model(delta(800))
    call.hear(220)
    return call


@pytest.mark.parametrize("torn", [False, True])
def test_a_call_is_learned_of_once_it_is_let_go(torn: bool) -> None:  # noqa: FBT001
    lines = Lines()
    call = late_call(lines)
    if not torn:
        call.send(HangUp())
        call.closed(Peer.TWILIO)
        call.closed(Peer.REALTIME)
    assert lines.known() == LineHistory()
    gone = weakref.ref(call.bridge)
    del call
    gc.collect()
    assert gone() is None
    assert lines.known() == LineHistory((120 * MS,))
