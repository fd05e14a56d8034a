"""The browser phone in a browser: whole calls, bad input, and calls in progress."""

import json
import re
import subprocess
import sys
import wave
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chromium import find_chromium
from phone_service import (
    TIMEOUT_MS,
    PhoneService,
    page_server,
    serving,
    wait_for_text,
    wait_until,
)
from playwright.sync_api import Browser, BrowserContext, Page

from twilio_realtime.recordings.replay import replay
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import silence, to_linear

CLIP_SAMPLES = 48_000
CLIP_AGENT = f"""
import json
from pathlib import Path

from twilio_realtime import Agent, Call, CallStarted
from twilio_realtime_core import Interrupt, Play
from twilio_realtime_core.notifications import ClipFinished, KeyPressed

agent = Agent("You help.")


@agent.on(CallStarted)
def started(call: Call, event: CallStarted) -> None:
    call.send(Play(bytes([0x80]) * {CLIP_SAMPLES}))


@agent.on(KeyPressed)
def pressed(call: Call, event: KeyPressed) -> None:
    call.send(Interrupt())


@agent.on(ClipFinished)
def finished(call: Call, event: ClipFinished) -> None:
    Path("clip.json").write_text(json.dumps([event.heard_ms, event.sent_ms]))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneService]:
    """A service for tests that do not end it."""
    with serving(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[PhoneService]:
    """A service of the test's own."""
    with serving(tmp_path) as made:
        yield made


@contextmanager
def launched(browser: Browser, *arguments: str) -> Generator[BrowserContext]:
    """Run another browser, with arguments of its own."""
    path = find_chromium()
    other = browser.browser_type.launch(
        executable_path=path, args=["--no-sandbox", "--mute-audio", *arguments]
    )
    yield other.new_context()
    other.close()


def speak(page: Page, voice: str = "sample") -> None:
    """Choose what is said: of a sample, nothing yet."""
    page.select_option("#voice", voice)


def call(page: Page) -> None:
    """Call, and wait until the stream has started."""
    page.click("#call")
    wait_for_text(page, "#status", "In a call")


def hang_up(page: Page) -> None:
    page.click("#call")
    wait_for_text(page, "#status", "You have hung up")


def figure(page: Page, name: str) -> str:
    return page.inner_text(f"#{name}")


def problem(page: Page, pattern: str) -> None:
    wait_for_text(page, "#problem", pattern)


def write_speech(path: Path) -> None:
    """Write what the microphone hears: a pause, a question, and silence."""
    audio = silence(24_000) + sample_speech.load("caller_question").audio + silence(240_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(to_linear(audio))


def test_a_whole_call_with_a_microphone_is_recorded(
    browser: Browser, fresh: PhoneService, tmp_path: Path
) -> None:
    speech = tmp_path / "speech.wav"
    write_speech(speech)
    device = f"--use-file-for-fake-audio-capture={speech}%noloop"
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with launched(browser, *fake, device) as context:
        page = context.new_page()
        fresh.open(page)
        page.check("#record")
        call(page)
        page.wait_for_selector("#transcript .agent .who:has-text('after')", timeout=TIMEOUT_MS)
        fresh.wait_for_events("playback.started", 2)
        page.keyboard.press("5")
        fresh.wait_for_events("key.pressed")
        wait_for_text(page, "#log", "a key was pressed")
        hang_up(page)
        wait_for_text(page, "#recording", "Recorded to recordings/.*-browser-.*jsonl")
        recording = page.inner_text("#recording").removeprefix("Recorded to ")
    (ended,) = fresh.wait_for_events("call.ended")
    assert ended["reason"] == "caller hung up"
    assert ended["turns"] >= 1
    assert ended["faults"] == 0
    fresh.stop()  # it has written all of the file then
    with (tmp_path / recording).open(encoding="utf-8") as file:
        result = replay(file)
    assert (result.difference, result.is_cut_off) == (None, False)
    check_marks((tmp_path / recording).read_text("utf-8"))


def check_marks(recording: str) -> None:
    """Assert that all marks of a recorded call were echoed in their order, but for the last ones,
    which were queued when the caller hung up."""
    sent: list[str] = []
    echoed: list[str] = []
    frames = 0
    for line in recording.splitlines()[1:]:
        step = json.loads(line)
        if step["method"] == "receive_text" and step["arguments"][0] == "twilio":
            message = json.loads(step["arguments"][1])
            if message["event"] == "mark":
                echoed.append(message["mark"]["name"])
            frames += message["event"] == "media"
        sent += re.findall(r'"event": "mark".*?"name": "(\w+)"', json.dumps(step["actions"]))
    assert frames > 150
    assert len(echoed) > 5
    assert echoed == sent[: len(echoed)]


def test_clear_stops_at_the_sample_that_is_counted(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path, agent=CLIP_AGENT) as service:
        service.open(page)
        speak(page)
        call(page)
        wait_for_text(page, "#heard", r"[1-5]\.\d s")
        page.click("[data-key='7']")
        wait_for_text(page, "#log", "clear at sample")
        wait_until((tmp_path / "clip.json").exists)
        words = page.inner_text("#log").split("clear at sample ")[1].split()
        played, discarded = int(words[0].rstrip(":")), int(words[1])
        wait_for_text(page, "#heard", f"^{played / 8000:.1f} s$")
        hang_up(page)
        service.wait_for_events("call.ended")
    heard_ms, sent_ms = json.loads((tmp_path / "clip.json").read_text())
    assert played + discarded == sent_ms * 8 == CLIP_SAMPLES
    # The bridge reckons when it sends `clear`; what is played until the page has it is not exact.
    assert abs(heard_ms - played / 8) < 250


def test_what_is_heard_to_the_end_is_all_that_was_sent(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path, agent=CLIP_AGENT) as service:
        service.open(page)
        speak(page)
        call(page)
        wait_until((tmp_path / "clip.json").exists)
        wait_for_text(page, "#heard", r"^6\.0 s$")
        assert int(figure(page, "marks")) > 5
        hang_up(page)
    assert json.loads((tmp_path / "clip.json").read_text()) == [6000, 6000]


CHANGE_DEVICE = """
const Original = window.AudioContext;
window.deviceRate = 44100;
window.AudioContext = class extends Original {
  constructor(options) { super({ ...options, sampleRate: window.deviceRate }); }
};
"""


def test_a_device_that_changes_its_rate_loses_no_sample(page: Page, tmp_path: Path) -> None:
    page.add_init_script(CHANGE_DEVICE)
    with serving(tmp_path, agent=CLIP_AGENT) as service:
        service.open(page)
        speak(page)
        call(page)
        wait_for_text(page, "#device", "44100 Hz")
        wait_for_text(page, "#heard", r"[12]\.\d s")
        page.evaluate(
            "window.deviceRate = 48000;"
            "navigator.mediaDevices.dispatchEvent(new Event('devicechange'))"
        )
        wait_for_text(page, "#device", "48000 Hz")
        wait_until((tmp_path / "clip.json").exists)
        wait_for_text(page, "#heard", r"^6\.0 s$")
        hang_up(page)
        (ended,) = service.wait_for_events("call.ended")
    assert json.loads((tmp_path / "clip.json").read_text()) == [6000, 6000]
    assert ended["faults"] == 0


def test_a_page_without_timers_keeps_time(page: Page, tmp_path: Path) -> None:
    """Browsers throttle the timers of a page in the background; here they never fire. The line is
    delayed, and the sound card alone says when a message is due."""
    page.add_init_script("window.setTimeout = () => 0")
    with serving(tmp_path, agent=CLIP_AGENT) as service:
        service.open(page)
        speak(page)
        page.fill("#delay", "200")
        assert figure(page, "delay-value") == "200 ms"
        call(page)
        wait_until((tmp_path / "clip.json").exists)
        hang_up(page)
    assert json.loads((tmp_path / "clip.json").read_text()) == [6000, 6000]


def test_lost_marks_are_counted_and_the_bridge_goes_on(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path, agent=CLIP_AGENT) as service:
        service.open(page)
        speak(page)
        page.click("#lose-marks")
        assert page.get_attribute("#lose-marks", "aria-pressed") == "true"
        call(page)
        wait_for_text(page, "#marks", r"\d+, \d+ lost")
        page.click("#reset-line")
        assert page.get_attribute("#lose-marks", "aria-pressed") == "false"
        hang_up(page)
        (ended,) = service.wait_for_events("call.ended")
    assert ended["faults"] == 0


def test_a_model_that_is_stopped_falls_silent(page: Page, service: PhoneService) -> None:
    service.open(page)
    speak(page)
    call(page)
    wait_for_text(page, "#log", "session of the model is ready")
    page.click("#stop-model")
    wait_for_text(page, "#log", "you have stopped the model")
    before = len(service.log_events("caller_speech.started"))
    page.click("#say")
    # The question is over once its last frames were sent: the greeting is silent, and so is this.
    page.wait_for_function("() => document.querySelector('#level').value > 0.3", timeout=TIMEOUT_MS)
    page.wait_for_function("() => document.querySelector('#level').value === 0", timeout=TIMEOUT_MS)
    hang_up(page)
    assert len(service.log_events("caller_speech.started")) == before


def test_an_agent_that_hangs_up_ends_the_call(page: Page, tmp_path: Path) -> None:
    agent = CLIP_AGENT.replace("Interrupt()", "HangUp()").replace(
        "import Interrupt", "import HangUp"
    )
    with serving(tmp_path, agent=agent) as service:
        service.open(page)
        speak(page)
        call(page)
        page.click("[data-key='1']")
        wait_for_text(page, "#status", "The agent has hung up")
        assert page.is_enabled("#call")


def test_an_agent_that_refuses_says_why(page: Page, tmp_path: Path) -> None:
    agent = """
from twilio_realtime import Agent, IncomingCall, Reject

agent = Agent()


@agent.incoming
def refuse(incoming: IncomingCall) -> Reject:
    return Reject("busy")
"""
    with serving(tmp_path, agent=agent) as service:
        service.open(page)
        speak(page)
        page.click("#call")
        problem(page, "The call was refused: busy")
        assert figure(page, "status") == "The call was not made"
        assert page.is_enabled("#call")


# The microphone.


def test_a_denied_microphone_says_what_to_do(browser: Browser, service: PhoneService) -> None:
    with launched(browser, "--use-fake-device-for-media-stream") as context:
        page = context.new_page()
        open_in_another_browser(page, service)
        page.click("#call")
        problem(page, "does not let this page use the microphone.*speak with the sample")
        assert figure(page, "status") == "The call was not made"
        speak(page)
        call(page)
        assert page.is_hidden("#problem")
        hang_up(page)


def test_no_microphone_says_what_to_do(browser: Browser, service: PhoneService) -> None:
    with launched(browser, "--use-fake-ui-for-media-stream") as context:
        page = context.new_page()
        open_in_another_browser(page, service)
        page.click("#call")
        problem(page, "There is no microphone")
        speak(page)
        call(page)
        hang_up(page)


def open_in_another_browser(page: Page, service: PhoneService) -> None:
    """Start the service again for a new link, and open it."""
    service.stop()
    service.start()
    service.open(page)


def test_a_sound_file_is_said(page: Page, fresh: PhoneService, tmp_path: Path) -> None:
    speech = tmp_path / "speech.wav"
    write_speech(speech)
    fresh.open(page)
    speak(page, "file")
    page.set_input_files("#file", str(speech))
    call(page)
    page.click("#say")
    fresh.wait_for_events("caller_speech.stopped")
    hang_up(page)


def test_a_file_that_is_no_sound_says_so(page: Page, service: PhoneService, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    open_in_another_browser(page, service)
    speak(page, "file")
    page.set_input_files("#file", str(broken))
    problem(page, "cannot play this file")


# Access.


def test_a_used_link_opens_only_in_the_browser_that_used_it(
    page: Page, browser: Browser, fresh: PhoneService, problems: list[str]
) -> None:
    fresh.open(page)
    assert "#" not in page.url
    page.reload()
    page.wait_for_selector("#server.on", timeout=TIMEOUT_MS)
    second = page.context.new_page()
    fresh.open(second)
    context = browser.new_context()
    stranger = context.new_page()
    stranger.goto(fresh.link)
    problem(stranger, "This link was used before")
    assert stranger.is_disabled("#call")
    context.close()


@pytest.mark.parametrize("link", ["#wrong", ""])
def test_a_wrong_link_says_what_to_open(
    page: Page, service: PhoneService, problems: list[str], link: str
) -> None:
    page.goto(service.link.partition("#")[0] + link)
    problem(page, "link .*that.* has printed")
    assert page.is_disabled("#call")
    problems.clear()  # the answer was 403


def test_only_one_tab_is_in_a_call(page: Page, fresh: PhoneService) -> None:
    fresh.open(page)
    speak(page)
    call(page)
    second = page.context.new_page()
    fresh.open(second)
    wait_for_text(second, "#live-count", "1")
    speak(second)
    second.click("#call")
    problem(second, "Another tab is in a call")
    hang_up(page)
    call(second)
    hang_up(second)


ATTACK = """
async (base) => {
  const outcomes = [];
  for (const path of ["session", "call"]) {
    const url = `http://${base}/browser-phone/${path}`;
    const request = fetch(url, { method: "POST", body: "{}" });
    outcomes.push(await request.then(() => "read", () => "refused"));
  }
  for (const path of ["/browser-phone/live", "/media-stream"]) {
    const socket = new WebSocket(`ws://${base}${path}`);
    outcomes.push(await new Promise((resolve) => {
      socket.onopen = () => resolve("open");
      socket.onerror = () => resolve("refused");
    }));
  }
  return outcomes;
}
"""


def test_a_page_at_another_port_reaches_nothing(
    page: Page, fresh: PhoneService, problems: list[str]
) -> None:
    """A page of another site would not even get here: Chromium keeps it from loopback addresses."""
    with page_server() as port:
        page.goto(f"http://127.0.0.1:{port}/icon.svg")
        assert page.evaluate(ATTACK, f"127.0.0.1:{fresh.port}") == 4 * ["refused"]
    refused = [each for each in fresh.wait_for_events("request.refused", 4) if each["path"]]
    assert {each["path"] for each in refused} >= {"/browser-phone/session", "/media-stream"}
    assert {each["status"] for each in refused} == {403}
    problems.clear()


def test_a_name_that_resolves_here_is_refused(browser: Browser, service: PhoneService) -> None:
    """DNS rebinding: the browser takes this machine for the server of another site."""
    with launched(browser, "--host-resolver-rules=MAP evil.example 127.0.0.1") as context:
        page = context.new_page()
        answer = page.goto(f"http://evil.example:{service.port}/browser-phone/")
        assert answer
        assert answer.status == 403
        assert "open it at 127.0.0.1" in answer.text()


def test_a_service_that_is_gone_and_back_is_said(
    page: Page, fresh: PhoneService, problems: list[str]
) -> None:
    fresh.open(page)
    speak(page)
    call(page)
    fresh.process.kill()
    fresh.process.wait()
    wait_for_text(page, "#status", "The connection to the server was lost")
    problem(page, "The service does not answer")
    page.click("#call")
    problem(page, "Start it, and open the link it prints")
    fresh.start()
    problem(page, "of an earlier run")
    fresh.open(page)
    assert page.is_hidden("#problem")
    problems.clear()


def test_a_service_that_reloads_keeps_the_page(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: list[str]
) -> None:
    monkeypatch.setenv("TWILIO_REALTIME_BROWSER_SESSION", 32 * "s")  # as --reload does
    with serving(tmp_path) as service:
        service.open(page)
        service.stop()
        problem(page, "The service does not answer")
        service.start()
        page.wait_for_selector("#server.on", timeout=TIMEOUT_MS)
        assert page.is_hidden("#problem")
    problems.clear()


# Calls in progress.


@contextmanager
def another_call(service: PhoneService) -> Generator[None]:
    """Call by `twilio-realtime phone`, and hang up at the end."""
    command = [sys.executable, "-m", "twilio_realtime.cli", "phone", "--expect-hang-up"]
    url = f"http://127.0.0.1:{service.port}/incoming-call"
    process = subprocess.Popen(  # noqa: S603
        [*command, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def test_calls_of_others_are_listed_without_their_words(page: Page, fresh: PhoneService) -> None:
    fresh.open(page)
    with another_call(fresh):
        wait_for_text(page, "#live-count", "1")
        fresh.wait_for_events("response.finished")
        page.wait_for_selector("#live-calls article canvas", timeout=TIMEOUT_MS)
        fresh.wait_for_events("playback.started")
        assert "order" not in page.inner_text("#live-calls")
    wait_for_text(page, "#live-count", "0")
    wait_for_text(page, "#live-calls", "ended: caller hung up|ended: twilio lost")


def test_words_of_others_are_shown_where_asked_for(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path, "--live-words") as service:
        service.open(page)
        with another_call(service):
            wait_for_text(page, "#live-calls", "Agent: .*order")


# The page itself.

UNLABELLED = """
[...document.querySelectorAll("button, input, select, meter, canvas")].filter((node) =>
  !(node.textContent.trim() || node.ariaLabel || node.labels?.length)).map((node) => node.id)
"""
CONTRASTS = """
() => {
  const style = getComputedStyle(document.documentElement);
  const parse = (name) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = style.getPropertyValue(name);
    const hex = canvas.fillStyle;
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
  };
  const luminance = (name) => {
    const [red, green, blue] = parse(name).map((value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  return [
    ["--text", "--card"], ["--text", "--field"], ["--text", "--page"], ["--faint", "--card"],
    ["--faint", "--field"], ["--faint", "--page"], ["--accent-text", "--accent"],
    ["--danger", "--card"], ["--danger", "--field"], ["--warning-text", "--warning-back"],
    ["--accent", "--page"], ["--point", "--card"], ["--mark", "--card"],
  ].map(([front, back]) => {
    const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    return [front, back, (high + 0.05) / (low + 0.05)];
  });
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_labelled_and_readable(
    page: Page, service: PhoneService, problems: list[str], scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(service.link.partition("#")[0])
    page.wait_for_selector("#keypad button")
    assert page.evaluate(UNLABELLED) == []
    poor = [each for each in page.evaluate(CONTRASTS) if each[2] < 4.5]
    assert poor == []
    wait_for_text(page, "#problem", "link")
    problems.clear()


def test_a_call_needs_no_mouse(page: Page, fresh: PhoneService) -> None:
    fresh.open(page)
    speak(page)
    page.focus("#call")
    page.keyboard.press("Enter")
    wait_for_text(page, "#status", "In a call")
    page.keyboard.press("#")
    fresh.wait_for_events("key.pressed")
    page.focus("#from")
    page.keyboard.press("Tab")
    page.focus("#mute")
    page.keyboard.press("Space")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    page.focus("#call")
    page.keyboard.press("Enter")
    wait_for_text(page, "#status", "You have hung up")


def test_a_narrow_page_has_no_sideways_scrolling(page: Page, fresh: PhoneService) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    fresh.open(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
