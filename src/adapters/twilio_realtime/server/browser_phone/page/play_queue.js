// The audio queue of a stream at Twilio: audio in the order received, without a pause; a mark is due
// when everything before it was played, at once if nothing is queued; `clear` empties the queue and
// makes all marks due (https://www.twilio.com/docs/voice/media-streams/websocket-messages).

export const MAX_QUEUED_SAMPLES = 10 * 60 * 8000; // ten minutes; Twilio drops more: warning 31931

export class PlayQueue {
  constructor() {
    this.played = 0; // samples since the stream started
    this.total = 0; // samples played or queued
    this.chunks = [];
    this.offset = 0; // in the first chunk
    this.marks = []; // [position, name], in order
  }

  get queued() {
    return this.total - this.played;
  }

  /** Append µ-law bytes; return whether there was room. */
  enqueueAudio(bytes) {
    if (this.queued + bytes.length > MAX_QUEUED_SAMPLES) return false;
    if (bytes.length) this.chunks.push(bytes);
    this.total += bytes.length;
    return true;
  }

  enqueueMark(name) {
    this.marks.push([this.total, name]);
  }

  /** Remove and return the next byte, which is played; `null`: the queue is empty. */
  takeByte() {
    if (!this.chunks.length) return null;
    const chunk = this.chunks[0];
    const byte = chunk[this.offset];
    this.offset += 1;
    this.played += 1;
    if (this.offset === chunk.length) {
      this.chunks.shift();
      this.offset = 0;
    }
    return byte;
  }

  /** Remove and return the names of the marks that are due, in order. */
  takeDueMarks() {
    let count = 0;
    while (count < this.marks.length && this.marks[count][0] <= this.played) count += 1;
    return this.marks.splice(0, count).map(([, name]) => name);
  }

  /** Discard what was not played; return the number of samples, and all pending marks. */
  clear() {
    const discarded = this.queued;
    const marks = this.marks.map(([, name]) => name);
    this.total = this.played;
    this.chunks = [];
    this.offset = 0;
    this.marks = [];
    return { discarded, marks };
  }
}
