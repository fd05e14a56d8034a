// Microphone, loudspeaker and the worklet between them and the line.

import { SAMPLE_RATE, decodeSample } from "./mulaw.js";

const MAX_FILE_S = 600;
const START_TIMEOUT_MS = 5000;
const MICROPHONE = {
  audio: {
    channelCount: 1,
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
  },
};
const ALTERNATIVE = "Or speak with the sample, the tone or a file.";
const MICROPHONE_ERRORS = {
  NotAllowedError:
    "The browser does not let this page use the microphone: allow it beside the page's address, " +
    "then choose the microphone again.",
  NotFoundError: "There is no microphone: connect one, then choose the microphone again.",
  NotReadableError:
    "The microphone cannot be used, perhaps since another program uses it: close that, then " +
    "choose the microphone again.",
};

/**
 * The audio of the phone.
 *
 * `on` has the functions `frame`, `marks`, `cleared`, `overflow`, `clipFinished`, each of which gets
 * what the worklet reports, and `problem`, which gets a sentence for people, or `null` once all is
 * well. Times of frames are those of `performance.now()`, counted in samples.
 */
export class PhoneAudio {
  constructor(on) {
    this.on = on;
    this.context = null;
    this.node = null;
    this.microphone = null; // the stream of the device, and its node
    this.wantsMicrophone = false;
    this.offsetMs = 0; // from the context's time to that of the page
    this.isMuted = false;
    this.clip = null;
    this.isRestarting = false;
    navigator.mediaDevices?.addEventListener("devicechange", () => this.checkDevices());
  }

  get isRunning() {
    return this.node !== null;
  }

  get deviceRate() {
    return this.context?.sampleRate ?? null;
  }

  /** Start, on a click of the user: browsers allow no sound before one. */
  async start() {
    if (this.isRunning) return;
    await this.open(null);
  }

  async open(queue) {
    const context = new AudioContext({ latencyHint: "interactive" });
    await context.audioWorklet.addModule("worklet.js");
    const node = new AudioWorkletNode(context, "phone", {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
    });
    node.port.onmessage = ({ data }) => this.handle(data);
    node.connect(context.destination);
    await startSound(context);
    this.context = context;
    this.node = node;
    this.offsetMs = performance.now() - context.currentTime * 1000;
    context.onstatechange = () => this.checkContext(context);
    if (queue !== null) node.port.postMessage({ type: "adopt", queue });
    this.setMuted(this.isMuted);
    if (this.clip !== null) node.port.postMessage(this.clip);
  }

  handle(message) {
    switch (message.type) {
      case "frame":
        this.on.frame({ ...message, atMs: message.time * 1000 + this.offsetMs });
        break;
      case "marks":
        this.on.marks(message);
        break;
      case "cleared":
        this.on.cleared(message);
        break;
      case "overflow":
        this.on.overflow();
        break;
      case "clip-finished":
        this.clip = null;
        this.on.clipFinished();
        break;
      case "released":
        this.onReleased?.(message.queue);
        break;
    }
  }

  post(message) {
    this.node?.port.postMessage(message);
  }

  /** Empty the queue, for a new call. */
  reset() {
    this.post({ type: "reset" });
  }

  play(audio) {
    this.post({ type: "media", audio });
  }

  mark(name) {
    this.post({ type: "mark", name });
  }

  clear() {
    this.post({ type: "clear" });
  }

  setMuted(on) {
    this.isMuted = on;
    this.post({ type: "mute", on });
  }

  // What the caller says.

  /** Speak with the microphone. Throws an `Error`, with a sentence for people, if there is none. */
  async useMicrophone() {
    this.setClip(null);
    this.wantsMicrophone = true;
    await this.connectMicrophone();
  }

  async connectMicrophone() {
    this.disconnectMicrophone();
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia(MICROPHONE);
    } catch (error) {
      const reason = MICROPHONE_ERRORS[error.name] ?? `The microphone failed: ${error.message}.`;
      throw new Error(`${reason} ${ALTERNATIVE}`);
    }
    if (!this.wantsMicrophone || this.node === null) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    const source = this.context.createMediaStreamSource(stream);
    source.connect(this.node);
    stream.getAudioTracks()[0].onended = () => this.replaceMicrophone();
    this.microphone = { stream, source };
    this.on.problem(null);
  }

  /** The device is gone, or has changed: take what there is. */
  async replaceMicrophone() {
    try {
      await this.connectMicrophone();
    } catch (error) {
      this.on.problem(error.message);
    }
  }

  disconnectMicrophone() {
    if (this.microphone === null) return;
    const { stream, source } = this.microphone;
    source.disconnect();
    for (const track of stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this.microphone = null;
  }

  /** Say samples at 8000 Hz, from -1 to 1, in place of the microphone. */
  useClip(samples, repeats = false) {
    this.wantsMicrophone = false;
    this.disconnectMicrophone();
    this.setClip(samples, repeats);
    this.on.problem(null);
  }

  setClip(samples, repeats = false) {
    this.clip = samples === null ? null : { type: "clip", samples, repeats };
    this.post({ type: "clip", samples, repeats });
  }

  // Devices that come, go, and change.

  checkContext(context) {
    if (context !== this.context) return;
    if (context.state === "closed") this.restart();
    else if (context.state !== "running") {
      context.resume().catch(() => this.on.problem("The browser has stopped the sound: click Call."));
    }
  }

  async checkDevices() {
    if (!this.isRunning || this.isRestarting) return;
    const probe = new AudioContext();
    const rate = probe.sampleRate;
    await probe.close();
    if (rate !== this.deviceRate) await this.restart();
    else if (this.wantsMicrophone && this.microphone === null) await this.replaceMicrophone();
  }

  /** Open the device again, at its rate; what was not played is played then. */
  async restart() {
    if (this.isRestarting) return;
    this.isRestarting = true;
    const { context, node } = this;
    this.disconnectMicrophone();
    const queue = await this.release(context, node);
    node.disconnect();
    try {
      if (context.state !== "closed") await context.close();
      await this.open(queue);
      if (this.wantsMicrophone) await this.replaceMicrophone();
    } catch (error) {
      this.on.problem(error.message);
    }
    this.isRestarting = false;
  }

  /** Have the worklet of a context that goes away hand its queue over. */
  release(context, node) {
    if (context.state !== "running") return Promise.resolve(null);
    return new Promise((resolve) => {
      this.onReleased = resolve;
      setTimeout(() => resolve(null), START_TIMEOUT_MS);
      node.port.postMessage({ type: "release" });
    });
  }

  /** Let the microphone and the loudspeaker go. */
  async stop() {
    this.wantsMicrophone = false;
    this.disconnectMicrophone();
    const context = this.context;
    this.context = this.node = null;
    if (context !== null) await context.close();
  }
}

/** Start the sound card. Throws an `Error`, with a sentence for people, if it does not start. */
async function startSound(context) {
  const timeout = new Promise((resolve) => setTimeout(resolve, START_TIMEOUT_MS));
  await Promise.race([context.resume(), timeout]);
  if (context.state === "running") return;
  await context.close();
  throw new Error("The browser does not start the sound: check that there is a loudspeaker.");
}

/** Return a tone that repeats: a second of 440 Hz, and two of silence. */
export function makeTone() {
  return Float32Array.from({ length: 3 * SAMPLE_RATE }, (_, at) =>
    at < SAMPLE_RATE ? 0.3 * Math.sin((2 * Math.PI * 440 * at) / SAMPLE_RATE) : 0,
  );
}

/** Return the samples of µ-law bytes. */
export function decodeClip(bytes) {
  return Float32Array.from(bytes, decodeSample);
}

/** Return the samples of a sound file at 8000 Hz. Throws an `Error` with a sentence for people. */
export async function decodeFile(file) {
  const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
  let decoded;
  try {
    decoded = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error("The browser cannot play this file: choose another, such as a WAV file.");
  }
  if (decoded.duration > MAX_FILE_S) throw new Error("The file is longer than ten minutes.");
  if (decoded.length === 0) throw new Error("The file has no sound.");
  const mixed = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel += 1) {
    decoded.getChannelData(channel).forEach((sample, at) => {
      mixed[at] += sample / decoded.numberOfChannels;
    });
  }
  return mixed;
}
