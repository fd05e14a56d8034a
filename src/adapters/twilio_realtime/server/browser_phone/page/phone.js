// The page: what its buttons do, and what it shows.

import { PhoneAudio, decodeClip, decodeFile, makeTone } from "./audio.js";
import { Line } from "./line.js";
import { LiveCalls } from "./live.js";
import { AccessError, openSession, post } from "./session.js";
import { readTwiml } from "./twiml.js";
import { view } from "./view.js";

const KEYS = "123456789*0#";
const MAX_LEVELS = 90_000; // half an hour of frames
const DROPPED_LEVELS = 3_000; // the oldest minute, when there are more
const SERVICE_GONE = "The service does not answer: is it running? Start it, and open the link it prints.";
const OUTDATED = "This page is of an earlier run of the service: open the link that it has printed.";

/** What this page knows of a call by itself: what was said, queued and played, and when. */
class CallView {
  constructor(call) {
    this.callSid = call.call_sid;
    this.recording = call.recording;
    this.startedMs = performance.now();
    this.endedMs = null;
    this.caller = [];
    this.agent = [];
    this.queued = [];
    this.points = []; // { atMs, glyph, color }
    this.notes = []; // { atMs, text }
    this.figures = { played: 0, queued: 0, marks: 0, lostMarks: 0, clears: 0, discarded: 0 };
  }

  addFrame({ atMs, callerLevel, agentLevel, played, queued }) {
    this.caller.push([atMs, callerLevel]);
    this.agent.push([atMs, agentLevel]);
    this.queued.push([atMs, Math.min(1, queued / 80_000)]); // full at ten seconds
    Object.assign(this.figures, { played, queued });
    if (this.caller.length <= MAX_LEVELS) return;
    for (const series of [this.caller, this.agent, this.queued]) series.splice(0, DROPPED_LEVELS);
  }

  point(glyph, color) {
    this.points.push({ atMs: performance.now(), glyph, color });
  }

  note(text) {
    this.notes.push({ atMs: performance.now(), text });
  }
}

class Phone {
  constructor() {
    this.session = null;
    this.live = null;
    this.line = null;
    this.call = null; // the `CallView` of this call, or of the last one
    this.releaseLock = null;
    this.sample = null;
    this.fileSamples = null;
    this.impairments = { delayMs: 0, jitterMs: 0, losesMarks: false };
    this.audio = new PhoneAudio({
      frame: (frame) => this.handleFrame(frame),
      marks: ({ names }) => this.line?.echoMarks(names),
      cleared: (cleared) => this.line?.cleared(cleared),
      overflow: () => this.line?.overflow(),
      clipFinished: () => view.update(this),
      problem: (text) => view.showProblem("voice", text),
    });
  }

  async open() {
    try {
      this.session = await openSession();
    } catch (error) {
      view.showProblem("access", error instanceof AccessError ? error.message : SERVICE_GONE);
      view.showServer("No access", false);
      return;
    }
    this.live = new LiveCalls(this.session, {
      changed: () => view.update(this),
      connected: (isConnected, isOutdated) => this.handleConnection(isConnected, isOutdated),
      dropped: (count) => view.showDropped(count),
    });
    view.update(this);
  }

  get canCall() {
    return this.session !== null && this.line === null && !this.isStarting;
  }

  get story() {
    return this.call === null ? null : (this.live?.byCallSid(this.call.callSid) ?? this.call.story);
  }

  handleConnection(isConnected, isOutdated = false) {
    view.showServer(isConnected ? "Connected" : "Not connected", isConnected);
    const reason = isOutdated ? OUTDATED : SERVICE_GONE;
    view.showProblem("server", isConnected ? null : reason);
  }

  // A call.

  async toggleCall() {
    if (this.line !== null) this.line.hangUp();
    else if (this.canCall) await this.startCall();
  }

  async startCall() {
    this.isStarting = true;
    view.showStatus("Calling");
    view.showProblem("call", null);
    view.update(this);
    try {
      await this.lockCall();
      await this.audio.start();
      await this.useVoice();
      this.connect(await this.requestCall());
    } catch (error) {
      view.showStatus("The call was not made");
      view.showProblem("call", error.message);
      await this.endAudio();
    }
    this.isStarting = false;
    view.update(this);
  }

  /** Only one tab calls at a time: two would hear each other. */
  lockCall() {
    return new Promise((resolve, reject) => {
      navigator.locks.request("call", { ifAvailable: true }, (lock) => {
        if (lock === null) {
          reject(new Error("Another tab is in a call: hang up there first."));
          return null;
        }
        return new Promise((release) => {
          this.releaseLock = release;
          resolve();
        });
      });
    });
  }

  /** Speak with what is chosen. Throws an `Error` without a microphone, if that is chosen. */
  async useVoice() {
    if (view.voice === "microphone") await this.audio.useMicrophone();
    else if (view.voice === "tone") this.audio.useClip(makeTone(), true);
    else this.audio.useClip(null); // until the user has it said
  }

  async say() {
    try {
      if (view.voice === "sample") this.audio.useClip(await this.loadSample());
      else if (this.fileSamples !== null) this.audio.useClip(this.fileSamples);
    } catch {
      view.showProblem("voice", SERVICE_GONE);
    }
  }

  async loadSample() {
    if (this.sample === null) {
      const answer = await fetch("caller_question.ulaw");
      this.sample = decodeClip(new Uint8Array(await answer.arrayBuffer()));
    }
    return this.sample;
  }

  /** Request the webhook through the service, as Twilio would. */
  async requestCall() {
    const { session } = this;
    let answer;
    try {
      answer = await post("call", { session, ...view.callDetails });
    } catch {
      throw new Error(SERVICE_GONE);
    }
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  connect(call) {
    const { url, parameters } = readTwiml(call.twiml);
    this.call = new CallView(call);
    const stream = {
      url,
      parameters,
      callSid: call.call_sid,
      streamSid: call.stream_sid,
      accountSid: call.account_sid,
    };
    const shown = this.call;
    this.line = new Line(stream, this.audio, this.impairments, {
      started: () => {
        shown.startedMs = performance.now();
        view.showStatus("In a call");
      },
      mark: ({ isLost }) => {
        shown.figures.marks += 1;
        if (isLost) shown.figures.lostMarks += 1;
        shown.point("|", isLost ? "point" : "mark");
      },
      clear: ({ played, discarded }) => {
        shown.figures.clears += 1;
        shown.figures.discarded += discarded;
        shown.point("×", "point");
        shown.note(`clear at sample ${played}: ${discarded} samples were not played`);
      },
      warning: ({ code, text }) => {
        shown.point("!", "point");
        shown.note(`Twilio would log ${code}: ${text}`);
      },
      ended: ({ reason }) => this.handleEnd(shown, reason),
    });
  }

  async handleEnd(shown, reason) {
    shown.endedMs = performance.now();
    shown.story = this.story;
    this.line = null;
    view.showStatus(reason);
    view.showRecording(shown.recording);
    await this.endAudio();
    view.update(this);
  }

  async endAudio() {
    await this.audio.stop();
    this.releaseLock?.();
    this.releaseLock = null;
  }

  handleFrame(frame) {
    view.showLevel(frame.callerLevel);
    if (this.line === null) return;
    this.line.sendFrame(frame);
    if (this.line?.isStarted) this.call.addFrame(frame);
  }

  // Buttons.

  pressKey(digit) {
    if (!this.line?.isStarted) return;
    this.line.pressKey(digit);
    view.flashKey(digit);
  }

  toggleMute() {
    this.audio.setMuted(!this.audio.isMuted);
    view.update(this);
  }

  async changeVoice() {
    view.showProblem("voice", null);
    if (this.audio.isRunning) {
      await this.useVoice().catch((error) => view.showProblem("voice", error.message));
    }
    view.update(this);
  }

  async chooseFile(file) {
    view.showProblem("voice", null);
    try {
      this.fileSamples = await decodeFile(file);
    } catch (error) {
      this.fileSamples = null;
      view.showProblem("voice", error.message);
    }
    view.update(this);
  }

  impair(changes) {
    Object.assign(this.impairments, changes);
    this.line?.setImpairments(this.impairments);
    view.update(this);
  }

  stopModel() {
    this.live.stopModel(this.call.callSid);
    this.call.note("you have stopped the model: nothing of this session is received any more");
  }
}

// A new link in the same tab differs only behind the #.
window.addEventListener("hashchange", () => location.hash.length > 1 && location.reload());

const phone = new Phone();
view.bind(phone, KEYS);
await phone.open();
