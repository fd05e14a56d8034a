// One direction of an impaired line: messages arrive later, never out of order.

export class DelayLine {
  /** `deliver` gets each message. `now` returns the time (ms), and `random` a number below 1. */
  constructor(deliver, now = () => performance.now(), random = Math.random) {
    this.deliver = deliver;
    this.now = now;
    this.random = random;
    this.delayMs = 0;
    this.jitterMs = 0;
    this.waiting = []; // [due, message], in order
    this.timer = null;
  }

  send(message) {
    const dueMs = this.now() + this.delayMs + this.jitterMs * this.random();
    const lastMs = this.waiting.at(-1)?.[0] ?? 0;
    this.waiting.push([Math.max(dueMs, lastMs), message]);
    this.flush();
  }

  /**
   * Deliver what is due. A timer calls it, and so does each frame of audio: timers of a page in the
   * background fire once a second.
   */
  flush() {
    clearTimeout(this.timer);
    while (this.waiting.length && this.waiting[0][0] <= this.now()) {
      this.deliver(this.waiting.shift()[1]);
    }
    if (this.waiting.length) {
      this.timer = setTimeout(() => this.flush(), this.waiting[0][0] - this.now());
    }
  }

  close() {
    clearTimeout(this.timer);
    this.waiting = [];
  }
}
