"""Bugs that are planted in the core are found, and shown by a short call."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutants import __main__ as command
from mutants.bugs import BUGS
from mutants.hunting import find, shorten
from mutants.planting import CORE, Bug, Edit, WrongEdit, edited, plant
from mutants.shrinking import Plan, follow, plan_of, shrink
from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.choices import Choices

BY_NAME = {bug.name: bug for bug in BUGS}

# Planting.


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_bug_can_be_planted(bug: Bug) -> None:
    for module, text in edited(bug).items():
        assert text != (CORE / f"{module}.py").read_text("utf-8")
        compile(text, f"{module}.py", "exec")


def test_each_bug_has_a_different_name() -> None:
    assert len(BY_NAME) == len(BUGS) >= 14


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
        ("truncated above what was sent", 4),
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


def test_a_find_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "TRACES", tmp_path)
    monkeypatch.setattr("sys.argv", ["mutants", "--bug", "off by", "--calls", "200"])
    assert command.main() == 0
    out = capsys.readouterr().out
    assert "1 of 1" in out
    assert out.splitlines()[-1].startswith("the carry is off by one")
    (trace,) = tmp_path.iterdir()
    assert "\ninvariant 3: " in trace.read_text("utf-8")


def test_a_bug_that_is_not_found_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n```text mutants\nold\n```\nafter\n", "utf-8")
    harmless = Bug("no bug", [Edit("bridge", "self._now = now", "self._now = int(now)")])
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "BUGS", [harmless])
    monkeypatch.setattr("sys.argv", ["mutants", "--calls", "1"])
    assert command.main() == 1
    table = capsys.readouterr().out.partition("\n\n")[2]
    assert "no bug      -      -  not found" in table
    assert page.read_text("utf-8") == f"before\n```text mutants\n{table}```\nafter\n"


# Shrinking.


def draw_all(choices: Choices) -> list[int]:
    return [
        choices.draw_integer("a", 0, 100),
        *(
            choices.draw_integer("b", 5, 1000)
            for _ in range(choices.draw_integer("how many", 0, 4))
        ),
    ]


def shrunk(start: Plan, fails: Callable[[list[int]], bool]) -> Plan:
    """The smallest plan of `draw_all` that fails."""

    def attempt(plan: Plan) -> Plan | None:
        choices = follow(plan)
        return plan_of(choices.draws) if fails(draw_all(choices)) else None

    return shrink(start, attempt)


@given(st.integers(0, 2**32))
def test_a_plan_makes_the_same_choices_again(seed: int) -> None:
    choices = Choices.from_seed(seed)
    numbers = draw_all(choices)
    again = follow(plan_of(choices.draws))
    assert (draw_all(again), again.draws) == (numbers, choices.draws)


def test_the_plan_of_a_call_makes_the_same_call() -> None:
    choices = Choices.from_seed(3)
    assert RandomCall(choices).run() is None
    again = follow(plan_of(choices.draws))
    assert RandomCall(again).run() is None
    assert again.draws == choices.draws


def test_a_number_that_is_too_high_becomes_the_highest() -> None:
    assert draw_all(follow({("a", 0): 101})) == [100]


START: Plan = {("a", 0): 90, ("how many", 0): 4, **{("b", n): 700 + n for n in range(4)}}


def test_shrinking_leaves_out_what_does_not_matter() -> None:
    assert shrunk(START, lambda numbers: numbers[0] >= 17) == {("a", 0): 17}


def test_shrinking_makes_what_matters_sooner_and_smaller() -> None:
    plan = shrunk(START, lambda numbers: any(each > 250 for each in numbers[1:]))
    assert plan == {("how many", 0): 1, ("b", 0): 251}


def test_shrinking_leaves_out_unused_draws() -> None:
    """Two lists of the same length, of which only one pair matters."""

    def attempt(plan: Plan) -> Plan | None:
        choices = follow(plan)
        times = [
            choices.draw_integer("at", 0, 99) for _ in range(choices.draw_integer("how many", 0, 9))
        ]
        fails = any(at > 30 and choices.draw_integer("what", 0, 9) == 7 for at in sorted(times))
        return plan_of(choices.draws) if fails else None

    start = {("how many", 0): 4, **{("at", n): 90 - n for n in range(4)}, ("what", 2): 7}
    assert attempt(start) == start
    assert shrink(start, attempt) == {("how many", 0): 1, ("at", 0): 31, ("what", 0): 7}


def test_shrinking_keeps_what_fails_only_whole() -> None:
    whole = draw_all(follow(START))
    assert shrunk(START, lambda numbers: numbers == whole) == START


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
