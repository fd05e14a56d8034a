"""The page with what the bridge would have done under another configuration."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from shown_calls import ShownCall, interrupted_call, page_of, what_if_of, what_if_page_of
from twilio_realtime.recordings.show.page_what_if import difference_text, what_if_section
from twilio_realtime.recordings.what_if import Hypothetical, WhatIf, WhatIfDifference

LATER = "interruption.after_speech_ms=300"


class Table(HTMLParser):
    """The rows of the table: their class, and the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1][1]:
            self.rows[-1][1][-1] += f" {data}"


@pytest.fixture(scope="module")
def call() -> ShownCall:
    return interrupted_call()


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def difference(**fields: Any) -> WhatIfDifference:
    given: dict[str, Any] = {
        "line": 7,
        "at_ns": 2_000_000_000,
        "step_input": '["opened", "twilio"]',
        "recorded": (),
        "other": (),
        "recorded_reasons": (),
        "other_reasons": (),
    }
    return WhatIfDifference(**{**given, **fields})


def result(*differences: WhatIfDifference, **fields: Any) -> WhatIf:
    given: dict[str, Any] = {
        "settings": ("a=1",),
        "steps": 9,
        "different_steps": len(differences),
        "differences": differences,
        "hypothetical": None,
        "is_cut_off": False,
        "differs_from_recording": None,
        "server_interrupts": None,
    }
    return WhatIf(**{**given, **fields})


def test_both_courses_stand_side_by_side(call: ShownCall) -> None:
    page = what_if_page_of(call.lines, LATER)
    section = page[page.index('<section class="what-if"') :]
    header, first, boundary, *rest = Table(section).rows
    assert header[1] == [" time", " input", " recorded", " with the other configuration"]
    _, step_input, recorded, other = first[1]
    assert "input_audio_buffer.speech_started" in step_input
    assert "conversation.item.truncate" in recorded
    assert "interruption made: caller speaks" in recorded
    assert "nothing" in other
    assert "interruption postponed: speech not confirmed" in other
    assert boundary[0] == "boundary"
    assert "the recording cannot tell" in boundary[1][0]
    hypothetical = [cells for kind, cells in rest if kind == "hypothetical"]
    assert hypothetical
    assert all("hypothetical" in cells[0] for cells in hypothetical)  # in words too


def test_the_lane_has_each_difference_and_where_answers_are_unknown(call: ShownCall) -> None:
    compared = what_if_of(call.lines, LATER)
    entries = data_of(what_if_page_of(call.lines, LATER))["whatIf"]
    assert [at for at, _, _ in entries[:-1]] == [
        round(each.at_ns / 1e6, 2) for each in compared.differences
    ]
    assert compared.hypothetical is not None
    assert entries[-1][1:] == ["unknown", compared.hypothetical.cause]
    assert entries[-1][0] == entries[0][0]
    assert entries[0][1] == "other"
    assert {kind for _, kind, _ in entries[1:-1]} == {"hypothetical"}
    assert entries[0][2].startswith("without clear, conversation.item.truncate")


def test_without_a_setting_nothing_of_it_is_on_the_page(call: ShownCall) -> None:
    page = page_of(call.lines)
    assert 'class="what-if"' not in page
    assert "whatIf" not in data_of(page)


def test_a_configuration_that_changes_nothing_says_so(call: ShownCall) -> None:
    page = what_if_page_of(call.lines, "closing_timeout_ms=9000")
    assert "The bridge would have done the same." in page
    assert 'aria-label="Steps that differ"' not in page
    assert data_of(page)["whatIf"] == []


def test_no_voice_is_left_in_what_differs(call: ShownCall) -> None:
    compared = what_if_of(call.lines, "max_call_ms=4500")
    actions = [text for each in compared.differences for text in each.recorded]
    voice = re.compile(r"[A-Za-z0-9+/]{200,}")
    assert any(map(voice.search, actions))
    assert not voice.search(what_if_section(compared))


def test_what_is_said_in_a_step_cannot_change_the_page() -> None:
    words = "</pre><script>alert(1)</script>"
    action = json.dumps({"@": "Send", "peer": "realtime", "message": {"type": words, "x": words}})
    message = json.dumps(["receive_text", "realtime", json.dumps({"type": words})])
    hostile = difference(step_input=message, other=(action,), other_reasons=((words, words),))
    section = what_if_section(result(hostile, settings=(f"model={words}",)))
    assert "<script" not in section
    assert section.count("&lt;script") >= 4


def test_actions_of_one_name_are_counted() -> None:
    actions = tuple(
        json.dumps({"@": "Send", "peer": "twilio", "message": {"event": "media", "number": each}})
        for each in range(30)
    )
    assert difference_text(difference(recorded=actions)) == "without 30 × media"
    assert "10 more" in what_if_section(result(difference(recorded=actions)))


def test_the_same_actions_in_another_order_are_a_difference() -> None:
    actions = ('{"@": "OpenSocket"}', '{"@": "CloseSocket"}')
    text = difference_text(difference(recorded=actions, other=actions[::-1]))
    assert text == "the same in another order or number"


@pytest.mark.parametrize(
    ("step_input", "name"),
    [
        ('["handle_timeout"]', "a timer expires"),
        ('["opened", "twilio"]', "opened"),
        ('["send", {"@": "CancelResponse"}]', "CancelResponse"),
        ('["receive_text", "twilio", "{\\"event\\": \\"mark\\"}"]', "mark"),
        ('["receive_text", "twilio", "["]', "not JSON"),
        ('["receive_text", "twilio", "[]"]', "not JSON"),
    ],
)
def test_the_input_of_a_step_has_a_name(step_input: str, name: str) -> None:
    section = what_if_section(result(difference(step_input=step_input)))
    assert Table(section).rows[1][1][1].split("line")[0].strip() == name


def test_what_limits_the_comparison_is_said() -> None:
    section = what_if_section(
        result(
            difference(is_extra=True),
            different_steps=250,
            differs_from_recording=4,
            server_interrupts=True,
            hypothetical=Hypothetical(7, 2_000_000_000, "the bridge sends clear"),
        )
    )
    assert "from line 4 on; it is compared with itself" in section
    assert "The server would interrupt by itself." in section
    assert "250 steps differ" in section
    assert "The table has the first 1 of them." in section
    assert "before line 7" in section
    assert "the bridge sends clear, and the recording cannot tell" in section
