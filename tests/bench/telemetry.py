"""The cost of metrics and traces: CPU of the serving process per call and second, beside none.

    python tests/bench/telemetry.py [--calls N] [--seconds S] [--runtime R] [--json]

Services without, with metrics, with traces without an SDK, and with both and an SDK that keeps
spans in memory run at the same time, each with its own phones, so that the load of the machine
affects all alike. Metrics are scraped every ten seconds; Prometheus takes fifteen by default, or a
minute. What a scrape takes is printed as well.
"""

import argparse
import json
import time
from collections.abc import Callable, Hashable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from processes import WARM_UP_SECONDS, ignore, print_error, start_process

from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.telemetry.call_metrics import CallMetrics
from twilio_realtime.telemetry.call_traces import CallTracer
from twilio_realtime.telemetry.exporter import MetricsExporter
from twilio_realtime.telemetry.observer import ObserverFactory
from twilio_realtime_core import CallConfig, Peer, SessionConfig
from twilio_realtime_core.transport.http import HttpRequest

KINDS = ("off", "metrics", "traces", "both")


class BenchLevels:
    """The levels of a service, for its scrapes."""

    loop_lag_s = 0.0
    drain_left_s: float | None = None

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def calls(self) -> int:
        return len(self._service.playback_positions())

    def playback_positions(self) -> Any:
        return self._service.playback_positions()


def make_observers(kind: str, metrics: CallMetrics) -> list[ObserverFactory]:
    if kind == "off":
        return []
    provider = None
    if kind == "both":
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    found: list[ObserverFactory] = []
    if kind in ("metrics", "both"):
        found.append(metrics.observe_call)
    if kind in ("traces", "both"):
        found.append(CallTracer(provider).observe_call)
    return found


def run_service(kind: str, runtime: str, model_port: int) -> None:
    """Serve calls; print the port of the service, and then that of its metrics."""
    session = SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 500})
    call = CallConfig(url=f"ws://127.0.0.1:{model_port}/v1/realtime", session=session)
    metrics = CallMetrics()
    service = Service(ServiceConfig(call=call), observers=make_observers(kind, metrics))
    metrics.add_levels(BenchLevels(service))
    drivers = import_module(f"twilio_realtime.{runtime}")

    def accept() -> tuple[Any, Hashable]:
        return drivers.Driver(service.open_connection(), ignore), Peer.TWILIO

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            ports: dict[str, int] = {}

            def note(name: str) -> Callable[[list[tuple[str, int]]], None]:
                def on_listening(addresses: list[tuple[str, int]]) -> None:
                    ports[name] = addresses[0][1]
                    if len(ports) == 2:
                        print(ports["service"], flush=True)
                        print(ports["metrics"], flush=True)

                return on_listening

            listen = partial(drivers.listen, on_error=print_error, on_listening=note("service"))
            tasks.start_soon(listen, "127.0.0.1", 0, accept)
            exporter = MetricsExporter(metrics, "127.0.0.1", 0)
            tasks.start_soon(exporter.run, drivers, print_error, note("metrics"))

    anyio.run(main, backend=runtime)


def cpu_s(pid: int) -> float:
    """The CPU time of a process of one thread (Linux, /proc/PID/schedstat)."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{pid}/task").iterdir()
    )


def measure(runtime: str, calls: int, seconds: int) -> dict[str, float]:
    """Return the CPU time of each service, in ms per call and second."""
    model, model_port = start_process("model", "-", 0)
    processes, services, scraped = [model], dict[str, Any](), list[int]()
    try:
        for kind in KINDS:
            service, port = start_process(kind, runtime, model_port, __file__)
            assert service.stdout is not None
            metrics_port = int(service.stdout.readline())
            services[kind] = service
            if kind in ("metrics", "both"):
                scraped.append(metrics_port)
            processes += [service, start_process("phones", str(calls), port)[0]]
        time.sleep(WARM_UP_SECONDS + calls * 0.05)
        before = {kind: cpu_s(each.pid) for kind, each in services.items()}
        start_s = time.time()
        while time.time() < start_s + seconds:
            for port in scraped:
                with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    answer.read()
            time.sleep(min(10, max(0.0, start_s + seconds - time.time())))
        share = 1000 / (calls * (time.time() - start_s))
        return {kind: (cpu_s(each.pid) - before[kind]) * share for kind, each in services.items()}
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def scrape_ms() -> float:
    """Return the CPU time of a scrape, in ms."""
    metrics = CallMetrics()
    metrics.add_levels(BenchLevels(Service(ServiceConfig())))
    exporter, rounds = MetricsExporter(metrics, "", 0), 50
    start_s = time.process_time()
    for _ in range(rounds):
        exporter.respond(HttpRequest("GET", "/metrics"))
    return 1000 * (time.process_time() - start_s) / rounds


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=8, help="calls at once, of each service (8)")
    parser.add_argument("--seconds", type=int, default=20, help="to measure (20)")
    parser.add_argument("--runtime", choices=("trio", "asyncio"), default="trio")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        kind, runtime, port = options.role
        run_service(kind, runtime, int(port))
        return
    figures = measure(options.runtime, options.calls, options.seconds)
    figures["scrape"] = scrape_ms()
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"CPU, ms per call and second, {options.calls} calls of each service")
    for kind in KINDS:
        figure = figures[kind]
        print(f"{kind:10}{figure:6.3f}   {figure / figures['off']:5.3f} of off")
    print(f"scrape    {figures['scrape']:6.3f} ms of CPU each")


if __name__ == "__main__":
    main()
