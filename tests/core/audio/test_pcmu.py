import base64
import binascii
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twilio_realtime.sim.audio import from_linear, to_linear
from twilio_realtime_core.audio import pcmu
from twilio_realtime_core.audio.pcmu import PCMU_FORMAT, count_samples
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
    assert PCMU_FORMAT == {"type": "audio/pcmu"}


# The decision values at which segments start, and their codes (ITU-T G.711, table 2a).
SEGMENTS = [
    (31, 0xEF),
    (95, 0xDF),
    (223, 0xCF),
    (479, 0xBF),
    (991, 0xAF),
    (2015, 0x9F),
    (4063, 0x8F),
]


@pytest.mark.parametrize(("value", "code"), SEGMENTS)
def test_segments_start_where_the_recommendation_says(value: int, code: int) -> None:
    assert pcmu.encode([value - 1, value]) == bytes([code + 1, code])
    assert pcmu.encode([-value, -value - 1]) == bytes([code + 1 - 0x80, code - 0x80])


def test_full_scale_is_the_last_code() -> None:
    assert pcmu.encode([pcmu.FULL_SCALE, -pcmu.FULL_SCALE]) == b"\x80\x00"


def test_nothing_is_silence() -> None:
    assert pcmu.encode([0, 0]) == bytes([pcmu.SILENCE] * 2) == pcmu.silence(2)
    assert pcmu.silence(0) == b""


def test_samples_that_are_too_loud_are_clipped() -> None:
    assert pcmu.encode([10**6, -(10**6)]) == pcmu.encode([pcmu.FULL_SCALE, -pcmu.FULL_SCALE])


@given(st.lists(st.integers(-8159, 8158), max_size=50))
def test_every_value_decodes_to_within_half_a_step(values: list[int]) -> None:
    codes = pcmu.encode(values)
    linear = memoryview(to_linear(codes)).cast("h")
    assert len(linear) == len(values)
    for value, decoded in zip(values, linear, strict=True):
        step = max(2, (abs(value) + 33) // 16)
        assert abs(decoded / 4 - value) <= step / 2 + 1


@given(st.binary(max_size=50))
def test_decoded_values_are_encoded_to_their_codes(codes: bytes) -> None:
    linear = memoryview(to_linear(codes)).cast("h")
    # Both codes for nothing decode to the same 0.
    assert pcmu.encode(value >> 2 for value in linear) == codes.replace(b"\x7f", b"\xff")
    assert from_linear(linear.tobytes()) == codes.replace(b"\x7f", b"\xff")
