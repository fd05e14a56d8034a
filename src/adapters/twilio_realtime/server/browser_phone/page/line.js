// The line of one call: Twilio's end of a Media Stream, over an impaired network if the user wants.

import { DelayLine } from "./delay_line.js";
import { StreamMessages, readMessage } from "./media_streams.js";

/**
 * A call to the stream at `url`.
 *
 * `audio` is a `PhoneAudio`. `on` has `started()`, `mark({ name, isCleared })`, `clear({ played,
 * discarded })`, `warning({ code, text })` and `ended({ reason, code })`. Times are in ms.
 */
export class Line {
  constructor(call, audio, impairments, on) {
    this.call = call;
    this.audio = audio;
    this.on = on;
    this.impairments = impairments;
    this.messages = new StreamMessages(call);
    this.startedMs = null; // when the stream began
    this.endedBy = null;
    this.warnings = new Set();
    this.toServer = new DelayLine((text) => this.transmit(text));
    this.toPhone = new DelayLine((data) => this.receive(data));
    this.setImpairments(impairments);
    this.socket = new WebSocket(call.url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.start();
    this.socket.onmessage = ({ data }) => this.toPhone.send(data);
    this.socket.onclose = ({ code, reason }) => this.end(code, reason);
  }

  get isStarted() {
    return this.startedMs !== null && this.endedBy === null;
  }

  setImpairments(impairments) {
    this.impairments = impairments;
    for (const direction of [this.toServer, this.toPhone]) {
      direction.delayMs = impairments.delayMs;
      direction.jitterMs = impairments.jitterMs;
    }
  }

  start() {
    this.audio.reset();
    this.startedMs = performance.now();
    this.toServer.send(this.messages.connected());
    this.toServer.send(this.messages.start(this.call.parameters));
    this.on.started();
  }

  transmit(text) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  /** Send a frame of the caller's voice. */
  sendFrame({ audio, atMs }) {
    this.toPhone.flush();
    this.toServer.flush();
    if (this.isStarted) {
      this.toServer.send(this.messages.media(audio, Math.max(0, atMs - this.startedMs)));
    }
  }

  receive(data) {
    if (!this.isStarted) return;
    const message = readMessage(data, this.call.streamSid);
    if (message.warning) this.warn(message.warning);
    if (message.event === "media") this.audio.play(message.audio);
    else if (message.event === "mark") this.audio.mark(message.name);
    else if (message.event === "clear") this.audio.clear();
  }

  /** Twilio logs each warning once for a stream. */
  warn(warning) {
    if (this.warnings.has(warning.code)) return;
    this.warnings.add(warning.code);
    this.on.warning(warning);
  }

  overflow() {
    this.warn({ code: 31931, text: "more than ten minutes of audio are queued" });
  }

  /** The worklet has played all that came before these marks. */
  echoMarks(names, isCleared = false) {
    if (!this.isStarted) return;
    for (const name of names) {
      if (!this.impairments.losesMarks) this.toServer.send(this.messages.mark(name));
      this.on.mark({ name, isCleared, isLost: this.impairments.losesMarks });
    }
  }

  cleared({ played, discarded, marks }) {
    if (!this.isStarted) return;
    this.on.clear({ played, discarded });
    this.echoMarks(marks, true);
  }

  pressKey(digit) {
    if (this.isStarted) this.toServer.send(this.messages.dtmf(digit));
  }

  /** The caller hangs up. */
  hangUp() {
    if (this.endedBy !== null) return;
    this.endedBy = "caller";
    if (this.startedMs !== null) this.transmit(this.messages.stop());
    this.socket.close(1000);
    this.audio.clear();
    this.close();
    this.on.ended({ reason: "You have hung up.", code: 1000 });
  }

  end(code, reason) {
    if (this.endedBy !== null) return;
    const wasStarted = this.startedMs !== null;
    this.endedBy = "server";
    this.audio.clear();
    this.close();
    this.on.ended({ reason: describeEnd(wasStarted, code, reason), code });
  }

  close() {
    this.toServer.close();
    this.toPhone.close();
  }
}

function describeEnd(wasStarted, code, reason) {
  if (!wasStarted) return "The server has refused the stream: its log says why.";
  if (code === 1000) return "The agent has hung up.";
  if (code === 1001) return "The server has ended the call, since it stops.";
  if (code === 1006) return "The connection to the server was lost.";
  return `The server has closed the stream: ${code}${reason ? `, ${reason}` : ""}.`;
}
