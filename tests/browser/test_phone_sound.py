"""The modules of the browser phone that handle sound and messages, in the browser, against those of
the simulator."""

import json
from base64 import b64encode
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from phone_service import page_server
from playwright.sync_api import Page

from twilio_realtime.sim.audio import from_linear, to_linear
from twilio_realtime.sim.phone.player import Player
from twilio_realtime.sim.phone.wire_messages import (
    WireClear,
    WireMark,
    WireMedia,
    decode_server_message,
)
from twilio_realtime_core.machine.units import SAMPLE_NS


@pytest.fixture
def modules(page: Page) -> Iterator[Page]:
    """A page that can import the modules."""
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    with page_server() as port:
        page.goto(f"http://127.0.0.1:{port}/icon.svg")
        yield page


def test_samples_are_those_of_g711(modules: Page) -> None:
    linear = to_linear(bytes(range(256)))
    samples = [
        int.from_bytes(linear[at : at + 2], "little", signed=True) for at in range(0, 512, 2)
    ]
    decoded = modules.evaluate(
        "async () => { const { decodeSample } = await import('/mulaw.js');"
        " return Array.from({ length: 256 }, (_, byte) => decodeSample(byte) * 32768) }"
    )
    assert decoded == samples


def test_every_sample_is_encoded_to_the_nearest_code(modules: Page) -> None:
    values = [*range(-32768, 32768, 7), 32767]
    encoded = modules.evaluate(
        "async (values) => { const { encodeSample } = await import('/mulaw.js');"
        " return values.map((value) => encodeSample(value / 32767)) }",
        values,
    )
    back = to_linear(bytes(encoded))
    best = to_linear(from_linear(b"".join(v.to_bytes(2, "little", signed=True) for v in values)))
    for at, value in enumerate(values):
        ours = int.from_bytes(back[2 * at : 2 * at + 2], "little", signed=True)
        reference = int.from_bytes(best[2 * at : 2 * at + 2], "little", signed=True)
        assert abs(ours - value) <= abs(reference - value) + 4  # 14-bit steps


RESAMPLE = """
async ([from, to, frequency, seconds]) => {
  const { Resampler } = await import("/resampler.js");
  const resampler = new Resampler(from, to);
  const output = [];
  for (let at = 0; at < from * seconds; at += 1) {
    resampler.push(Math.sin((2 * Math.PI * frequency * at) / from));
    while (!resampler.missing) output.push(resampler.next());
  }
  const settled = output.slice(200);
  const power = settled.reduce((sum, sample) => sum + sample * sample, 0) / settled.length;
  return [output.length, Math.sqrt(2 * power)];
}
"""


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
def test_speech_passes_any_rate_and_back(modules: Page, rate: int) -> None:
    for rates in ((rate, 8000), (8000, rate)):
        for frequency in (100, 1000, 3000):
            count, amplitude = modules.evaluate(RESAMPLE, [*rates, frequency, 0.25])
            assert 0 <= rates[1] / 4 - count <= 16 * rates[1] / min(rates)  # the filter's delay
            assert 0.95 < amplitude < 1.05, (rates, frequency)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_what_8000_hz_cannot_hold_is_removed(modules: Page, rate: int) -> None:
    for frequency in (5000, 7000, 9000):
        assert modules.evaluate(RESAMPLE, [rate, 8000, frequency, 0.25])[1] < 0.01


QUEUE = """
async (calls) => {
  const { PlayQueue } = await import("/play_queue.js");
  return calls.map((steps) => {
    const queue = new PlayQueue();
    return steps.map(([kind, value]) => {
      if (kind === "media") {
        queue.enqueueAudio(new Uint8Array(value));
      } else if (kind === "mark") {
        queue.enqueueMark(value);
      } else if (kind === "clear") {
        const { discarded, marks } = queue.clear();
        return [queue.played, discarded, marks];
      } else {
        for (let count = 0; count < value; count += 1) queue.takeByte();
      }
      return [queue.played, queue.queued, queue.takeDueMarks()];
    });
  });
}
"""


def random_steps(random: Random) -> list[tuple[str, Any]]:
    kinds = random.choices(["media", "mark", "clear", "wait"], [5, 5, 1, 6], k=60)
    made: list[tuple[str, Any]] = []
    for number, kind in enumerate(kinds):
        value: Any = random.choice([0, 1, 160, 400, 4000])
        made.append((kind, f"m{number}" if kind == "mark" else value))
    return made


def expected_results(steps: list[tuple[str, Any]]) -> list[list[Any]]:
    """What the simulated phone's queue does."""
    player, now, results = Player(), 0, list[list[Any]]()
    for kind, value in steps:
        if kind == "media":
            player.enqueue_audio(bytes(value), now)
        elif kind == "mark":
            player.enqueue_mark(value, now)
        elif kind == "clear":
            discarded, marks = player.clear(now)
            results.append([player.heard_bytes_at(now), discarded, marks])
            continue
        else:
            now += value * SAMPLE_NS
        marks = player.take_due_marks(now)
        results.append([player.heard_bytes_at(now), player.queued_bytes(now), marks])
    return results


def test_the_queue_is_that_of_the_simulated_phone(modules: Page) -> None:
    random = Random(5)
    calls = [random_steps(random) for _ in range(200)]
    results = modules.evaluate(QUEUE, calls)
    assert results == [expected_results(steps) for steps in calls]


def server_messages(random: Random) -> list[str]:
    """Messages of a server, good and bad."""
    audio = b64encode(random.randbytes(20)).decode()
    good: list[dict[str, Any]] = [
        {"event": "media", "streamSid": "MZ", "media": {"payload": audio}},
        {"event": "mark", "streamSid": "MZ", "mark": {"name": "a"}},
        {"event": "clear", "streamSid": "MZ"},
    ]
    bad: list[Any] = [
        *([], 7, None, "text", {}),
        {"event": "media"},
        {"event": 7, "streamSid": "MZ"},
        {"event": "toString", "streamSid": "MZ"},
        {"event": "mark", "streamSid": "MZ", "mark": {"name": 7}},
        {"event": "mark", "streamSid": "MZ", "mark": []},
        {"event": "mark", "streamSid": "MZ"},
        {"event": "media", "streamSid": "MZ", "media": {"payload": "%"}},
        {"event": "media", "streamSid": "other", "media": {"payload": audio}},
    ]
    extra = [{**each, "sequenceNumber": "1"} for each in good]
    extra.append({"event": "media", "streamSid": "MZ", "media": {"payload": audio, "track": "x"}})
    return [*map(json.dumps, [*good, *bad, *extra]), "no JSON", ""]


def test_messages_are_read_as_the_simulated_phone_reads_them(modules: Page) -> None:
    texts = server_messages(Random(3))
    read = modules.evaluate(
        "async (texts) => { const { readMessage } = await import('/media_streams.js');"
        " return texts.map((text) => { const { event, audio, name, warning } ="
        " readMessage(text, 'MZ'); return [event ?? null, audio ? [...audio] : name ?? null,"
        " warning?.code ?? null] }) }",
        texts,
    )
    for text, found in zip(texts, read, strict=True):
        message, fault = decode_server_message(text, "MZ")
        match message:
            case WireMedia(audio):
                expected: list[Any] = ["media", list(audio)]
            case WireMark(name):
                expected = ["mark", name]
            case WireClear():
                expected = ["clear", None]
            case _:
                expected = [None, None]
        assert found == [*expected, None if fault is None else 31951], text


WORKLET = """
async ([rate, sentSamples, clearS]) => {
  const context = new OfflineAudioContext(1, 2 * rate, rate);
  await context.audioWorklet.addModule("/worklet.js");
  const node = new AudioWorkletNode(context, "phone", {
    numberOfInputs: 1, outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit",
  });
  node.connect(context.destination);
  const events = [];
  const received = [];
  node.port.onmessage = ({ data }) => {
    received.push(data);
    if (data.type === "marks") events.push(...data.names.map((name) => [name, data.played]));
  };
  const receive = async (type, count) => {
    const found = () => received.filter((data) => data.type === type);
    while (found().length < count) await new Promise((resolve) => setTimeout(resolve, 5));
    return found()[count - 1];
  };
  context.suspend(0).then(async () => {
    node.port.postMessage({ type: "mark", name: "start" }); // at once: nothing is queued
    node.port.postMessage({ type: "media", audio: new Uint8Array(sentSamples).fill(0x80) });
    node.port.postMessage({ type: "mark", name: "end" });
    node.port.postMessage({ type: "media", audio: new Uint8Array(800).fill(0x80) });
    node.port.postMessage({ type: "mark", name: "after" });
    node.port.postMessage({ type: "media", audio: new Uint8Array(9e6) });
    await receive("overflow", 1); // the worklet has all of it
    context.resume();
  });
  let outcome = null;
  if (clearS !== null) {
    context.suspend(clearS).then(async () => {
      node.port.postMessage({ type: "clear" });
      outcome = await receive("cleared", 1);
      context.resume();
    });
  }
  const rendered = (await context.startRendering()).getChannelData(0);
  if (clearS === null) await receive("marks", 3);
  let last = rendered.length - 1;
  while (last >= 0 && Math.abs(rendered[last]) < 0.45) last -= 1;
  return { heardSamples: ((last + 1) * 8000) / rate, outcome, events };
}
"""


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_clear_is_exact_to_the_samples_that_were_rendered(modules: Page, rate: int) -> None:
    """The queue holds a constant, so that the last sample which was rendered is seen."""
    result = modules.evaluate(WORKLET, [rate, 8000, 0.5])
    outcome = result["outcome"]
    assert outcome["played"] + outcome["discarded"] == 8800
    assert outcome["marks"] == ["end", "after"]
    # The filter between the rates smears the edge by half a millisecond or so around the sample,
    # and takes 17 samples ahead.
    assert abs(result["heardSamples"] - outcome["played"]) <= 9
    assert abs(outcome["played"] - 4000) <= 128 * 8000 / rate + 17


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_marks_are_echoed_once_the_samples_before_were_rendered(modules: Page, rate: int) -> None:
    result = modules.evaluate(WORKLET, [rate, 4000, None])
    (start, start_at), (end, end_at), (after, after_at) = result["events"]
    assert (start, start_at, end, after) == ("start", 0, "end", "after")
    block = 128 * 8000 / rate + 1
    assert 0 <= end_at - 4000 <= block
    assert after_at == 4800
    assert abs(result["heardSamples"] - 4800) <= 9
