import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.audio import from_linear, to_linear
from twilio_realtime_core.audio import pcmu

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
