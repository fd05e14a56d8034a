"""The events of the page of a call in a real browser: choosing them, and what is said of them."""

from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from shown_calls import QUESTION, interrupted_call, page_of, simulate, speak
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerSays,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime_core.config.interruption_policy import InterruptionPolicy
from twilio_realtime_core.machine.units import MS, SECOND

ASK = AfterDelay(300 * MS, CallerSays(QUESTION.audio))
WAIT = sample_speech.load("caller_interruption")
TIMEOUT_MS = 120_000
"""Longer than anything takes on a busy machine."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a call in which the caller is not allowed to interrupt, and tries to."""
    script = (
        ASK,
        WhenAgentHeard(1500, CallerSays(WAIT.audio)),
        WhenAgentQuiet(2 * SECOND, CallerHangsUp()),
    )
    policy = InterruptionPolicy(allowed=False)
    call = simulate(script, [speak("agent_answer")], interruption=policy)
    path = tmp_path_factory.mktemp("page") / "refused.html"
    path.write_text(page_of(call.lines, with_audio=False), "utf-8")
    return path


def open_page(page: Page, path: Path) -> None:
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(path.as_uri())
    page.wait_for_selector("#lanes [data-lane=Session]", state="attached")


def time_of(chip: Locator) -> float:
    return float(chip.get_attribute("data-at") or "nan")


def cursor_ms(page: Page) -> float:
    return float(page.evaluate("lanes.cursorMs"))


@pytest.mark.parametrize("kind", ["held", "refused"])
def test_a_click_in_the_middle_of_a_name_chooses_its_event(
    page: Page, refused: Path, kind: str
) -> None:
    open_page(page, refused)
    chip = page.locator(f"[data-event={kind}]")
    chip.click()
    assert cursor_ms(page) == time_of(chip)
    assert "InterruptionPolicy.allowed is false" in page.inner_text("#moment dl")


def test_a_click_on_a_name_moves_nothing_if_it_is_a_drag(page: Page, refused: Path) -> None:
    open_page(page, refused)
    box = page.locator("[data-event=held]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 8)
    page.mouse.up()
    assert cursor_ms(page) == 0


def test_enter_chooses_the_event_that_has_the_focus_and_keeps_it(page: Page, refused: Path) -> None:
    open_page(page, refused)
    chip = page.locator("[data-event=held]")
    chip.focus()
    page.keyboard.press("Enter")
    assert cursor_ms(page) == time_of(chip)
    page.evaluate("lanes.draw()")
    assert page.evaluate("document.activeElement.dataset.event") == "held"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.event") == "call"
    page.keyboard.press("Enter")
    assert cursor_ms(page) > time_of(chip)


def test_the_title_of_a_name_says_the_reason_in_words(page: Page, refused: Path) -> None:
    open_page(page, refused)
    title = page.locator("[data-event=held] title").text_content() or ""
    assert "The caller speaks, and the agent is not interrupted." in title
    assert "InterruptionPolicy.allowed is false" in title


def test_this_moment_shows_the_chosen_message_in_the_middle(page: Page, refused: Path) -> None:
    open_page(page, refused)
    page.locator(".findings button.time").first.click()
    row = page.locator("#moment .at:has(.why)").bounding_box()
    around = page.locator("#moment .messages").bounding_box()
    assert row is not None
    assert around is not None
    middle = row["y"] + row["height"] / 2 - around["y"]
    assert around["height"] / 4 < middle < around["height"] * 3 / 4


def test_marks_and_media_in_a_row_are_folded_and_open(page: Page, refused: Path) -> None:
    open_page(page, refused)
    page.locator("[data-event=held]").click()
    kinds = page.locator("#moment .messages > li").all_inner_texts()
    assert sum("media" in each for each in kinds) <= 4
    folded = page.locator("#moment .messages > li:has(.folded)").last
    assert not folded.locator(".folded > li").first.is_visible()
    folded.locator("summary").first.click()
    assert folded.locator(".folded > li").first.is_visible()


def test_a_refused_interruption_has_room_before_other_decisions(page: Page, refused: Path) -> None:
    open_page(page, refused)
    page.evaluate(
        """() => {
          const at = call.decisions.find(([, kind]) => kind === "refused")[0];
          const others = [...Array(60).keys()].map(
            (n) => [at - 600 + 20 * n, "decision", "turn held", []]
          );
          call.decisions.push(...others);
          call.decisions.sort(([one], [other]) => one - other);
          lanes.draw();
        }"""
    )
    lane = page.locator("[data-lane=Decisions]")
    assert lane.locator("[data-event=refused] text").text_content() == "interruption refused"
    boxes = page.evaluate(
        """() => [...document.querySelectorAll("[data-lane=Decisions] rect.chip")]
          .map((each) => [Number(each.getAttribute("x")), Number(each.getAttribute("width"))])
          .sort(([one], [other]) => one - other)"""
    )
    assert len(boxes) > 1
    for (left, width), (following, _) in pairwise(boxes):
        assert left + width <= following


def test_a_function_stands_in_the_time_of_its_answer(page: Page, tmp_path: Path) -> None:
    question = Reply((FunctionCallReply("look_up_order"),))
    script = (ASK, WhenAgentHeard(500, CallerHangsUp()))
    call = simulate(script, [question, speak("agent_answer")], function_ms=3200, until_s=30)
    path = tmp_path / "function.html"
    path.write_text(page_of(call.lines, with_audio=False), "utf-8")
    open_page(page, path)
    span = page.locator("[data-lane='Answer time'] rect.function-time")
    assert span.locator("title").text_content() == "the function look_up_order: 3,200 ms"
    start, end = page.evaluate("call.functions[0].slice(1)")
    assert float(span.get_attribute("data-start") or 0) == start
    assert float(span.get_attribute("data-end") or 0) == end
    assert "look_up_order 3,200" in page.inner_text(".turns tbody")
    assert "One answer, which took" in page.inner_text("main")
    assert "Cut by the end of the call" in page.inner_text(".figures")
    assert "cut since the call ended" in (page.locator("rect.cut title").text_content() or "")


def test_what_an_interruption_cut_says_so(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "interrupted.html"
    path.write_text(page_of(interrupted_call().lines, with_audio=False), "utf-8")
    open_page(page, path)
    assert "cut by an interruption" in (page.text_content("[data-lane=Cut] .cut-text") or "")
