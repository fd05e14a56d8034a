import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind, redact


def test_faults_are_values() -> None:
    fault = Fault("phone", FaultKind.NOT_JSON, "no JSON object", code="31951")
    assert fault == Fault("phone", FaultKind.NOT_JSON, "no JSON object", "31951")
    assert {fault: "logged"}[fault] == "logged"
    assert fault != Fault("phone", FaultKind.NOT_JSON, "no JSON object")
    with pytest.raises(FrozenInstanceError):
        fault.code = None  # type: ignore[misc]


def test_a_fault_needs_no_code() -> None:
    assert Fault(None, FaultKind.OVERFLOW, "the queue is full").code is None


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Invalid modalities: ['video'].", "Invalid modalities: ['video']."),
        ("Incorrect API key provided: sk-proj-****************abcd.", "provided: [hidden]."),
        ("client secret ek_68af296e8e40 has expired", "client secret [hidden] has expired"),
        ("header Bearer abc.def is malformed", "header [hidden] is malformed"),
        ("account AC0123456789abcdef0123456789ABCDEF suspended", "account [hidden] suspended"),
        ("cannot call +1 (555) 010-0199 now", "cannot call [hidden] now"),
        ("Audio of 1250ms is already shorter than 99999ms", "of 1250ms is already shorter than"),
    ],
)
def test_redacted_text_hides_keys_and_numbers(words: str, shown: str) -> None:
    assert shown in redact(words)
    assert ("[hidden]" in redact(words)) == ("[hidden]" in shown)


@given(st.text(max_size=2000))
def test_redacted_text_is_one_short_line(text: str) -> None:
    shown = redact(text)
    assert len(shown) <= 301
    assert len(shown.splitlines()) <= 1
    assert shown == shown.strip()
    assert shown.isprintable()


def test_redacted_text_has_no_control_characters() -> None:
    assert redact("no\x1b[2J\x07 such \ud800call") == "no [2J such call"


def test_redacted_text_shows_where_it_is_cut() -> None:
    assert redact("a" * 300) == "a" * 300
    assert redact("a" * 301) == "a" * 300 + "…"


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
def test_redacted_text_hides_tokens_of_any_header_spelling(word: str) -> None:
    assert redact(f"refused: {word} abc.def-123") == "refused: [hidden]"


@pytest.mark.parametrize("words", ["tel.5551234567", "+1.555.123.4567", "to:+15551234567."])
def test_redacted_text_hides_a_number_next_to_a_point(words: str) -> None:
    assert "4567" not in redact(words)


def test_addresses_of_machines_are_no_phone_numbers() -> None:
    assert redact("127.0.0.1 refused, 192.168.100.200:5050 too") == (
        "127.0.0.1 refused, 192.168.100.200:5050 too"
    )
