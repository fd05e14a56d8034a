"use strict";

// The player of both voices. Audio is decoded on the first play, and scheduled in pieces, a few
// seconds ahead, so that the sound of a whole hour is never held as floating point numbers.

const SAMPLE_RATE = 8000;
const PIECE_S = 10;
const AHEAD_S = 15;

/** Linear values of the 256 codes of µ-law (ITU-T G.711, table 2a). */
function makeMulawTable() {
  const table = new Float32Array(256);
  for (let index = 0; index < 256; index += 1) {
    const code = ~index & 0xff;
    const magnitude = (((2 * (code & 0xf) + 33) << ((code >> 4) & 7)) - 33) / 8192;
    table[index] = code & 0x80 ? -magnitude : magnitude;
  }
  return table;
}

function decodeDataUri(element) {
  const text = element.textContent;
  const binary = atob(text.slice(text.indexOf(",") + 1));
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

class Player {
  /** `onTime` gets the time of the call (ms) of what is heard now, and `onStop` the end. */
  constructor(onTime, onStop) {
    this.onTime = onTime;
    this.onStop = onStop;
    this.elements = ["caller", "agent"].map((name) => document.getElementById(`${name}-audio`));
    this.canPlay = this.elements.every((element) => element !== null);
    this.isPlaying = false;
    this.attempt = 0;
    this.context = null;
    this.sources = [];
    this.muted = [false, false];
  }

  prepare() {
    if (this.context !== null) return;
    try {
      this.context = new AudioContext({ sampleRate: SAMPLE_RATE });
    } catch {
      this.context = new AudioContext(); // a browser that resamples buffers by itself
    }
    const table = makeMulawTable();
    this.voices = this.elements.map((element, index) => {
      const gain = this.context.createGain();
      gain.gain.value = this.muted[index] ? 0 : 1;
      gain.connect(this.context.destination);
      return { bytes: decodeDataUri(element), table, gain };
    });
  }

  setMuted(index, isMuted) {
    this.muted[index] = isMuted;
    if (this.context !== null) this.voices[index].gain.gain.value = isMuted ? 0 : 1;
  }

  async play(fromMs) {
    if (!this.canPlay || this.isPlaying) return;
    this.prepare();
    this.isPlaying = true;
    this.attempt += 1;
    const attempt = this.attempt;
    await this.context.resume();
    if (!this.isPlaying || attempt !== this.attempt) return; // paused meanwhile
    this.fromS = fromMs / 1000;
    this.startedAt = this.context.currentTime + 0.05;
    this.scheduledS = this.fromS;
    // A tab in the background gets no frames of the screen, and still has to be heard.
    this.timer = setInterval(() => this.scheduleAhead(), 1000);
    this.tick();
  }

  /** The time of the call (s) of what is heard now. */
  position() {
    const latency = this.context.outputLatency || 0;
    return this.fromS + Math.max(0, this.context.currentTime - latency - this.startedAt);
  }

  scheduleAhead() {
    const until = Math.min(this.position() + AHEAD_S, call.duration / 1000);
    while (this.scheduledS < until) this.schedulePiece();
  }

  tick() {
    if (!this.isPlaying) return;
    this.scheduleAhead();
    const position = this.position();
    if (position * 1000 >= call.duration) {
      this.pause();
      this.onTime(call.duration);
      this.onStop();
      return;
    }
    this.onTime(position * 1000);
    this.frame = requestAnimationFrame(() => this.tick());
  }

  schedulePiece() {
    const start = Math.round(this.scheduledS * SAMPLE_RATE);
    const end = start + PIECE_S * SAMPLE_RATE;
    for (const voice of this.voices) {
      const samples = voice.bytes.subarray(start, end);
      if (samples.length === 0) continue;
      const buffer = this.context.createBuffer(1, samples.length, SAMPLE_RATE);
      const linear = buffer.getChannelData(0);
      for (let index = 0; index < samples.length; index += 1) {
        linear[index] = voice.table[samples[index]];
      }
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(voice.gain);
      source.start(this.startedAt + this.scheduledS - this.fromS);
      source.onended = () => this.sources.splice(this.sources.indexOf(source), 1);
      this.sources.push(source);
    }
    this.scheduledS += PIECE_S;
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    cancelAnimationFrame(this.frame);
    clearInterval(this.timer);
    for (const source of [...this.sources]) {
      source.onended = null;
      source.stop();
    }
    this.sources = [];
  }
}
