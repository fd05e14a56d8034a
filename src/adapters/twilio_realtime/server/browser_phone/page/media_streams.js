// The messages of Twilio's Media Streams: those that Twilio sends, and those that it understands
// (https://www.twilio.com/docs/voice/media-streams/websocket-messages).

const FIELD_OF = { media: "payload", mark: "name", clear: null };

/** The messages of one stream to the server, numbered as Twilio numbers them. */
export class StreamMessages {
  constructor({ streamSid, callSid, accountSid }) {
    this.streamSid = streamSid;
    this.callSid = callSid;
    this.accountSid = accountSid;
    this.sequence = 0;
    this.chunk = 0;
  }

  connected() {
    return JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" });
  }

  start(customParameters) {
    const { streamSid, callSid, accountSid } = this;
    return this.encode("start", {
      accountSid,
      streamSid,
      callSid,
      tracks: ["inbound"],
      mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
      customParameters,
    });
  }

  media(audio, timestampMs) {
    this.chunk += 1;
    const media = {
      track: "inbound",
      chunk: String(this.chunk),
      timestamp: String(Math.round(timestampMs)),
      payload: btoa(String.fromCharCode(...audio)),
    };
    return this.encode("media", media);
  }

  mark(name) {
    return this.encode("mark", { name });
  }

  dtmf(digit) {
    return this.encode("dtmf", { track: "inbound_track", digit });
  }

  stop() {
    return this.encode("stop", { accountSid: this.accountSid, callSid: this.callSid });
  }

  encode(event, content) {
    this.sequence += 1;
    return JSON.stringify({
      event,
      sequenceNumber: String(this.sequence),
      [event]: content,
      streamSid: this.streamSid,
    });
  }
}

/**
 * Return what a message from the server means: `{ event, audio }`, `{ event, name }` or `{ event }`,
 * with a `warning`, the number of Twilio's log and what it says, where Twilio would log one. Without
 * an `event` the message is ignored.
 */
export function readMessage(data, streamSid) {
  if (typeof data !== "string") return warn(31950, "a binary message");
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return warn(31951, "a message that is not JSON");
  }
  const event = message?.event;
  if (!Object.hasOwn(FIELD_OF, event ?? "")) return warn(31951, "an event that Twilio does not know");
  if (message.streamSid !== streamSid) return warn(31951, `${event}: another streamSid`);
  const field = FIELD_OF[event];
  const value = field === null ? null : message[event]?.[field];
  if (field !== null && typeof value !== "string") return warn(31951, `${event}: no ${field}`);
  const extra =
    Object.keys(message).length > (field === null ? 2 : 3) ||
    (field !== null && Object.keys(message[event]).length > 1);
  const read = extra ? warn(31951, `${event}: fields that Twilio does not know`) : {};
  if (event === "clear") return { ...read, event };
  if (event === "mark") return { ...read, event, name: value };
  try {
    const audio = Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
    return { ...read, event, audio };
  } catch {
    return warn(31951, "media: a payload that is not base64");
  }
}

function warn(code, text) {
  return { warning: { code, text } };
}
