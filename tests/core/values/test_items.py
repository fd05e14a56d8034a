"""Items of a conversation as values, and as text."""

from twilio_realtime_core.values.items import (
    AudioPart,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
    UnknownPart,
    replace_audio_with_text,
)


def test_words_are_not_in_the_repr() -> None:
    parts = (TextPart("secret"), AudioPart("secret", "secret", 1), ImagePart("secret"))
    items = (
        Message("i", Role.USER, parts),
        FunctionCall("i", "c", "f", "secret"),
        FunctionOutput("i", "c", "secret"),
        UnknownItem("i", "x", {"y": "secret"}),
        UnknownPart("x", {"y": "secret"}),
    )
    assert "secret" not in repr(items)


# As text.


def test_audio_becomes_the_words_that_were_heard() -> None:
    spoken = Message(
        "i",
        Role.ASSISTANT,
        (AudioPart("All heard."), AudioPart("Cut here.", "Cut", 300), TextPart("Written.")),
    )
    expected = (TextPart("All heard."), TextPart("Cut"), TextPart("Written."))
    assert replace_audio_with_text(spoken) == Message("i", Role.ASSISTANT, expected)


def test_audio_without_words_heard_is_left_out_of_text() -> None:
    parts = (
        AudioPart(),
        AudioPart(""),
        AudioPart("Unheard.", "", 0),
        AudioPart("Who knows", None, 9),
    )
    assert replace_audio_with_text(Message("i", Role.USER, parts)) == Message("i", Role.USER)


def test_items_that_are_no_messages_stay_as_they_are() -> None:
    assert replace_audio_with_text(FunctionOutput("i", "c", "{}")) == FunctionOutput("i", "c", "{}")
