"""Metrics of calls, in the format of Prometheus (the extra `metrics`).

    metrics = CallMetrics()
    service = Service(config, observers=[metrics.observe_call])
    print(generate_latest(metrics.registry))

Counters and histograms are fed by notifications; what is a level, such as the calls in progress, is
read when Prometheus asks. No label holds a number, a name or an id.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import define, field, frozen

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    Interrupted,
    InterruptionCause,
    PlaybackStarted,
    ResponseFinished,
    SessionLost,
    SessionRestored,
    SessionRotated,
)
from twilio_realtime_core.transport.http import RequestRefused
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ..errors import UsageError
from .observer import ResponseClock

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["LATENCY_BUCKETS_S", "CallMetrics", "CallMetricsObserver", "ServiceLevels"]

LATENCY_BUCKETS_S: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of latencies: people notice half a second, and repeat themselves after two."""

_STATUSES: Final = ("completed", "cancelled", "failed", "incomplete")
"""Statuses of responses: what a server sends besides is one label."""

_COUNTED: Final = frozenset(
    {
        CallEnded,
        CallStarted,
        CallerSpeechStarted,
        CallerSpeechStopped,
        Fault,
        Interrupted,
        PlaybackStarted,
        RequestRefused,
        ResponseFinished,
        SessionLost,
        SessionRestored,
        SessionRotated,
    }
)
"""The notifications that are counted; all others cost one look-up."""

_DURATION_BUCKETS_S: Final = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_SAMPLES_PER_S: Final = 8_000


class ServiceLevels(Protocol):
    """What a service knows of its state, asked for by each scrape."""

    @property
    def calls(self) -> int:
        """Calls in progress."""
        ...

    @property
    def loop_lag_s(self) -> float:
        """How late the event loop is: the median of the last seconds."""
        ...

    @property
    def drain_left_s(self) -> float | None:
        """How long calls may go on, if the service drains."""
        ...

    def playback_positions(self) -> Iterable[tuple[PlaybackPosition, ...]]:
        """The positions of what plays in each call."""
        ...


@define(eq=False)
class CallMetrics:
    """The metrics of a service. Raises `UsageError` if prometheus-client is not installed."""

    registry: "CollectorRegistry" = field(factory=lambda: _import_prometheus().CollectorRegistry())
    calls_started: Any = field(init=False)
    calls_refused: Any = field(init=False)
    calls_ended: Any = field(init=False)
    call_duration: Any = field(init=False)
    faults: Any = field(init=False)
    requests_refused: Any = field(init=False)
    response_latency: Any = field(init=False)
    interruption_latency: Any = field(init=False)
    interruptions: Any = field(init=False)
    unheard: Any = field(init=False)
    responses: Any = field(init=False)
    tokens: Any = field(init=False)
    session_events: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        library, registry = _import_prometheus(), self.registry

        def counter(name: str, text: str, *labels: str) -> Any:
            return library.Counter(f"twilio_realtime_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Any:
            full_name = f"twilio_realtime_{name}"
            return library.Histogram(full_name, text, buckets=buckets, registry=registry)

        self.calls_started = counter("calls_started", "Calls whose stream has started.")
        self.calls_refused = counter("calls_refused", "Calls that heard a busy signal.")
        self.calls_ended = counter("calls_ended", "Calls that have ended, by reason.", "reason")
        self.call_duration = histogram(
            "call_duration_seconds", "How long calls lasted.", _DURATION_BUCKETS_S
        )
        self.faults = counter("faults", "What peers did wrong, by peer and kind.", "peer", "kind")
        self.requests_refused = counter(
            "requests_refused", "Refused requests, by status.", "status"
        )
        self.response_latency = histogram(
            "response_latency_seconds",
            "From the end of the caller's speech to the first audio heard.",
            LATENCY_BUCKETS_S,
        )
        self.interruption_latency = histogram(
            "interruption_latency_seconds",
            "From the start of the caller's speech to the interruption.",
            LATENCY_BUCKETS_S,
        )
        self.interruptions = counter("interruptions", "Interruptions, by cause.", "cause")
        self.unheard = counter(
            "unheard_seconds", "Audio of the agent that was sent, and cut by an interruption."
        )
        self.responses = counter("responses", "Responses of the model, by status.", "status")
        self.tokens = counter("tokens", "Tokens, by direction.", "direction")
        self.session_events = counter(
            "session_events", "Sessions of the model lost, restored or rotated.", "event"
        )

    def observe_call(self) -> "CallMetricsObserver":
        """Return the observer of a new call."""
        return CallMetricsObserver(self)

    def add_levels(self, levels: ServiceLevels) -> None:
        """Have the state of a service, and of this process, read by each scrape."""
        library = _import_prometheus()
        self.registry.register(_LevelCollector(levels))
        library.ProcessCollector(registry=self.registry)


@define(eq=False)
class CallMetricsObserver:
    """Counts what one call notifies."""

    _metrics: CallMetrics
    _clock: ResponseClock = field(init=False, factory=ResponseClock)
    _started_ns: int | None = field(init=False, default=None)
    _speech_started_ns: int | None = field(init=False, default=None)

    def on_notification(self, event: object, now: int) -> None:
        """Count a notification."""
        if type(event) in _COUNTED:
            self._count(event, now)

    def _count(self, event: object, now: int) -> None:
        metrics = self._metrics
        match event:
            case CallStarted():
                if self._started_ns is None:  # a socket may start a second stream
                    self._started_ns = now
                    metrics.calls_started.inc()
            case CallEnded(reason=reason):
                metrics.calls_ended.labels(reason.value).inc()
                if self._started_ns is not None:
                    metrics.call_duration.observe((now - self._started_ns) / SECOND)
            case CallerSpeechStarted():
                self._speech_started_ns = now
                self._clock.speech_started()
            case CallerSpeechStopped():
                self._speech_started_ns = None
                self._clock.speech_stopped(now)
            case PlaybackStarted():
                latency_ns = self._clock.playback_started(now)
                if latency_ns is not None:
                    metrics.response_latency.observe(latency_ns / SECOND)
            case Interrupted():
                self._count_interruption(event, now)
            case ResponseFinished():
                self._count_response(event)
            case Fault(peer=peer, kind=kind):
                name = str(getattr(peer, "value", "none" if peer is None else "realtime"))
                metrics.faults.labels(name, kind.value).inc()
            case RequestRefused(response=response):
                metrics.requests_refused.labels(str(response.status)).inc()
            case SessionLost():
                metrics.session_events.labels("lost").inc()
            case SessionRestored():
                metrics.session_events.labels("restored").inc()
            case _:
                metrics.session_events.labels("rotated").inc()

    def _count_interruption(self, event: Interrupted, now: int) -> None:
        metrics = self._metrics
        metrics.interruptions.labels(event.cause.value).inc()
        metrics.unheard.inc(sum(each.sent_ms - each.heard_ms for each in event.items) / 1000)
        if event.cause is InterruptionCause.CALLER and self._speech_started_ns is not None:
            metrics.interruption_latency.observe((now - self._speech_started_ns) / SECOND)

    def _count_response(self, event: ResponseFinished) -> None:
        metrics, status = self._metrics, event.status
        metrics.responses.labels(status if status in _STATUSES else "other").inc()
        if event.usage is not None:
            metrics.tokens.labels("input").inc(event.usage.input.total)
            metrics.tokens.labels("cached").inc(event.usage.cached.total)
            metrics.tokens.labels("output").inc(event.usage.output.total)


@frozen(eq=False)
class _LevelCollector:
    """Reads the levels of a service when Prometheus asks."""

    _levels: ServiceLevels

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - it is an extra

        levels = self._levels
        margins, queued = [0.0], [0.0]
        for positions in levels.playback_positions():
            margins += [each.margin_samples / _SAMPLES_PER_S for each in positions]
            unplayed = sum(each.sent_samples - each.estimated_samples for each in positions)
            queued.append(unplayed / _SAMPLES_PER_S)
        left_s = levels.drain_left_s
        rows = {
            "calls": ("Calls in progress.", levels.calls),
            "loop_lag_seconds": ("How late the event loop is, in the median.", levels.loop_lag_s),
            "draining": ("Whether no new calls are taken.", float(left_s is not None)),
            "drain_left_seconds": ("How long calls may go on after SIGTERM.", left_s or 0.0),
            "queued_audio_seconds": ("Audio that Twilio holds, in all calls.", sum(queued)),
            "queued_audio_max_seconds": ("The same of the call with the most.", max(queued)),
            "heard_margin_max_seconds": (
                "How far off the position of what was heard may be, at most.",
                max(margins),
            ),
        }
        for name, (text, value) in rows.items():
            yield GaugeMetricFamily(f"twilio_realtime_{name}", text, value=value)


def _import_prometheus() -> Any:
    try:
        import prometheus_client  # noqa: PLC0415 - it is an extra
    except ModuleNotFoundError:
        raise UsageError(
            "metrics need prometheus-client: pip install 'twilio-realtime-core[metrics]'"
        ) from None
    return prometheus_client
