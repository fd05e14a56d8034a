"""Accepting connections, without a loop."""

from twilio_realtime.runtime.tcp_acceptor import Connections


def test_a_connection_counts_before_its_task_has_run() -> None:
    connections = Connections(1, spare_connections=0)
    connections.accepted()
    assert not connections.has_capacity()
    connections.started()
    assert connections.has_capacity()
