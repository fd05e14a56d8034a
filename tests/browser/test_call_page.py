"""The page of a call in a real browser: the lanes stand where the recording says."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from shown_calls import (
    ShownCall,
    interrupted_call,
    page_of,
    resumed_call,
    view_of,
    what_if_of,
    what_if_page_of,
)
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.show.call_view import CallView
from twilio_realtime.recordings.show.events import ShownEventKind
from twilio_realtime.sim.audio import to_linear
from twilio_realtime_core.machine.units import MS

FRAME_MS = 20
PHONE = {"width": 390, "height": 780}
TIMEOUT_MS = 120_000
"""Longer than anything takes on a busy machine: a page that hangs fails, a slow one does not."""


@pytest.fixture(scope="module")
def call() -> ShownCall:
    return interrupted_call()


@pytest.fixture(scope="module")
def view(call: ShownCall) -> CallView:
    return view_of(call.lines)


@pytest.fixture(scope="module")
def file(call: ShownCall, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the call."""
    path = tmp_path_factory.mktemp("page") / "call.html"
    path.write_text(page_of(call.lines), "utf-8")
    return path


def open_page(page: Page, path: Path) -> None:
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(path.as_uri())
    page.wait_for_selector("#lanes [data-lane=Session]", state="attached")


def wait_until(page: Page, condition: str) -> None:
    """Look at each frame of the screen whether a condition holds. (Playwright's own way needs
    `eval`, which the policy of the page refuses.)"""
    page.evaluate(
        f"""() => new Promise((done, fail) => {{
          const last = performance.now() + {TIMEOUT_MS};
          const look = () => {{
            if ({condition}) done();
            else if (performance.now() > last) fail(new Error("it never held"));
            else requestAnimationFrame(look);
          }};
          look();
        }})"""
    )


def write(tmp_path: Path, lines: list[bytes], *, with_audio: bool = True) -> Path:
    path = tmp_path / "call.html"
    path.write_text(page_of(lines, with_audio=with_audio), "utf-8")
    return path


def drawn_times(page: Page, lane: str, kind: str) -> list[tuple[float, float]]:
    """When the spans of a lane start and end, by where they are drawn: the axis of the page, read
    from two of its ticks, says which time a pixel is."""
    return [
        (start, end)
        for start, end in page.evaluate(
            """([lane, kind]) => {
              const ticks = [...document.querySelectorAll('#lanes svg > text.tick')];
              const at = (tick) => Number(tick.getAttribute('x'));
              const ms = (tick) => 1000 * Number(tick.textContent.replace(' s', ''));
              const [first, last] = [ticks[0], ticks.at(-1)];
              const perMs = (at(last) - at(first)) / (ms(last) - ms(first));
              const time = (x) => ms(first) + (x - at(first)) / perMs;
              const rects = document.querySelectorAll(`[data-lane="${lane}"] rect.${kind}`);
              return [...rects].map((rect) => {
                const left = Number(rect.getAttribute('x'));
                return [time(left), time(left + Number(rect.getAttribute('width')))];
              });
            }""",
            [lane, kind],
        )
    ]


def cursor_ms(page: Page) -> float:
    return float(page.evaluate("lanes.cursorMs"))


# The lanes.


@pytest.mark.parametrize(
    ("lane", "kind"), [("Caller", "speech"), ("Agent", "heard"), ("Cut", "cut")]
)
def test_spans_are_drawn_when_they_happened_to_a_frame(
    page: Page, file: Path, view: CallView, lane: str, kind: str
) -> None:
    open_page(page, file)
    spans: dict[str, Any] = {
        "speech": view.speech,
        "heard": view.playback.heard,
        "cut": view.playback.cut,
    }
    expected = [(each.start_ns / MS, each.end_ns / MS) for each in spans[kind]]
    drawn = drawn_times(page, lane, kind)
    assert len(drawn) == len(expected) > 0
    for (start, end), (true_start, true_end) in zip(drawn, expected, strict=True):
        assert abs(start - true_start) < FRAME_MS
        assert abs(end - true_end) < FRAME_MS


def test_the_loudness_is_drawn_where_the_voice_is(page: Page, file: Path, view: CallView) -> None:
    """The wave is drawn from the audio, the spans from the estimates: they have to agree."""
    open_page(page, file)
    left, right = page.evaluate(
        """() => {
          const box = document.querySelector('[data-lane=Agent] path.agent-wave').getBBox();
          return [lanes.timeAt(box.x), lanes.timeAt(box.x + box.width)];
        }"""
    )
    assert abs(left - view.playback.heard[0].start_ns / MS) < 3 * FRAME_MS
    assert abs(right - view.playback.heard[-1].end_ns / MS) < 12 * FRAME_MS  # words fade out


def test_lanes_stay_true_when_zoomed_and_moved(page: Page, file: Path, view: CallView) -> None:
    open_page(page, file)
    clear_ms = next(each.at_ns / MS for each in view.events if each.kind is ShownEventKind.CLEAR)
    page.evaluate("([start, end]) => lanes.setView(start, end)", [clear_ms - 400, clear_ms + 400])
    wait_until(page, "lanes.frame === undefined")
    ((start, _),) = drawn_times(page, "Cut", "cut")
    assert abs(start - clear_ms) < 2
    (chip,) = page.query_selector_all("[data-lane=Events] [data-event=clear]")
    assert abs(float(chip.get_attribute("data-at") or 0) - clear_ms) < 1


def test_a_click_shows_the_moment_and_the_messages_of_both_protocols(
    page: Page, file: Path, view: CallView
) -> None:
    open_page(page, file)
    clear_ms = next(each.at_ns / MS for each in view.events if each.kind is ShownEventKind.CLEAR)
    box = page.locator("#lanes").bounding_box()
    assert box is not None
    x = page.evaluate("(ms) => lanes.x(ms)", clear_ms)
    page.mouse.click(box["x"] + x, box["y"] + 60)
    assert abs(cursor_ms(page) - clear_ms) < 1  # it snaps to the event
    text = page.inner_text("#moment")
    for expected in ("clear sent to Twilio", "truncate sent to the model", "the caller interrupts"):
        assert expected in text
    heard = re.search(r"([\d,]+) ms of [\d,]+ ms heard, ± [\d,]+ ms; marks confirm", text)
    assert heard is not None
    assert abs(int(heard[1].replace(",", "")) - view.playback.heard[0].samples / 8) <= 2
    kinds = page.locator("#moment .what").all_inner_texts()
    for kind in ("clear", "conversation.item.truncate", "input_audio_buffer.speech_started"):
        assert any(each.startswith(kind) for each in kinds), kinds


def test_a_reason_of_the_bridge_is_shown(page: Page, call: ShownCall, tmp_path: Path) -> None:
    lines = list(call.lines)
    index = next(number for number, line in enumerate(lines) if b'"event":"clear"' in line)
    step = decode_line(lines[index].decode())
    step["why"] = [{"decision": "queue_cleared", "reason": "caller_spoke"}]
    lines[index] = encode_line(step).encode()
    open_page(page, write(tmp_path, lines))
    page.evaluate("(ms) => seek(ms)", step["at_ns"] / MS)
    assert "queue cleared: caller spoke" in page.inner_text("#moment")


# The sound.


WATCH_AUDIO = """
  window.started = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when, ...rest) {
    window.started.push({ when, context: this.context, samples: this.buffer.length });
    return start.call(this, when, ...rest);
  };
"""


def test_the_cursor_follows_the_sound(page: Page, file: Path) -> None:
    page.add_init_script(WATCH_AUDIO)
    open_page(page, file)
    page.evaluate("seek(2000)")
    page.click("#play")
    wait_until(page, "lanes.cursorMs > 2300")
    # What the clock of the sound card says is heard, and what the cursor shows.
    difference_ms = page.evaluate(
        """() => {
          const { when, context } = window.started[0];
          const heard = 2000 + 1000 * (context.currentTime - (context.outputLatency || 0) - when);
          return Math.abs(heard - lanes.cursorMs);
        }"""
    )
    assert difference_ms < 150  # a frame of the screen on a busy machine
    first, second = page.evaluate("[...window.started].slice(0, 2).map((each) => each.when)")
    assert first == second  # both voices start together
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    stopped = cursor_ms(page)
    page.wait_for_timeout(60)
    assert cursor_ms(page) == stopped


def test_the_sound_is_what_was_recorded(page: Page, file: Path, view: CallView) -> None:
    """The samples that are played, to the last bit, from a second of the agent's speech."""
    page.add_init_script(
        """
          window.buffers = [];
          const create = BaseAudioContext.prototype.createBuffer;
          BaseAudioContext.prototype.createBuffer = function (...given) {
            const buffer = create.apply(this, given);
            window.buffers.push(buffer);
            return buffer;
          };
        """
    )
    open_page(page, file)
    first = view.playback.heard[0].start_ns / MS
    page.evaluate("(ms) => seek(ms)", first)
    page.click("#play")
    wait_until(page, "window.buffers.length >= 2")
    page.click("#play")
    played = page.evaluate("[...window.buffers[1].getChannelData(0).subarray(0, 4000)]")
    start = round(first * 8)
    linear = to_linear(view.agent_track()[start : start + 4000])
    expected = [
        int.from_bytes(linear[index : index + 2], "little", signed=True) / 32768
        for index in range(0, len(linear), 2)
    ]
    assert max(abs(one - other) for one, other in zip(played, expected, strict=True)) < 1e-6


def test_a_page_without_audio_says_so_and_has_no_voices(
    page: Page, call: ShownCall, tmp_path: Path
) -> None:
    open_page(page, write(tmp_path, call.lines, with_audio=False))
    assert page.is_disabled("#play")
    assert "No audio" in page.inner_text("#play")
    assert page.locator("#caller-audio").count() == 0


# The keyboard.


def test_the_keyboard_moves_zooms_and_plays(page: Page, file: Path, view: CallView) -> None:
    open_page(page, file)
    page.focus("#lanes")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")
    assert cursor_ms(page) == 1980
    page.keyboard.press("End")
    assert cursor_ms(page) == pytest.approx(view.duration_ns / MS, abs=0.02)
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    first = next(each.at_ns / MS for each in view.events if each.at_ns > 0)
    assert cursor_ms(page) == pytest.approx(first, abs=0.02)
    page.keyboard.press("+")
    assert page.evaluate("lanes.end - lanes.start") == pytest.approx(view.duration_ns / MS / 2)
    page.keyboard.press("0")
    assert page.evaluate("lanes.start") == 0
    page.keyboard.press("c")
    assert not page.is_checked("#hear-caller")
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.keyboard.press("Space")
    assert page.get_attribute("#lanes", "aria-valuetext") is not None


def test_every_control_is_reached_by_the_tab_key(page: Page, file: Path) -> None:
    open_page(page, file)
    reached: set[str] = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.getAttribute('class')"
            )
        )
    expected = {"play", "hear-caller", "hear-agent", "previous", "next", "zoom-in", "zoom-out"}
    assert expected | {"zoom-fit", "lanes", "time"} <= reached


def test_a_time_of_the_transcript_moves_the_cursor(page: Page, file: Path, view: CallView) -> None:
    open_page(page, file)
    page.locator(".transcript li.agent button.time").first.click()
    assert cursor_ms(page) == pytest.approx(view.playback.heard[0].start_ns / MS, abs=1)
    assert page.locator(".transcript li.now").count() == 1


# Hostile content, and small screens.


HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=pwned=1>\u202e\u2066<!--{{x}}"


def test_hostile_words_are_only_words(page: Page, call: ShownCall, tmp_path: Path) -> None:
    # JSON within JSON: what stands in the messages needs its quotes and escapes twice.
    text = json.dumps(json.dumps(HOSTILE)[1:-1])[1:-1].encode()
    lines = [line.replace(b"Your order", text) for line in call.lines]
    assert lines != call.lines
    open_page(page, write(tmp_path, lines))
    page.evaluate("seek(4000)")
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert "</script><script>" in page.inner_text(".transcript ol")


def test_a_word_of_ten_megabytes_is_shortened(page: Page, call: ShownCall, tmp_path: Path) -> None:
    word = b"w" * 10_000_000
    index = next(
        number
        for number, line in enumerate(call.lines)
        if b"output_audio_transcript.done" in line and b"receive_text" in line
    )
    lines = [*call.lines]
    lines[index] = lines[index].replace(b"Your order", word, 1)
    path = write(tmp_path, lines, with_audio=False)
    assert path.stat().st_size < 600_000
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    open_page(page, path)
    assert "more characters are in the recording" in page.inner_text(".transcript ol")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_horizontal_scroll(
    browser: Browser, what_if_file: Path, scheme: Any
) -> None:
    context = browser.new_context(
        viewport={"width": PHONE["width"], "height": PHONE["height"]},
        color_scheme=scheme,
        has_touch=True,
    )
    page = context.new_page()
    open_page(page, what_if_file)
    page.evaluate("seek(4000)")
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#lanes").scroll_into_view_if_needed()
    lanes = page.locator("#lanes").bounding_box()
    assert lanes is not None
    assert lanes["width"] > 300
    page.touchscreen.tap(lanes["x"] + lanes["width"] / 2, lanes["y"] + 40)
    assert cursor_ms(page) == pytest.approx(page.evaluate("call.duration / 2"), rel=0.02)
    context.close()


def test_a_call_with_two_sessions_shows_both(page: Page, tmp_path: Path) -> None:
    open_page(page, write(tmp_path, resumed_call(keep_audio=False).lines))
    assert page.locator("[data-lane=Session] rect.session:not(.opening)").count() == 2
    assert "session is lost" in page.inner_text(".findings")


def test_a_recording_that_is_cut_off_says_so(page: Page, call: ShownCall, tmp_path: Path) -> None:
    open_page(page, write(tmp_path, [*call.lines[:300], call.lines[300][:40]]))
    assert "cut off after line 300" in page.inner_text(".notices")
    assert drawn_times(page, "Caller", "speech")


# Another configuration.

LATER = "interruption.after_speech_ms=300"


@pytest.fixture(scope="module")
def what_if_file(call: ShownCall, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the call, with what the bridge would have done otherwise."""
    path = tmp_path_factory.mktemp("what-if") / "call.html"
    path.write_text(what_if_page_of(call.lines, LATER), "utf-8")
    return path


def test_where_another_configuration_differs_is_drawn(
    page: Page, what_if_file: Path, call: ShownCall, view: CallView
) -> None:
    open_page(page, what_if_file)
    compared = what_if_of(call.lines, LATER)
    assert compared.hypothetical is not None
    ((start, end),) = drawn_times(page, "What if", "unknown")
    assert start == pytest.approx(compared.hypothetical.at_ns / MS, abs=FRAME_MS)
    assert end == pytest.approx(view.duration_ns / MS, abs=FRAME_MS)
    lane = page.locator("[data-lane='What if']")
    assert "hypothetical: answers are not known" in (lane.text_content() or "")
    chips = lane.locator("[data-event]")
    assert chips.first.get_attribute("data-event") == "other"
    page.click(".what-if ul button.time >> nth=0")
    assert cursor_ms(page) == pytest.approx(compared.differences[0].at_ns / MS, abs=10)
    page.click(".what-if td summary >> nth=0")
    assert page.locator(".what-if td pre >> nth=0").is_visible()


def test_the_lane_of_another_configuration_is_drawn_for_one_alone(page: Page, file: Path) -> None:
    open_page(page, file)
    assert page.locator("[data-lane='What if']").count() == 0
    assert page.locator(".what-if").count() == 0


# Accessibility.


CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const backgroundOf = (element) => {
    for (let each = element; each !== null; each = each.parentElement) {
      const [r, g, b, a] = parse(getComputedStyle(each).backgroundColor);
      if (a === undefined || a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, style, noscript, title")) continue;
    const style = getComputedStyle(element);
    const isDrawn = element.closest("svg") !== null;
    if (element.closest("button:disabled") !== null) continue;
    let behind = backgroundOf(element);
    const box = element.closest("g[data-event]")?.querySelector("rect");
    if (isDrawn && box && element.classList.contains("chip-text")) {
      const fill = parse(getComputedStyle(box).fill);
      if (fill.length >= 3) behind = fill;
    }
    const one = light(parse(isDrawn ? style.fill : style.color));
    const other = light(behind);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.tagName} ${text.slice(0, 40)}`);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(browser: Browser, what_if_file: Path, scheme: Any) -> None:
    """At least 4.5 to 1 (WCAG 2.2, success criterion 1.4.3)."""
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    open_page(page, what_if_file)
    page.evaluate("seek(call.events.find(([, kind]) => kind === 'clear')[0])")
    page.click("summary")
    assert page.evaluate(CONTRAST) == []
    context.close()


def test_every_control_has_a_name_and_ids_are_unique(page: Page, what_if_file: Path) -> None:
    open_page(page, what_if_file)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, [role=slider], summary, a')].filter(
          (each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length)
        ).map((each) => each.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    pointed = page.evaluate(
        """() => [...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].flatMap(
          (each) => [each.getAttribute('aria-labelledby'), each.getAttribute('aria-describedby')]
        ).filter((id) => id !== null)"""
    )
    assert set(pointed) <= set(ids)
    assert page.get_attribute("html", "lang") == "en"
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map((each) => Number(each.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_asks_the_network_for_nothing(page: Page, file: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, file)
    page.click("#play")
    wait_until(page, "lanes.cursorMs > 100")
    assert [each for each in asked if not each.startswith(("file:", "data:"))] == []


def test_what_was_said_is_on_the_page_without_scripts(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert "Could you tell me" in page.inner_text(".transcript ol")
    assert page.locator(".turns tbody tr").count() == 2
    context.close()


def test_it_prints_in_black_on_white(browser: Browser, file: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    open_page(page, file)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.is_visible(".controls")
    assert page.is_visible(".transcript")
    context.close()
