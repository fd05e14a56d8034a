"""The whole demo in real time."""

from pathlib import Path

from command_line import RunningCommand


def test_the_full_demo_takes_fifteen_seconds_and_names_its_files(tmp_path: Path) -> None:
    with RunningCommand("demo", "--output", str(tmp_path)) as demo:
        assert demo.wait() == 0, demo.errors
    assert demo.errors == ""
    (ended,) = (line for line in demo.lines if "ended: caller hung up" in line)
    assert 14 < float(ended.split()[0]) < 18
    *_, recording, page, sound, verdict = demo.lines
    assert recording.startswith(f"{tmp_path / 'call.jsonl'}: ")
    assert page.startswith(f"{tmp_path / 'call.html'}: ")
    assert sound.startswith(f"{tmp_path / 'call.wav'}: ")
    assert verdict == "The call went as expected."
    assert sum("truncate" in line for line in demo.lines) == 2
