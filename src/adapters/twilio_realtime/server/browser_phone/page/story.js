// What has happened in a call, as the service reports it: who spoke when, and what was said.

const EVENT_TEXTS = {
  "session.ready": () => "the session of the model is ready",
  "session.lost": ({ cause, retry_in_ms: retryMs }) =>
    `the session of the model is lost: ${cause}${retryMs === null ? "" : `, next attempt in ${retryMs} ms`}`,
  "session.restored": () => "another session goes on with the call",
  "session.rotated": () => "the session was replaced before it expired",
  "response.refused": ({ code }) => `the model has refused a response: ${code ?? "no code"}`,
  "model.silent": ({ silent_ms: silentMs }) => `the model was silent for ${silentMs} ms`,
  "function.requested": ({ name }) => `the model calls the function ${name}`,
  "key.pressed": () => "a key was pressed",
  "caller_audio.dropped": ({ ms }) => `${ms} ms of the caller's audio were dropped`,
  "caller_audio.padded": ({ ms }) => `${ms} ms of silence were sent for the caller`,
  "interruption.blocked": ({ cause }) => `the caller spoke and did not interrupt: ${cause}`,
  fault: ({ peer, reason }) => `fault of ${peer}: ${reason}`,
  "call.ended": ({ reason }) => `the call has ended: ${reason}`,
};

const GLYPHS = {
  "session.lost": "!",
  "session.restored": "+",
  "session.rotated": "+",
  "response.refused": "!",
  "model.silent": "!",
  "function.requested": "ƒ",
  "key.pressed": "#",
  "interruption.blocked": "~",
  interrupted: "×",
  fault: "!",
};

/** A call by its number in the service. Times are in ms, of the page's clock. */
export class CallStory {
  constructor(number, callSid, startedMs) {
    this.number = number;
    this.callSid = callSid;
    this.startedMs = startedMs;
    this.endedMs = null;
    this.endReason = null;
    this.spans = { caller: [], model: [], heard: [] };
    this.points = []; // { atMs, glyph, text }
    this.words = []; // { who, item, text, isFinal, heard, unheard, latencyMs, atMs }
    this.log = []; // { atMs, text }
    this.latenciesMs = [];
    this.speechStoppedMs = null;
  }

  add(atMs, name, fields) {
    switch (name) {
      case "caller_speech.started":
        this.open("caller", atMs);
        this.speechStoppedMs = null;
        this.entry("caller", fields.item, atMs);
        break;
      case "caller_speech.stopped":
        this.close("caller", atMs);
        this.speechStoppedMs = atMs;
        break;
      case "response.started":
        this.open("model", atMs);
        break;
      case "response.finished":
        this.close("model", atMs);
        break;
      case "playback.started":
        this.startPlayback(fields.item, atMs);
        break;
      case "playback.finished":
        this.close("heard", atMs);
        break;
      case "interrupted":
        this.interrupt(fields.items, atMs);
        break;
      case "caller.words":
      case "agent.words":
        this.addWords(name === "caller.words" ? "caller" : "agent", fields, atMs);
        break;
      case "call.ended":
        this.endedMs = atMs;
        this.endReason = fields.reason;
        for (const lane of Object.keys(this.spans)) this.close(lane, atMs);
        break;
    }
    const text = EVENT_TEXTS[name]?.(fields);
    if (text) this.note(atMs, text);
    if (name in GLYPHS) this.points.push({ atMs, glyph: GLYPHS[name], text: text ?? name });
  }

  note(atMs, text) {
    this.log.push({ atMs, text });
  }

  open(lane, atMs) {
    this.close(lane, atMs);
    this.spans[lane].push({ fromMs: atMs, toMs: null });
  }

  close(lane, atMs) {
    const last = this.spans[lane].at(-1);
    if (last && last.toMs === null) last.toMs = atMs;
  }

  startPlayback(item, atMs) {
    this.open("heard", atMs);
    const entry = this.entry("agent", item, atMs);
    if (this.speechStoppedMs === null) return;
    entry.latencyMs = Math.round(atMs - this.speechStoppedMs);
    this.latenciesMs.push(entry.latencyMs);
    this.speechStoppedMs = null;
  }

  interrupt(items, atMs) {
    this.close("heard", atMs);
    for (const { item, heard_ms: heardMs, sent_ms: sentMs, heard, unheard } of items) {
      Object.assign(this.entry("agent", item, atMs), { heardMs, sentMs, heard, unheard });
      this.note(atMs, `interrupted: ${heardMs} of ${sentMs} ms were heard`);
    }
  }

  entry(who, item, atMs) {
    let entry = this.words.find((each) => each.item === item && each.who === who);
    if (!entry) {
      entry = { who, item, text: "", isFinal: false, atMs };
      this.words.push(entry);
    }
    return entry;
  }

  addWords(who, { item, text, final: isFinal }, atMs) {
    const entry = this.entry(who, item, atMs);
    entry.text = isFinal ? text : entry.text + text;
    entry.isFinal = isFinal;
  }
}
