import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.values.playback_position import (
    AudioSource,
    Clip,
    PartKey,
    PlaybackPosition,
)

PART = PartKey(1, "r", "i", 0)
CLIP = Clip(1, "greeting", 800)

numbers = st.integers(0, 2)
names = st.sampled_from(["", "r", "i", "1"])
parts = st.builds(PartKey, numbers, names, names, numbers)
clips = st.builds(Clip, numbers, names, numbers)


@given(parts, clips)
def test_a_clip_is_never_equal_to_a_part(part: PartKey, clip: Clip) -> None:
    sources: dict[AudioSource, str] = {part: "part", clip: "clip"}
    assert (sources[part], sources[clip]) == ("part", "clip")
    assert not isinstance(clip, PartKey)
    assert not isinstance(part, Clip)


def test_clips_of_one_name_and_length_are_distinct() -> None:
    assert Clip(1, "greeting", 800) != Clip(2, "greeting", 800)
    assert Clip(1, "greeting", 800) == CLIP


def test_parts_are_distinct_by_session_response_item_and_index() -> None:
    others = [
        PartKey(2, "r", "i", 0),
        PartKey(1, "s", "i", 0),
        PartKey(1, "r", "j", 0),
        PartKey(1, "r", "i", 1),
    ]
    assert len({PART, *others}) == 5
    assert PartKey(1, "r", "i", 0) == PART


@pytest.mark.parametrize("source", [PART, CLIP])
@pytest.mark.parametrize(
    ("estimated_samples", "is_complete", "is_heard"),
    [(799, True, False), (800, True, True), (800, False, False)],
)
def test_a_complete_source_played_to_its_end_is_heard_completely(
    source: AudioSource,
    estimated_samples: int,
    is_complete: bool,  # noqa: FBT001
    is_heard: bool,  # noqa: FBT001
) -> None:
    position = PlaybackPosition(source, 0, estimated_samples, 800, is_complete)
    assert position.is_heard_completely is is_heard
