"""Metrics of calls: scraped, parsed, and the names that the dashboard and alerts use."""

import importlib
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from free_ports import free_port
from phone_network import ENVIRONMENT, PhoneNetwork, run_network
from twilio_realtime import Agent, Call, HangUp, PlaybackFinished, UsageError, serving
from twilio_realtime.telemetry import call_metrics
from twilio_realtime.telemetry.call_metrics import CallMetrics
from twilio_realtime.telemetry.exporter import MetricsExporter
from twilio_realtime.telemetry.observer import Observers
from twilio_realtime_core import Fault, FaultKind, Peer
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    EndReason,
    Interrupted,
    InterruptedItem,
    InterruptionCause,
    KeyPressed,
    PlaybackStarted,
    ResponseFinished,
    SessionLost,
    SessionRestored,
    SessionRotated,
)
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse, RequestRefused
from twilio_realtime_core.values.playback_position import Clip, PlaybackPosition
from twilio_realtime_core.values.usage import Tokens, Usage

FOLDER = Path(call_metrics.__file__).parent
STARTED = CallStarted("MZ1", "CA1", "AC1", {})
each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])

Samples = dict[str, float]


def samples(text: str) -> Samples:
    """Return the samples of an exposition, by name and labels."""
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Levels:
    """A service that drains, with one call."""

    calls = 3
    loop_lag_s = 0.004
    drain_left_s: float | None = 20.5

    def playback_positions(self) -> list[tuple[PlaybackPosition, ...]]:
        clip = PlaybackPosition(Clip(1, "a", 8000), 0, 4000, 8000, True, 80)  # noqa: FBT003
        return [(), (clip, clip), (clip,)]


def observe(*events: tuple[int, object]) -> Samples:
    """Return the metrics of a call with these notifications, by their times (ms)."""
    metrics = CallMetrics()
    observer = metrics.observe_call()
    for at_ms, event in events:
        observer.on_notification(event, at_ms * MS)
    return samples(scrape(metrics))


def scrape(metrics: CallMetrics, accept: str = "") -> str:
    exporter = MetricsExporter(metrics, "127.0.0.1", 0)
    answer = exporter.respond(HttpRequest("GET", "/metrics", (("accept", accept),)))
    assert answer.status == 200
    return answer.body.decode()


# What is counted


def test_a_call_is_counted_from_start_to_end() -> None:
    found = observe((0, STARTED), (5, STARTED), (90_000, CallEnded(EndReason.HUNG_UP)))
    assert found["twilio_realtime_calls_started_total"] == 1
    assert found["twilio_realtime_calls_ended_total hung up"] == 1
    assert found["twilio_realtime_call_duration_seconds_sum"] == 90


def test_the_latency_of_a_response_is_measured_once_a_turn() -> None:
    started = PlaybackStarted("r", "i", 0)
    found = observe(
        (0, started),
        (100, CallerSpeechStarted("u", 0)),
        (1000, CallerSpeechStopped("u", 0)),
        (1650, started),
        (2650, started),
    )
    assert found["twilio_realtime_response_latency_seconds_count"] == 1
    assert found["twilio_realtime_response_latency_seconds_sum"] == pytest.approx(0.65)


def test_an_interruption_is_measured_with_what_it_cut() -> None:
    item = InterruptedItem("r", "i", 0, 400, 1900)
    found = observe(
        (100, CallerSpeechStarted("u", 0)),
        (350, Interrupted(InterruptionCause.CALLER, (item,))),
        (360, CallerSpeechStopped("u", 0)),
        (900, Interrupted(InterruptionCause.APPLICATION, ())),
    )
    assert found["twilio_realtime_interruption_latency_seconds_sum"] == pytest.approx(0.25)
    assert found["twilio_realtime_interruptions_total caller"] == 1
    assert found["twilio_realtime_interruptions_total application"] == 1
    assert found["twilio_realtime_unheard_seconds_total"] == pytest.approx(1.5)


def test_tokens_and_statuses_of_responses_are_counted() -> None:
    usage = Usage(Tokens(100), Tokens(40), Tokens(7))
    found = observe(
        (0, ResponseFinished("r", "completed", None, usage)),
        (0, ResponseFinished("s", "a new word", None, None)),
    )
    assert [found[f"twilio_realtime_tokens_total {each}"] for each in ("input", "cached")] == [
        100,
        40,
    ]
    assert found["twilio_realtime_tokens_total output"] == 7
    assert found["twilio_realtime_responses_total completed"] == 1
    assert found["twilio_realtime_responses_total other"] == 1


def test_faults_refusals_and_sessions_are_counted() -> None:
    found = observe(
        (0, Fault(Peer.TWILIO, FaultKind.NOT_JSON, "x")),
        (0, Fault(None, FaultKind.OVERFLOW, "x")),
        (0, RequestRefused(Peer.TWILIO, None, HttpResponse(403))),
        (0, SessionLost(EndReason.REALTIME_LOST, "", 1, 0)),
        (0, SessionRestored((), (), {})),
        (0, SessionRotated()),
        (0, KeyPressed("5")),
    )
    assert found["twilio_realtime_faults_total not JSON twilio"] == 1
    assert found["twilio_realtime_faults_total overflow none"] == 1
    assert found["twilio_realtime_requests_refused_total 403"] == 1
    names = ("lost", "restored", "rotated")
    assert [found[f"twilio_realtime_session_events_total {each}"] for each in names] == [1, 1, 1]


def test_levels_are_read_by_the_scrape() -> None:
    metrics = CallMetrics()
    metrics.add_levels(Levels())
    found = samples(scrape(metrics))
    assert found["twilio_realtime_calls"] == 3
    assert found["twilio_realtime_loop_lag_seconds"] == 0.004
    assert (found["twilio_realtime_draining"], found["twilio_realtime_drain_left_seconds"]) == (
        1,
        20.5,
    )
    assert found["twilio_realtime_queued_audio_seconds"] == 1.5
    assert found["twilio_realtime_queued_audio_max_seconds"] == 1
    assert found["twilio_realtime_heard_margin_max_seconds"] == 0.01


# The files


def every_metric() -> dict[str, set[str]]:
    """Return all names of samples, with their labels."""
    metrics = CallMetrics()
    metrics.add_levels(Levels())
    observer = metrics.observe_call()
    for event in (
        STARTED,
        CallEnded(EndReason.HUNG_UP),
        Interrupted(InterruptionCause.CALLER, ()),
        ResponseFinished("r", "completed", None, Usage()),
        Fault(Peer.TWILIO, FaultKind.NOT_JSON, "x"),
        RequestRefused(Peer.TWILIO, None, HttpResponse(403)),
        SessionRotated(),
    ):
        observer.on_notification(event, SECOND)
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(scrape(metrics))
        for sample in family.samples
    }


def queries(text: str) -> list[tuple[str, set[str]]]:
    """Return the metrics that a text names, each with the labels of its query."""
    return [
        (match[1], set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", match[2] or "")))
        for match in re.finditer(r"\b((?:twilio_realtime|process)_\w+)(\{[^}]*\})?", text)
    ]


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    board = json.loads((FOLDER / "grafana_dashboard.json").read_text("utf-8"))
    known, asked = every_metric(), set[str]()
    for panel in board["panels"]:
        for target in panel["targets"]:
            found = queries(target["expr"])
            assert found
            for name, labels in found:
                asked.add(name)
                grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
                labels |= {label.strip() for each in grouped for label in each.split(",")}
                assert labels <= known[name], target["expr"]
    ours = {re.sub("_(bucket|sum|count)$", "", each) for each in known if is_ours(each)}
    assert ours <= {re.sub("_bucket$", "", each) for each in asked}


def is_ours(name: str) -> bool:
    return name.startswith("twilio_realtime_") and not name.endswith("_created")


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    known = every_metric()
    found = queries((FOLDER / "alert_rules.yaml").read_text("utf-8"))
    assert len(found) >= 7
    for name, labels in found:
        assert labels <= known[name]


def test_reasons_in_the_alerts_are_those_of_calls() -> None:
    (named,) = re.findall(r'reason!~"([^"]*)"', (FOLDER / "alert_rules.yaml").read_text("utf-8"))
    assert set(named.split("|")) <= {each.value for each in EndReason}


# The endpoint


def test_a_scraper_may_ask_for_openmetrics() -> None:
    metrics = CallMetrics()
    text = scrape(metrics, "application/openmetrics-text; version=1.0.0")
    parser: Any = importlib.import_module("prometheus_client.openmetrics.parser")
    names = {each.name for each in parser.text_string_to_metric_families(text)}
    assert "twilio_realtime_calls_started" in names


def test_other_paths_are_not_found() -> None:
    exporter = MetricsExporter(CallMetrics(), "127.0.0.1", 0)
    assert exporter.respond(HttpRequest("GET", "/")).status == 404
    assert exporter.respond(HttpRequest("POST", "/metrics")).status == 404


@each_runtime
def test_a_service_is_scraped_during_a_call(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    port, texts = free_port(), list[str]()
    agent = Agent(greeting="Greet.")

    @agent.on(PlaybackFinished)
    async def finished(call: Call, _: PlaybackFinished) -> None:
        texts.append(await get(port))
        call.send(HangUp())

    async def use(network: PhoneNetwork) -> None:
        async with serving(agent, metrics_port=port, **network.settings):
            await network.call_in()
            texts.append(await get(port))

    run_network(PhoneNetwork(runtime), use)
    during, after = map(samples, texts)
    assert (during["twilio_realtime_calls"], after["twilio_realtime_calls"]) == (1, 0)
    assert after["twilio_realtime_calls_ended_total hung up"] == 1
    assert after["process_cpu_seconds_total"] > 0


async def get(port: int) -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    return answer.text


def test_no_call_is_taken_if_the_metrics_port_is() -> None:
    serves = False

    async def main() -> None:
        nonlocal serves
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
            agent = Agent()
            url = "ws://127.0.0.1:9/v1/realtime"
            async with serving(agent, port=0, realtime_url=url, metrics_port=port):
                serves = True

    with pytest.raises(OSError, match=r".*"):
        anyio.run(partial(unwrapped, main))
    assert not serves


async def unwrapped(main: Any) -> None:
    try:
        await main()
    except BaseException as error:
        raise innermost(error) from None


def innermost(error: BaseException) -> BaseException:
    match error:
        case BaseExceptionGroup(exceptions=(BaseException() as cause, *_)):
            return innermost(cause)
        case _:
            return error


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match="metrics"):
        CallMetrics()


# Observers


def test_an_observer_that_raises_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    seen = list[object]()

    class Broken:
        def on_notification(self, event: object, now: int) -> None:
            raise ValueError("+15005550006")

    class Keeping:
        def on_notification(self, event: object, now: int) -> None:
            seen.append(event)

    observers = Observers([Broken(), Keeping()])
    observers.on_notification(1, 0)
    observers.on_notification(2, 0)
    assert seen == [1, 2]
    assert caplog.text.count("Broken is left out") == 1
    assert "+1500" not in caplog.text
