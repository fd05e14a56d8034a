"""The start delays of earlier calls reach later ones."""

from calling import SID, Call, connected, created, delta, mark, start
from twilio_realtime.server.start_delay_store import MAX_TRACKED_CALLS, StartDelayStore
from twilio_realtime_core import CallConfig, HangUp, Peer
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.machine.units import MS


def late_call(store: StartDelayStore) -> Call:
    """A call whose playback starts 120 ms late."""
    call = Call()
    call.bridge = store.create_bridge(CallConfig())  # type: ignore[assignment]
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


def test_start_delays_are_collected_after_a_call_has_ended() -> None:
    store = StartDelayStore()
    call = late_call(store)
    store.collect_ended()
    assert store.history == StartDelayHistory()
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    call.closed(Peer.REALTIME)
    for _ in range(2):
        store.collect_ended()
        assert store.history == StartDelayHistory((120 * MS,))


def test_a_call_that_never_ends_is_collected_after_many_others() -> None:
    store = StartDelayStore()
    late_call(store)
    for _ in range(MAX_TRACKED_CALLS - 1):
        store.create_bridge(CallConfig())
    store.collect_ended()
    assert store.history == StartDelayHistory()
    store.create_bridge(CallConfig())
    store.collect_ended()
    assert store.history == StartDelayHistory((120 * MS,))
