"""Bugs that are planted in the core are found, and shown by a short call."""

from pathlib import Path

import pytest

from mutants import __main__ as command
from mutants.bugs import BUGS
from mutants.hunting import find, shorten
from mutants.planting import CORE, Bug, Edit, WrongEdit, edited, plant
from mutants.rare_bugs import RARE_BUGS
from twilio_realtime.sim.choices import Choices

ALL_BUGS = (*BUGS, *RARE_BUGS)
BY_NAME = {bug.name: bug for bug in ALL_BUGS}

# Planting.


@pytest.mark.parametrize("bug", ALL_BUGS, ids=lambda bug: bug.name)
def test_every_bug_can_be_planted(bug: Bug) -> None:
    for module, text in edited(bug).items():
        assert text != (CORE / f"{module}.py").read_text("utf-8")
        compile(text, f"{module}.py", "exec")


def test_each_bug_has_a_different_name() -> None:
    assert len(BY_NAME) == len(ALL_BUGS) >= 14


def test_a_bug_is_planted_in_a_copy(tmp_path: Path) -> None:
    bug = BY_NAME["the carry is off by one"]
    plant(bug, tmp_path)
    copied = {each.relative_to(tmp_path / CORE.name) for each in tmp_path.rglob("*.py")}
    assert copied == {each.relative_to(CORE) for each in CORE.rglob("*.py")}
    assert (tmp_path / CORE.name / "downlink/framing.py").read_text("utf-8") != (
        CORE / "downlink/framing.py"
    ).read_text("utf-8")


@pytest.mark.parametrize(
    "edit",
    [
        Edit("bridge", "what no module says", ""),
        Edit("bridge", "self", "her"),
        Edit("no_such_module", "a", "b"),
    ],
)
def test_an_edit_that_does_not_fit_raises(edit: Edit) -> None:
    with pytest.raises(WrongEdit, match=r"old news: .*py has .* places, not one"):
        edited(Bug("old news", [edit]))


# Finding.


@pytest.mark.parametrize(
    ("name", "invariant"),
    [
        ("clear after truncate", 4),
        ("two requests at a time", 6),
    ],
)
def test_a_bug_is_found_and_shown_by_a_short_call(name: str, invariant: int) -> None:
    find = command.hunt(BY_NAME[name], 200)
    assert find is not None
    assert find.invariant == invariant
    assert len(find.trace) < 150
    assert "bridge." in find.trace[-1]


def test_nothing_is_found_without_a_bug() -> None:
    assert find(range(5)) is None


def always(_: Choices) -> bool:
    return True


def test_a_call_that_fails_without_the_bug_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "fails", always)
    assert command.hunt(BY_NAME["two requests at a time"], 1) is None


def test_a_find_is_printed_and_kept_and_its_line_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    traces, page = tmp_path / "traces", tmp_path / "page.md"
    other = "two requests at a time   1  1  6: the result of an earlier run"
    old = f"heading\n{other}\nno longer planted  1  1  2: another\n"
    page.write_text(f"before\n```text mutants\n{old}```\nafter\n", "utf-8")
    monkeypatch.setattr(command, "TRACES", traces)
    monkeypatch.setattr(command, "PAGE", page)
    arguments = ["--bug", "off by", "--bug", "two requests", "--missing", "--calls", "200"]
    monkeypatch.setattr("sys.argv", ["mutants", *arguments])
    assert command.main() == 0
    out = capsys.readouterr().out
    assert "1 of 1" in out
    assert out.splitlines()[-1].startswith("the carry is off by one")
    (trace,) = traces.iterdir()
    *_, found, kept, end, after = page.read_text("utf-8").splitlines()
    assert " ".join(found.split()) == " ".join(out.splitlines()[-1].split())
    assert " ".join(kept.split()) == " ".join(other.split())
    assert (end, after) == ("```", "after")
    assert "\ninvariant 3: " in trace.read_text("utf-8")


def test_a_bug_that_is_not_found_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n```text mutants\nold\n```\nafter\n", "utf-8")
    harmless = Bug("no bug", [Edit("machine/outbox", "actions, self", "(actions), self")])
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "BUGS", [harmless])
    monkeypatch.setattr("sys.argv", ["mutants", "--calls", "1"])
    assert command.main() == 1
    table = capsys.readouterr().out.partition("\n\n")[2]
    assert "no bug      -      -  not found" in table
    assert page.read_text("utf-8") == f"before\n```text mutants\n{table}```\nafter\n"


# Traces.


def test_a_trace_counts_the_frames_that_only_pass() -> None:
    told = "       1.000 ms  bridge.receive_text(<Peer.TWILIO: 'twilio'>, '{\"event\":\"media\"')"
    append = "-> Send(peer=<Peer.REALTIME: 'realtime'>, message=AppendAudio(event_id=None))"
    other = "-> Notify(event=CallerAudioPadded(samples=160))"
    step = "       2.000 ms  bridge.start()"
    twice = f"{step}\n    {other}\n    {other}\n    {append}"
    elsewhere = "       2.000 ms  phone.start()"
    passing = [told, f"{told}\n    {append}", elsewhere]
    padded = f"{told}\n    {other}\n    {append}"
    assert [line.strip() for line in shorten([*passing, step, *passing, padded, twice, told])] == [
        "… 2 frames of the caller …",
        step.strip(),
        "… 2 frames of the caller …",
        padded.strip(),
        f"{step}\n    {other} (2 times)\n    {append}".strip(),
        "… 1 frames of the caller …",
    ]
