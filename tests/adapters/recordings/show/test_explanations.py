"""Reasons in words."""

from pathlib import Path

import pytest

from twilio_realtime.recordings.show import explanations
from twilio_realtime.recordings.show.explanations import explain_reason, explanations_of
from twilio_realtime.recordings.show.reader import RecordedReason
from twilio_realtime_core.machine.reasons import Decision, Reason

PAGE = Path(__file__).parents[4] / "docs/reference/reasons.md"

NEVER = RecordedReason("interruption_refused", "never")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_the_sentence_of_the_reference(reason: Reason) -> None:
    recorded = RecordedReason(reason.decision.value, reason.label)
    sentence = explain_reason(recorded)
    reference = PAGE.read_text("utf-8").replace("`", "")
    assert f"| | {reason.label} | {sentence} |" in reference
    found = explanations_of([recorded])[reason.decision.value]
    assert found[reason.label] == sentence
    assert f"| {reason.decision.value} | | **{found['']}** |" in reference


def test_a_policy_is_named_by_its_field() -> None:
    assert explain_reason(NEVER).endswith("InterruptionPolicy.allowed is false.")


def test_an_unknown_reason_is_shown_by_its_name() -> None:
    unknown = RecordedReason("interruption_refused", "full_moon")
    assert explain_reason(unknown) == "interruption refused: full moon"
    assert explanations_of([unknown]) == {}


def test_without_the_source_reasons_are_shown_by_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_members: object) -> str:
        raise OSError("no source")

    monkeypatch.setattr("inspect.getsource", fail)
    assert explanations._docstrings(Decision) == {}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
