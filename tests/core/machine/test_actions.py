from twilio_realtime_core.machine.actions import Notify, Open, Peer, SendBytes


def test_bytes_to_send_do_not_show_in_what_is_printed() -> None:
    action = SendBytes(Peer.REALTIME, b"Authorization: Bearer secret")
    assert "secret" not in repr([action, Notify(action)])
    assert "<28 bytes>" in repr(action)


def test_a_url_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Open(Peer.REALTIME, "wss://model/v1?token=secret"))


def test_actions_are_equal_by_value() -> None:
    assert SendBytes(Peer.TWILIO, b"a") == SendBytes(Peer.TWILIO, b"a")
    assert SendBytes(Peer.TWILIO, b"a") != SendBytes(Peer.REALTIME, b"a")
