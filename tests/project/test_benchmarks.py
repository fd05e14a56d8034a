"""The benchmarks whose results are kept: what is compared, and that calls pass a bridge."""

import json
import runpy
import subprocess
import sys
from typing import Any

import pytest

from pages import ROOT
from timeouts import HANG_S

TRACK = runpy.run_path(str(ROOT / "tests/bench/track.py"))


def results(ratio: float) -> dict[str, Any]:
    """Results of one case and one bridge, with this ratio."""
    case, bridge = {"frame": {"median": 5.0, "ratio": ratio}}, {"service, trio": {"ratio": ratio}}
    return {"message": {"results": case}, "serving": {"results": {"20": bridge}}}


@pytest.mark.parametrize(("ratio", "status"), [(2.0, 0), (2.2, 0), (1.0, 0), (2.4, 1)])
def test_a_ratio_that_has_grown_fails_the_comparison(
    capsys: pytest.CaptureFixture[str], ratio: float, status: int
) -> None:
    assert TRACK["compare"](results(2.0), results(ratio)) == status
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["frame", "service,"]
    assert all(line.endswith("larger") is bool(status) for line in lines[1:])


def test_a_ratio_that_is_not_kept_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert TRACK["compare"]({}, results(2.0)) == 0
    assert "2.00" in capsys.readouterr().out


def test_the_results_that_are_kept_have_ratios() -> None:
    kept = json.loads(TRACK["KEPT"].read_text("utf-8"))
    assert set(kept) == set(TRACK["BENCHMARKS"])
    assert len(dict(TRACK["ratios"](kept))) >= 10


@pytest.mark.parametrize("bridge", ["bare, asyncio", "service, asyncio", "service, trio"])
def test_calls_pass_a_bridge_under_load(bridge: str) -> None:
    script = str(ROOT / "tests/bench/serving.py")
    options = ("--calls", "2", "--rounds", "1", "--seconds", "1", "--bridges", bridge, "--json")
    done = subprocess.run(  # noqa: S603
        [sys.executable, script, *options], stdout=subprocess.PIPE, check=True, timeout=HANG_S
    )
    figures = json.loads(done.stdout)["2"][bridge]
    assert figures["frame_p50_us"] > 0
    assert figures["cpu_ms"] > 0
