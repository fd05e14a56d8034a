"""The responses of `model` as lines."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import RunningCommand, write_question
from twilio_realtime.cli.model_script import parse_responses, read_script
from twilio_realtime.errors import UsageError
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.replies import FunctionCallReply, SpokenReply


def test_lines_are_responses() -> None:
    sample = sample_speech.load("agent_greeting")
    said, spoken, called, both, failed = parse_responses(
        [
            "say agent_greeting",
            "speak One moment, please.",
            'call opening_hours {"day": "Sunday"}',
            "speak I will look. + call look_up",
            "fail rate_limit_exceeded",
        ]
    )
    assert said.items == (SpokenReply(sample.audio, sample.transcript),)
    (words,) = spoken.items
    assert isinstance(words, SpokenReply)
    assert (words.transcript, len(words.audio)) == ("One moment, please.", 3 * 300 * 8)
    assert called.items == (FunctionCallReply("opening_hours", '{"day": "Sunday"}'),)
    assert [type(item) for item in both.items] == [SpokenReply, FunctionCallReply]
    assert both.items[1] == FunctionCallReply("look_up", "{}")
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error[1] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shout Hello", "begins with say, speak, call and fail, not with 'shout Hello'"),
        ("", "begins with"),
        ("speak", "begins with"),
        ("call", "begins with"),
        ("say hello", "there is no sample hello: use caller_question"),
        ("call look_up {", "the arguments of look_up are no JSON object"),
        ("call look_up [1]", "no JSON object"),
        ("call look_up " + '{"a":' * 10_000, "no JSON object"),
        ("speak a + fail", "begins with"),
    ],
)
def test_a_line_that_is_no_response_is_refused(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_responses([line])


@given(st.lists(st.text()))
def test_any_lines_are_responses_or_a_usage_error(lines: list[str]) -> None:
    with suppress(UsageError):
        assert len(parse_responses(lines)) == len(lines)


def test_a_script_has_comments(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("# a comment\n\n  speak Hello.  \ncall f\n")
    assert read_script(path) == ["speak Hello.", "call f"]


def test_a_script_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("speak Grüß Gott.\n", "utf-8-sig")
    assert read_script(path) == ["speak Grüß Gott."]
    path.write_text("call f\nspeak Grüß Gott.\n", "latin-1")
    with pytest.raises(UsageError, match="line 2, is not text in UTF-8: save the file as UTF-8"):
        read_script(path)


def test_the_model_calls_a_function_of_the_agent(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        "from twilio_realtime import Agent, Call, HangUp\n"
        "agent = Agent(greeting='Greet.')\n"
        "@agent.function(respond=False)\n"
        "async def hang_up(call: Call) -> None:\n"
        "    call.send(HangUp(after_playback=True))\n"
    )
    script = tmp_path / "script"
    script.write_text("call hang_up\n")
    run = ("--port", "0", "--json")
    replies = ("--reply", "speak Goodbye.", "--script", str(script))
    with RunningCommand("model", *replies, *run) as model:
        url = model.wait_for_event("listening")["url"]
        with RunningCommand("serve", "--realtime-url", url, *run, folder=tmp_path) as serve:
            webhook = f"http://127.0.0.1:{serve.wait_for_event('listening')['port']}/incoming-call"
            calling = (
                "phone",
                webhook,
                "--wait",
                "--wav",
                write_question(tmp_path),
                "--quiet-ms",
                "500",
                "--expect-hang-up",
                "--json",
            )
            with RunningCommand(*calling) as phone:
                assert phone.wait() == 0, (phone.lines, phone.errors)
    assert "agent_hangs_up" in [event["event"] for event in phone.events()]
