import base64
import binascii
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twilio_realtime_core.audio.payload import PCMU, count_samples
from twilio_realtime_core.machine.units import FRAME_SAMPLES

ALPHABET = string.ascii_letters + string.digits + "+/"


@given(st.binary(min_size=1, max_size=300))
def test_every_sample_of_a_payload_is_counted(audio: bytes) -> None:
    assert count_samples(base64.b64encode(audio).decode()) == len(audio)


def test_a_caller_frame_holds_20_ms() -> None:
    payload = base64.b64encode(bytes(160)).decode()
    assert len(payload) == 216
    assert count_samples(payload) == FRAME_SAMPLES


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "A",
        "AA",
        "AAA",
        "AAAAA",
        "A===",
        "====",
        "=AAA",
        "AA=A",
        "AA==AA==",
        "AAAA====",
        "AAAA=",
        "AA==\n",
        "AAA\n",
        " AAA",
        "AA A",
        "AA-_",
        'AA"}',
        "AAÄA",
        "AA\ud800A",
        "AA٣A",
        "AAA\0",
    ],
)
def test_an_empty_or_wrong_payload_is_not_counted(payload: str) -> None:
    assert count_samples(payload) is None


@given(st.text(alphabet=ALPHABET + '==\n-"é', max_size=16) | st.text(max_size=8))
@example("AAAA====")
@example("AB==")
def test_a_payload_is_base64_exactly_if_it_decodes(
    payload: str,
) -> None:
    # The decoder alone lets padding pass that stands where none is needed.
    try:
        audio = base64.b64decode(payload, validate=True)
    except (ValueError, binascii.Error):
        audio = b""
    regular = len(payload) == len(base64.b64encode(audio))
    assert count_samples(payload) == (len(audio) if audio and regular else None)


def test_mu_law_is_named_without_a_rate() -> None:
    assert PCMU == {"type": "audio/pcmu"}
