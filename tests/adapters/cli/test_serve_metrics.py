"""`serve --metrics-port`: metrics of a service in another process."""

import urllib.request
from pathlib import Path

import pytest

from command_line import RUNTIMES, RunningCommand
from timeouts import HANG_S

NOBODY = "ws://127.0.0.1:9/v1/realtime"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_command_serves_metrics(runtime: str, tmp_path: Path) -> None:
    options = ("--port", "0", "--realtime-url", NOBODY, "--runtime", runtime, "--json")
    with RunningCommand("serve", "--metrics-port", "0", *options, folder=tmp_path) as serve:
        port = serve.wait_for_event("metrics.listening")["port"]
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, timeout=HANG_S) as answer:
            text = answer.read().decode()
        assert serve.send_signal() == 130
    assert "twilio_realtime_calls 0.0" in text
    assert "twilio_realtime_loop_lag_seconds" in text
    assert "process_open_fds" in text
