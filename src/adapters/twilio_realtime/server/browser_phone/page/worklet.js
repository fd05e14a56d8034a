// The phone in the thread of the sound card: it plays what Twilio would play, counts the samples, and
// cuts the caller's voice into frames. Nothing here depends on a timer, so a page in the background
// keeps time.

import { FRAME_SAMPLES, SAMPLE_RATE, SILENCE, decodeSample, encodeSample } from "./mulaw.js";
import { PlayQueue } from "./play_queue.js";
import { Resampler } from "./resampler.js";

class PhoneProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.fromDevice = new Resampler(sampleRate, SAMPLE_RATE);
    this.toDevice = new Resampler(SAMPLE_RATE, sampleRate);
    this.queue = new PlayQueue();
    this.clip = null; // what is said in place of the microphone: samples at 8000 Hz, from -1 to 1
    this.clipAt = 0;
    this.repeatsClip = false;
    this.isMuted = false;
    this.isClosed = false;
    this.startFrame();
    this.port.onmessage = ({ data }) => this.handle(data);
  }

  handle(message) {
    switch (message.type) {
      case "media":
        if (!this.queue.enqueueAudio(message.audio)) this.port.postMessage({ type: "overflow" });
        break;
      case "mark":
        this.queue.enqueueMark(message.name);
        this.echoDueMarks();
        break;
      case "clear": {
        const { discarded, marks } = this.queue.clear();
        this.port.postMessage({ type: "cleared", played: this.queue.played, discarded, marks });
        break;
      }
      case "reset": // a new call
        this.queue = new PlayQueue();
        this.startFrame();
        break;
      case "adopt": // what another context has not played, after the device has changed its rate
        Object.assign(this.queue, message.queue);
        break;
      case "release":
        this.isClosed = true;
        this.port.postMessage({ type: "released", queue: { ...this.queue } });
        break;
      case "mute":
        this.isMuted = message.on;
        break;
      case "clip":
        this.clip = message.samples;
        this.clipAt = 0;
        this.repeatsClip = message.repeats;
        break;
    }
  }

  process(inputs, outputs) {
    if (this.isClosed) return false;
    const output = outputs[0][0];
    const microphone = inputs[0][0];
    for (let at = 0; at < output.length; at += 1) {
      this.fromDevice.push(microphone ? microphone[at] : 0);
      while (!this.fromDevice.missing) this.addToFrame(this.fromDevice.next());
      while (this.toDevice.missing > 0) this.toDevice.push(this.play());
      output[at] = this.toDevice.next();
    }
    this.echoDueMarks();
    return true;
  }

  play() {
    const byte = this.queue.takeByte();
    const sample = byte === null ? 0 : decodeSample(byte);
    this.agentEnergy += sample * sample;
    return sample;
  }

  echoDueMarks() {
    const names = this.queue.takeDueMarks();
    if (names.length) this.port.postMessage({ type: "marks", names, played: this.queue.played });
  }

  startFrame() {
    this.frame = new Uint8Array(FRAME_SAMPLES).fill(SILENCE);
    this.frameAt = 0;
    this.callerEnergy = 0;
    this.agentEnergy = 0;
  }

  addToFrame(fromMicrophone) {
    const said = this.isMuted ? 0 : fromMicrophone + this.nextOfClip();
    this.callerEnergy += said * said;
    this.frame[this.frameAt] = said === 0 ? SILENCE : encodeSample(said);
    this.frameAt += 1;
    if (this.frameAt < FRAME_SAMPLES) return;
    this.port.postMessage({
      type: "frame",
      time: currentTime,
      audio: this.frame,
      callerLevel: Math.sqrt(this.callerEnergy / FRAME_SAMPLES),
      agentLevel: Math.sqrt(this.agentEnergy / FRAME_SAMPLES),
      played: this.queue.played,
      queued: this.queue.queued,
    });
    this.startFrame();
  }

  nextOfClip() {
    if (this.clip === null) return 0;
    const sample = this.clip[this.clipAt];
    this.clipAt += 1;
    if (this.clipAt === this.clip.length) {
      this.clipAt = 0;
      if (!this.repeatsClip) {
        this.clip = null;
        this.port.postMessage({ type: "clip-finished" });
      }
    }
    return sample;
  }
}

registerProcessor("phone", PhoneProcessor);
