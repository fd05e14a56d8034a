// The calls in progress, as the service sends them. Each batch is acknowledged, so a page that is slow
// gets fewer and never more than it can take; what it misses is counted, and made good by a snapshot.

import { CallStory } from "./story.js";

const RETRY_MS = 2000;
const NO_SESSION = 1008; // the service was started again, and knows nothing of this page
const KEEP_ENDED_MS = 20_000;

/** `on` has `changed()`, `connected(isConnected, isOutdated)` and `dropped(count)`. */
export class LiveCalls {
  constructor(session, on) {
    this.session = session;
    this.on = on;
    this.calls = new Map(); // stories by number
    this.droppedCount = 0;
    this.offsetMs = null; // from the service's clock to that of the page
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(new URL("live", location.href.replace(/^http/, "ws").split("#")[0]));
    this.socket.onopen = () => this.send({ session: this.session });
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = ({ code }) => {
      this.offsetMs = null;
      this.on.connected(false, code === NO_SESSION);
      if (code !== NO_SESSION) setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Have the model of a call of this phone fall silent. */
  stopModel(callSid) {
    this.send({ stop_model: callSid });
  }

  byCallSid(callSid) {
    return [...this.calls.values()].find((story) => story.callSid === callSid) ?? null;
  }

  receive(batch) {
    const offsetMs = performance.now() - batch.now_ms;
    if (this.offsetMs === null) this.on.connected(true);
    // The batch that was delayed the least says best how the clocks differ.
    this.offsetMs = this.offsetMs === null ? offsetMs : Math.min(this.offsetMs, offsetMs);
    if (batch.calls) this.replace(batch.calls);
    for (const [number, atMs, name, fields] of batch.events) this.add(number, atMs, name, fields);
    if (batch.dropped) {
      this.droppedCount += batch.dropped;
      this.on.dropped(this.droppedCount);
    }
    this.send({ ack: batch.batch });
    this.forgetEnded();
    this.on.changed();
  }

  replace(calls) {
    const ended = [...this.calls.values()].filter((story) => story.endedMs !== null);
    this.calls = new Map(ended.map((story) => [story.number, story]));
    for (const { number, call_sid: callSid, started_ms: startedMs, events } of calls) {
      this.calls.set(number, new CallStory(number, callSid, startedMs + this.offsetMs));
      for (const [atMs, name, fields] of events) this.add(number, atMs, name, fields);
    }
  }

  add(number, serviceMs, name, fields) {
    const atMs = serviceMs + this.offsetMs;
    if (name === "call.started") {
      this.calls.set(number, new CallStory(number, fields.call_sid, atMs));
    }
    this.calls.get(number)?.add(atMs, name, fields);
  }

  forgetEnded() {
    const before = performance.now() - KEEP_ENDED_MS;
    for (const [number, story] of this.calls) {
      if (story.endedMs !== null && story.endedMs < before) this.calls.delete(number);
    }
  }
}
