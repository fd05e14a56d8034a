from itertools import pairwise, product
from math import cos, log10, pi

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim.audio import to_linear
from twilio_realtime_core.audio import pcmu
from twilio_realtime_core.audio.dtmf import COMMA_MS, MAX_MS, MAX_TOTAL_MS, MIN_MS, key_tones
from twilio_realtime_core.errors import LocalProtocolError

LOW: list[int] = [697, 770, 852, 941]
HIGH: list[int] = [1209, 1336, 1477, 1633]
KEYS = dict(zip(product(LOW, HIGH), "123A456B789C*0#D", strict=True))


def power(linear: memoryview, frequency: int) -> float:
    """How much of a frequency there is, as the square of its amplitude (Goertzel)."""
    coefficient = 2 * cos(2 * pi * frequency / 8000)
    before = last = 0.0
    for value in linear:
        before, last = last, value + coefficient * last - before
    energy = last * last + before * before - coefficient * last * before
    return energy * 4 / len(linear) ** 2


def level(amplitude_squared: float) -> float:
    """In dBm0: a sine at full scale has 3.17 (ITU-T G.711, section 1)."""
    return 3.17 + 10 * log10(amplitude_squared / (4 * pcmu.FULL_SCALE) ** 2)


def linear(audio: bytes) -> memoryview:
    return memoryview(to_linear(audio)).cast("h")


def heard(audio: bytes, tone_ms: int, pause_ms: int) -> str:
    """The keys that a receiver detects in tones of one length with pauses of one length."""
    keys = ""
    step = 8 * (tone_ms + pause_ms)
    assert len(audio) % step == 0
    for at in range(0, len(audio), step):
        tone = linear(audio[at : at + 8 * tone_ms])
        low, high = (max(group, key=lambda each: power(tone, each)) for group in (LOW, HIGH))
        keys += KEYS[low, high]
        pause = audio[at + 8 * tone_ms : at + step]
        assert pause == pcmu.silence(len(pause))
    return keys


def test_every_key_is_heard_as_itself() -> None:
    keys = "0123456789*#ABCD"
    assert heard(key_tones(keys), 100, 100) == keys


@given(
    st.text("0123456789*#ABCD", min_size=1, max_size=4),
    st.integers(MIN_MS, 80),
    st.integers(MIN_MS, 80),
)
@settings(max_examples=20, deadline=None)
def test_short_tones_are_heard_as_well(keys: str, tone_ms: int, pause_ms: int) -> None:
    assert heard(key_tones(keys, tone_ms, pause_ms), tone_ms, pause_ms) == keys


@pytest.mark.parametrize(("key", "low", "high"), [("1", 697, 1209), ("D", 941, 1633)])
def test_a_tone_is_two_sines_of_the_stated_levels(key: str, low: int, high: int) -> None:
    # A whole second, so that every frequency of the keypad has whole periods.
    tone = linear(key_tones(key, 1000, 40)[:8000])
    assert level(power(tone, low)) == pytest.approx(-8, abs=0.1)
    assert level(power(tone, high)) == pytest.approx(-6, abs=0.1)
    others = [power(tone, each) for each in (*LOW, *HIGH) if each not in (low, high)]
    assert max(map(level, others)) < -50


@pytest.mark.parametrize("key", "05D")
def test_a_tone_starts_without_a_click(key: str) -> None:
    tone = linear(key_tones(key))
    assert tone[0] == 0
    steps = [abs(after - before) for before, after in pairwise(tone[:800])]
    assert abs(tone[1]) <= max(steps)


def test_a_long_tone_has_no_break() -> None:
    tone = key_tones("5", 2500, 40)[: 2500 * 8]
    assert tone[8000:16000] == tone[:8000]
    assert tone[16000:] == tone[:4000]


def test_a_comma_is_half_a_second_of_silence() -> None:
    assert key_tones(",,") == pcmu.silence(2 * COMMA_MS * 8)
    assert key_tones("1,2") == key_tones("1") + pcmu.silence(4000) + key_tones("2")


@pytest.mark.parametrize("keys", ["12x", "12 ", "a12", "12٣", "12\n"])
def test_an_unknown_key_is_misuse_and_is_not_shown(keys: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"keys\[[02]\] is not a key") as misuse:
        key_tones(keys)
    assert "12" not in str(misuse.value).replace("0 to 9", "")


def test_no_keys_are_misuse() -> None:
    with pytest.raises(LocalProtocolError, match="keys is empty"):
        key_tones("")


@pytest.mark.parametrize("wrong", [-1, 0, MIN_MS - 1, MAX_MS + 1])
def test_tones_and_pauses_have_limits(wrong: int) -> None:
    with pytest.raises(LocalProtocolError, match=rf"^tone_ms .* ms \(int\), not {wrong}$"):
        key_tones("1", tone_ms=wrong)
    with pytest.raises(LocalProtocolError, match=rf"^pause_ms .* ms \(int\), not {wrong}$"):
        key_tones("1", pause_ms=wrong)
    assert len(key_tones("1", MAX_MS, MIN_MS)) == 8 * (MAX_MS + MIN_MS)


def test_all_keys_together_have_a_limit() -> None:
    most = MAX_TOTAL_MS // 200
    assert len(key_tones("1" * most)) == MAX_TOTAL_MS * 8
    with pytest.raises(LocalProtocolError, match="60200 ms"):
        key_tones("1" * (most + 1))
    with pytest.raises(LocalProtocolError, match="60500 ms"):
        key_tones("," * (MAX_TOTAL_MS // COMMA_MS + 1))
