"""The words of a content part, and how many of them count as heard."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twilio_realtime_core.conversation.speaking_pace import SpeechPace
from twilio_realtime_core.conversation.transcript import MAX_CHARACTERS, Transcript
from twilio_realtime_core.values.items import AudioPart, ImagePart, TextPart, UnknownPart


def spoken(text: str) -> Transcript:
    words = Transcript(is_spoken=True)
    words.append(text)
    return words


# Words received.


def test_deltas_make_the_words_until_they_are_complete() -> None:
    words = Transcript(is_spoken=True)
    for delta in ("", "Hel", "lo"):
        words.append(delta)
    assert words.text == "Hello"
    words.complete("Hello there.")
    assert words.text == "Hello there."


def test_words_are_unknown_or_known_to_be_empty() -> None:
    words = Transcript(is_spoken=True)
    assert words.text is None
    words.complete("")
    assert words.text == ""


def test_nothing_removes_known_words() -> None:
    words = spoken("Hello")
    words.complete("")
    words.update_from_item(None)
    words.update_from_item("")
    words.update_from_item("Hel")
    assert words.text == "Hello"


def test_words_of_an_item_are_used_where_none_are_known() -> None:
    words = Transcript(is_spoken=True)
    words.update_from_item("Hello")
    assert words.text == "Hello"


@pytest.mark.parametrize("pieces", [["Hello there."], ["Hello", " there."], [" there."], ["Hi"]])
def test_late_pieces_do_not_repeat_an_item_that_is_done(pieces: list[str]) -> None:
    words = Transcript(is_spoken=True)
    words.update_from_item("Hello there.", is_done=True)
    for piece in pieces:
        words.append(piece)
    assert words.text == "Hello there."


@pytest.mark.parametrize("pieces", [["Hello", " there."], ["Hel", "lo there."], ["Hello there."]])
@pytest.mark.parametrize("is_done", [False, True])
def test_pieces_say_what_an_item_lacks(pieces: list[str], *, is_done: bool) -> None:
    words = Transcript(is_spoken=True)
    words.update_from_item("Hello", is_done=is_done)
    for piece in [*pieces, " Bye."]:
        words.append(piece)
    assert words.text == "Hello there. Bye."


@pytest.mark.parametrize("speaker", [{"is_done": False}, {"is_done": True, "is_callers": True}])
def test_pieces_continue_words_that_are_not_whole(speaker: dict[str, bool]) -> None:
    words = Transcript(is_spoken=True)
    words.update_from_item("Good", **speaker)
    words.append(" morning.")
    assert words.text == "Good morning."
    words.append(" How are you?")
    assert words.text == "Good morning. How are you?"


@pytest.mark.parametrize(
    "take", [Transcript.append, Transcript.complete, Transcript.update_from_item]
)
def test_words_beyond_the_limit_are_dropped(take: object) -> None:
    assert callable(take)
    words = Transcript(is_spoken=True)
    take(words, "x" * (MAX_CHARACTERS + 1))
    take(words, "x")
    assert len(words.text or "") <= MAX_CHARACTERS


# Content parts.


def test_a_part_is_spoken_or_written_as_its_words() -> None:
    assert spoken("Hello").to_part() == AudioPart("Hello")
    assert Transcript(is_spoken=False).to_part() == TextPart("")
    written = Transcript(is_spoken=False)
    written.append("Hello")
    assert written.to_part() == TextPart("Hello")


def test_a_part_described_by_its_item_keeps_its_kind() -> None:
    for known in (ImagePart("url"), UnknownPart("strange"), TextPart("Written.")):
        assert spoken("Hello").to_part(known) == known
    assert spoken("Hello").to_part(AudioPart()) == AudioPart("Hello")


def test_written_words_are_shown_until_the_item_has_them() -> None:
    words = Transcript(is_spoken=False)
    words.append("Hel")
    assert words.to_part(TextPart("")) == TextPart("Hel")
    assert words.to_part(TextPart("Hello")) == TextPart("Hello")
    assert words.to_part(AudioPart()) == AudioPart()


def test_a_cut_part_has_the_words_heard() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    assert words.to_part() == AudioPart("one two three four", "one two", 500)


# What was heard.


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [(0, ""), (1, ""), (499, ""), (500, "one"), (999, "one"), (1000, "one two"), (1600, None)],
)
def test_the_words_heard_are_whole_and_in_proportion(heard_ms: int, heard: str | None) -> None:
    words = spoken("one two three")  # 5, 5 and 6 units in 1,600 ms
    words.cut(heard_ms, 1600)
    assert words.heard_text == (words.text if heard is None else heard)


def test_all_is_heard_where_the_position_exceeds_the_audio() -> None:
    words = spoken("one two ")
    words.cut(2000, 1000)
    assert words.split_at_cut() == ("one two ", "")


def test_nothing_is_heard_of_a_part_without_audio() -> None:
    words = spoken("one two")
    words.cut(0, 0)
    assert words.split_at_cut() == ("", "one two")


def test_words_received_after_the_cut_are_unheard() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    words.append(" five six seven eight")
    assert words.split_at_cut() == ("one two", " three four five six seven eight")
    words.complete("one two three four five six seven eight nine")
    assert words.heard_text == "one two"


def test_a_word_incomplete_at_the_cut_is_unheard() -> None:
    words = spoken("one tw")
    words.cut(1000, 1000)
    assert words.heard_text == "one tw"
    words.append("o three")
    assert words.split_at_cut() == ("one", " two three")


def test_all_words_that_the_audio_can_have_held_are_heard() -> None:
    words = spoken("one two three  ")
    words.cut(100_000, 100_000, SpeechPace(50, 5_000))
    assert words.split_at_cut() == ("one two three  ", "")


def test_no_more_words_are_heard_than_the_pace_allows() -> None:
    words = spoken("one two three")
    words.cut(1000, 1000, SpeechPace(50, 5_000))
    assert words.split_at_cut() == ("one two", " three")


def test_words_that_all_follow_the_cut_are_split_in_proportion() -> None:
    words = Transcript(is_spoken=True)
    words.cut(500, 1000)
    assert words.split_at_cut() == (None, None)
    words.complete("one two three four")
    assert words.split_at_cut() == ("one two", " three four")


def test_a_shortened_transcript_is_split_again() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    words.complete("one two")
    assert words.split_at_cut() == ("one", " two")


def test_each_character_is_a_word_in_scripts_without_spaces() -> None:
    words = spoken("こんにちは。元気ですか")
    words.cut(500, 1000)
    assert words.split_at_cut() == ("こんにちは", "。元気ですか")


def test_all_words_of_an_uncut_part_count_as_heard() -> None:
    assert spoken("one two").split_at_cut() == ("one two", "")
    assert spoken("one two").heard_text is None
    assert Transcript(is_spoken=True).split_at_cut() == (None, None)


def test_a_truncation_only_shortens_what_was_heard() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    words.truncate(600)
    assert (words.heard_ms, words.heard_text) == (500, "one two")
    words.truncate(300)
    assert (words.heard_ms, words.heard_text) == (300, "one")


def test_the_words_heard_are_unknown_after_a_foreign_truncation() -> None:
    words = spoken("one two")
    words.truncate(300)
    assert words.to_part() == AudioPart("one two", None, 300)


texts = st.text(st.sampled_from("abc .,\n漢"), max_size=30)


@settings(max_examples=100)
@given(texts, texts, st.integers(0, 50), st.integers(0, 40))
@example("one two", " three", 20, 40)
def test_words_are_split_in_proportion_between_words(
    before: str, after: str, heard_ms: int, sent_ms: int
) -> None:
    words = spoken(before)
    words.cut(heard_ms, sent_ms)
    words.append(after)
    heard, unheard = words.split_at_cut()
    assert heard is not None
    assert unheard is not None
    assert heard + unheard == before + after
    assert len(heard) * sent_ms <= (len(before) or len(after)) * min(heard_ms, sent_ms)
    at_end_of_word = not heard[-1:].isspace() and (
        unheard[:1].isspace() or "漢" in heard[-1:] + unheard[:1]
    )
    assert not heard or not unheard or at_end_of_word
