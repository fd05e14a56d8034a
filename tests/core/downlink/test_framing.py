from base64 import b64decode, b64encode

from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.downlink.framing import AudioChunk, FrameAligner, split
from twilio_realtime_core.values.playback_position import PartKey

A = PartKey(1, "r1", "a", 0)
B = PartKey(1, "r1", "b", 0)
C = PartKey(1, "r2", "c", 0)


def base64(audio: bytes) -> str:
    return b64encode(audio).decode()


def add(aligner: FrameAligner, part: PartKey, audio: bytes) -> list[AudioChunk]:
    return aligner.add_delta(part, base64(audio), len(audio))


def chunk(part: PartKey, audio: bytes) -> AudioChunk:
    return AudioChunk(part, base64(audio), len(audio))


def test_whole_frames_are_passed_on_as_they_are() -> None:
    aligner = FrameAligner()
    payload = base64(b"x" * 480)
    (passed,) = aligner.add_delta(A, payload, 480)
    assert passed == AudioChunk(A, payload, 480)
    assert passed.payload is payload
    assert aligner.take_rest() == []


def test_the_rest_of_a_frame_precedes_the_next_delta() -> None:
    aligner = FrameAligner()
    assert add(aligner, A, b"1" * 200) == [chunk(A, b"1" * 160)]
    assert add(aligner, A, b"2" * 160) == [chunk(A, b"1" * 40 + b"2" * 120)]
    assert add(aligner, A, b"3" * 120) == [chunk(A, b"2" * 40 + b"3" * 120)]
    assert aligner.take_rest() == []


def test_less_than_a_frame_is_held() -> None:
    aligner = FrameAligner()
    assert add(aligner, A, b"1" * 159) == []
    assert add(aligner, A, b"2") == [chunk(A, b"1" * 159 + b"2")]


def test_the_rest_is_sent_when_its_part_ends() -> None:
    aligner = FrameAligner()
    add(aligner, A, b"1" * 161)
    assert aligner.end_part(B) == []
    assert aligner.end_part(A) == [chunk(A, b"1")]
    assert aligner.end_part(A) == []


def test_the_rest_is_sent_when_its_response_ends() -> None:
    aligner = FrameAligner()
    add(aligner, A, b"1" * 161)
    assert aligner.end_response("r2") == []
    assert aligner.end_response("r1") == [chunk(A, b"1")]
    assert aligner.end_response("r1") == []


def test_a_part_that_ends_on_a_frame_leaves_nothing() -> None:
    aligner = FrameAligner()
    add(aligner, A, b"1" * 160)
    assert aligner.end_part(A) == []


def test_the_rest_of_a_part_precedes_the_next_part() -> None:
    aligner = FrameAligner()
    add(aligner, A, b"1" * 170)
    assert add(aligner, C, b"2" * 165) == [chunk(A, b"1" * 10), chunk(C, b"2" * 160)]
    assert add(aligner, A, b"3" * 160) == [chunk(C, b"2" * 5), chunk(A, b"3" * 160)]


def test_a_rest_that_was_taken_is_not_sent_again() -> None:
    aligner = FrameAligner()
    add(aligner, A, b"1" * 170)
    assert aligner.take_rest() == [chunk(A, b"1" * 10)]
    assert add(aligner, A, b"2" * 160) == [chunk(A, b"2" * 160)]


def test_a_chunk_is_split_behind_its_first_samples() -> None:
    first, rest = split(chunk(A, b"1" * 160 + b"2" * 31), 160)
    assert (first, rest) == (chunk(A, b"1" * 160), chunk(A, b"2" * 31))


deltas = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.integers(1, 500), st.booleans()), max_size=20
)


@given(deltas)
def test_all_audio_is_sent_once_in_order_in_whole_frames(
    deltas: list[tuple[PartKey, int, bool]],
) -> None:
    aligner = FrameAligner()
    received: list[tuple[PartKey, int]] = []
    sent: list[AudioChunk] = []
    for number, (part, length, ends) in enumerate(deltas):
        received += [(part, number)] * length
        more = add(aligner, part, bytes([number]) * length)
        assert all(each.samples % 160 == 0 for each in more if each.source == part)
        sent += more
        assert 0 <= len(received) - sum(each.samples for each in sent) < 160
        if ends:
            sent += aligner.end_part(part)
            assert len(received) == sum(each.samples for each in sent)
    sent += aligner.take_rest()
    assert [(each.source, byte) for each in sent for byte in b64decode(each.payload)] == received
    assert all(len(b64decode(each.payload)) == each.samples > 0 for each in sent)
