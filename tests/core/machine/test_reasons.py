"""Reasons have names that recordings can hold."""

import re
from pathlib import Path

import twilio_realtime_core
from twilio_realtime_core.machine.outbox import Outbox
from twilio_realtime_core.machine.reasons import MAX_REASONS, Decision, Reason

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def test_names_are_words_joined_by_underscores() -> None:
    names = [each.value for each in Decision] + [each.label for each in Reason]
    assert [each for each in names if not NAME.fullmatch(each)] == []


def test_a_reason_is_unique_for_its_decision() -> None:
    pairs = [(each.decision, each.label) for each in Reason]
    assert len(set(pairs)) == len(pairs)


def test_every_decision_has_a_reason() -> None:
    assert {each.decision for each in Reason} == set(Decision)


def test_every_reason_is_given_somewhere() -> None:
    modules = Path(twilio_realtime_core.__file__).parent.rglob("*.py")
    code = "".join(each.read_text("utf-8") for each in modules)
    assert [each.name for each in Reason if not re.search(rf"Reason\.{each.name}\b", code)] == []


def test_reasons_of_a_step_are_limited() -> None:
    outbox = Outbox()
    for _ in range(MAX_REASONS + 1):
        outbox.explain(Reason.AGENT_SILENT)
    assert outbox.reasons == []  # the step is not complete
    outbox.take_actions()
    assert outbox.reasons == [Reason.AGENT_SILENT] * MAX_REASONS
