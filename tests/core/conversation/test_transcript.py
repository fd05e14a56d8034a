"""What is said in a content part, and how much of it counts as heard."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twilio_realtime_core.conversation.transcript import MAX_CHARACTERS, Transcript
from twilio_realtime_core.values.items import AudioPart, ImagePart, TextPart, UnknownPart


def spoken(text: str) -> Transcript:
    words = Transcript(is_spoken=True)
    words.append(text)
    return words


# As they come.


def test_pieces_make_the_words_and_the_last_event_has_all_of_them() -> None:
    words = Transcript(is_spoken=True)
    for delta in ("", "Hel", "lo"):
        words.append(delta)
    assert words.text == "Hello"
    words.complete("Hello there.")
    assert words.text == "Hello there."


def test_there_may_be_no_words_and_that_is_known_or_not() -> None:
    words = Transcript(is_spoken=True)
    assert words.text is None
    words.complete("")
    assert words.text == ""


def test_nothing_takes_known_words_away() -> None:
    words = spoken("Hello")
    words.complete("")
    words.update_from_item(None)
    words.update_from_item("")
    words.update_from_item("Hel")
    assert words.text == "Hello"


def test_a_description_tells_the_words_where_none_came() -> None:
    words = Transcript(is_spoken=True)
    words.update_from_item("Hello")
    assert words.text == "Hello"


@pytest.mark.parametrize(
    "tell", [Transcript.append, Transcript.complete, Transcript.update_from_item]
)
def test_words_beyond_the_limit_are_left_out(tell: object) -> None:
    assert callable(tell)
    words = Transcript(is_spoken=True)
    tell(words, "x" * (MAX_CHARACTERS + 1))
    tell(words, "x")
    assert len(words.text or "") <= MAX_CHARACTERS


# As a part.


def test_a_part_is_spoken_or_written_as_its_words_are() -> None:
    assert spoken("Hello").to_part() == AudioPart("Hello")
    assert Transcript(is_spoken=False).to_part() == TextPart("")
    written = Transcript(is_spoken=False)
    written.append("Hello")
    assert written.to_part() == TextPart("Hello")


def test_a_part_that_its_item_describes_keeps_its_kind() -> None:
    for known in (ImagePart("url"), UnknownPart("strange"), TextPart("Written.")):
        assert spoken("Hello").to_part(known) == known
    assert spoken("Hello").to_part(AudioPart()) == AudioPart("Hello")


def test_written_words_are_shown_until_their_item_has_them() -> None:
    words = Transcript(is_spoken=False)
    words.append("Hel")
    assert words.to_part(TextPart("")) == TextPart("Hel")
    assert words.to_part(TextPart("Hello")) == TextPart("Hello")
    assert words.to_part(AudioPart()) == AudioPart()


def test_a_part_that_was_cut_tells_what_was_heard() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    assert words.to_part() == AudioPart("one two three four", "one two", 500)


# Heard and not heard.


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [(0, ""), (1, ""), (299, ""), (300, "one"), (699, "one"), (700, "one two"), (1300, None)],
)
def test_the_words_heard_are_whole_and_never_more_than_the_audio(
    heard_ms: int, heard: str | None
) -> None:
    words = spoken("one two three")  # 13 characters in 1,300 ms
    words.cut(heard_ms, 1300)
    assert words.heard_text == (words.text if heard is None else heard)


def test_more_heard_than_was_sent_is_all_of_it() -> None:
    words = spoken("one two ")
    words.cut(2000, 1000)
    assert words.split_at_cut() == ("one two ", "")


def test_of_audio_that_never_came_nothing_was_heard() -> None:
    words = spoken("one two")
    words.cut(0, 0)
    assert words.split_at_cut() == ("", "one two")


def test_words_that_come_after_the_cut_were_not_heard() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    words.append(" five six seven eight")
    assert words.split_at_cut() == ("one two", " three four five six seven eight")
    words.complete("one two three four five six seven eight nine")
    assert words.heard_text == "one two"


def test_a_word_that_was_not_complete_at_the_cut_was_not_heard() -> None:
    words = spoken("one tw")
    words.cut(1000, 1000)
    assert words.heard_text == "one tw"
    words.append("o three")
    assert words.split_at_cut() == ("one", " two three")


def test_of_words_that_all_come_after_the_cut_the_proportion_is_taken() -> None:
    words = Transcript(is_spoken=True)
    words.cut(500, 1000)
    assert words.split_at_cut() == (None, None)
    words.complete("one two three four")
    assert words.split_at_cut() == ("one two", " three four")


def test_a_transcript_that_gets_shorter_is_parted_by_what_is_left() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    words.complete("one two")
    assert words.split_at_cut() == ("one", " two")


def test_where_no_spaces_are_written_each_character_is_a_word() -> None:
    words = spoken("こんにちは。元気ですか")
    words.cut(500, 1000)
    assert words.split_at_cut() == ("こんにちは", "。元気ですか")


def test_all_words_of_a_part_that_was_not_cut_count_as_heard() -> None:
    assert spoken("one two").split_at_cut() == ("one two", "")
    assert spoken("one two").heard_text is None
    assert Transcript(is_spoken=True).split_at_cut() == (None, None)


def test_the_server_s_word_shortens_what_was_heard_and_never_lengthens_it() -> None:
    words = spoken("one two three four")
    words.cut(500, 1000)
    words.truncate(600)
    assert (words.heard_ms, words.heard_text) == (500, "one two")
    words.truncate(200)
    assert (words.heard_ms, words.heard_text) == (200, "one")


def test_of_a_truncation_by_somebody_else_the_proportion_is_unknown() -> None:
    words = spoken("one two")
    words.truncate(300)
    assert words.to_part() == AudioPart("one two", None, 300)


texts = st.text(st.sampled_from("abc .,\n漢"), max_size=30)


@settings(max_examples=100)
@given(texts, texts, st.integers(0, 50), st.integers(0, 40))
@example("one two", " three", 20, 40)
def test_heard_and_unheard_are_all_and_in_proportion_at_the_end_of_a_word(
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
