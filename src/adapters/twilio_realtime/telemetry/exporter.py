"""The endpoint that Prometheus scrapes: GET /metrics, on a port of its own.

It runs on the event loop of the calls, so that what it reads cannot change meanwhile, and a thread
does not contend with them. A scrape takes a few milliseconds (`tests/bench/telemetry.py`).
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

import anyio
from anyio.abc import TaskStatus
from attrs import frozen

from twilio_realtime_core import Peer
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse

from ..runtime.random_pool import RandomPool
from .call_metrics import CallMetrics

__all__ = ["METRICS_PATH", "MetricsExporter"]

METRICS_PATH: Final = "/metrics"
"""The path of the metrics."""

_NOT_FOUND: Final = HttpResponse(404, b"not here: try /metrics\n")
_MAX_CONNECTIONS: Final = 16


def _ignore(event: object) -> None:
    """Ignore a notification."""


@frozen(eq=False)
class MetricsExporter:
    """Serves `metrics` at a host and a port; 0 for a free one."""

    metrics: CallMetrics
    host: str
    port: int

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the answer to a request: the metrics, in the format that it asks for."""
        if request.path != METRICS_PATH or request.method not in ("GET", "HEAD"):
            return _NOT_FOUND
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - it is an extra

        encode, content_type = choose_encoder(request.header("accept") or "")
        return HttpResponse(200, encode(self.metrics.registry), content_type=content_type)

    async def run(
        self,
        api: Any,
        on_error: Callable[[Exception], None],
        on_listening: Callable[[list[tuple[str, int]]], None],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled, with `api`, the package of a runtime. It has started once it
        listens. Raises `OSError` if the address cannot be listened on."""
        random_bytes = RandomPool()

        def accept() -> tuple[Any, Hashable]:
            machine = HttpConnection(Peer.TWILIO, self.respond, random_bytes)
            return api.Driver(machine, _ignore), Peer.TWILIO

        def report_listening(addresses: list[tuple[str, int]]) -> None:
            on_listening(addresses)
            task_status.started()

        options: Mapping[str, Any] = {"max_connections": _MAX_CONNECTIONS}
        await api.listen(
            self.host or None,
            self.port,
            accept,
            on_error=on_error,
            on_listening=report_listening,
            **options,
        )
