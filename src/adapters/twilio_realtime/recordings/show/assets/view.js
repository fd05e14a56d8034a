"use strict";

// The part of the call that is visible, its cursor, and what a pointer does in the lanes.

const GUTTER = 136;
const NARROW = 640;
const SHORTEST_VIEW_MS = 200;
const SNAP_PIXELS = 6;
const CLICK_PIXELS = 4;

class View {
  /** `onSeek` gets the time (ms) that was chosen. */
  constructor(root, overview, onSeek) {
    this.root = root;
    this.overview = overview;
    this.onSeek = onSeek;
    this.cursorMs = 0;
    this.start = 0;
    this.end = call.duration;
    this.cursor = document.getElementById("cursor");
    this.listenToLanes();
    this.listenToOverview();
  }

  // Geometry

  get width() {
    return Math.max(200, this.root.clientWidth);
  }

  get gutter() {
    return this.width < NARROW ? 0 : GUTTER;
  }

  get pixelsPerMs() {
    return (this.width - this.gutter) / (this.end - this.start);
  }

  x(ms) {
    return this.gutter + (ms - this.start) * this.pixelsPerMs;
  }

  timeAt(x) {
    const ms = this.start + (x - this.gutter) / this.pixelsPerMs;
    return Math.min(call.duration, Math.max(0, ms));
  }

  setView(start, end) {
    const length = Math.min(call.duration, Math.max(SHORTEST_VIEW_MS, end - start));
    this.start = Math.min(Math.max(0, start), call.duration - length);
    this.end = this.start + length;
    this.requestDraw();
  }

  zoom(factor, aroundMs = this.cursorMs) {
    const isVisible = aroundMs >= this.start && aroundMs <= this.end;
    const around = isVisible ? aroundMs : (this.start + this.end) / 2;
    const share = (around - this.start) / (this.end - this.start);
    const length = Math.max(SHORTEST_VIEW_MS, (this.end - this.start) / factor);
    this.setView(around - share * length, around + (1 - share) * length);
  }

  /** Move the view so that a time is well within it. */
  reveal(ms, isFollowing = false) {
    const length = this.end - this.start;
    const isAtEnd = this.end >= call.duration;
    const last = isFollowing && !isAtEnd ? this.start + 0.9 * length : this.end;
    if (ms >= this.start && ms <= last) return;
    const start = ms - (isFollowing ? 0.1 : 0.5) * length;
    this.setView(start, start + length);
  }

  setCursor(ms) {
    this.cursorMs = ms;
    this.placeCursor();
  }

  placeCursor() {
    const x = this.x(this.cursorMs);
    const isVisible = x >= this.gutter - 0.5 && x <= this.width + 0.5;
    this.cursor.hidden = !isVisible;
    this.cursor.style.transform = `translateX(${x.toFixed(2)}px)`;
    this.cursor.classList.toggle("left", x > this.width - 70);
    this.cursor.firstElementChild.textContent = formatTime(this.cursorMs);
    if (this.overviewCursor) {
      const at = (this.cursorMs / call.duration) * this.width;
      this.overviewCursor.setAttribute("x1", at);
      this.overviewCursor.setAttribute("x2", at);
    }
  }

  // Input

  listenToLanes() {
    const pointers = new Map();
    let pressed = null;
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.root.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event.offsetX);
      const chip = event.target.closest("[data-event]"); // the root gets what follows
      pressed = { x: event.clientX, start: this.start, end: this.end, hasMoved: false, chip };
    });
    this.root.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId) || pressed === null) return;
      const left = this.root.getBoundingClientRect().left;
      if (pointers.size === 2) {
        const [one, two] = [...pointers.values()];
        const before = Math.abs(one - two);
        pointers.set(event.pointerId, event.clientX - left);
        const [first, second] = [...pointers.values()];
        pressed.hasMoved = true;
        const middle = this.timeAt((first + second) / 2);
        if (before > 10) this.zoom(Math.max(10, Math.abs(first - second)) / before, middle);
        return;
      }
      const moved = event.clientX - pressed.x;
      if (Math.abs(moved) > CLICK_PIXELS) pressed.hasMoved = true;
      if (!pressed.hasMoved) return;
      this.root.classList.add("dragging");
      const shift = moved / this.pixelsPerMs;
      this.setView(pressed.start - shift, pressed.end - shift);
    });
    const release = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      this.root.classList.remove("dragging");
      const isClick = event.type === "pointerup" && pressed !== null && !pressed.hasMoved;
      const x = event.clientX - this.root.getBoundingClientRect().left;
      const chip = pressed?.chip ?? null;
      if (pointers.size === 0) pressed = null;
      if (!isClick || x < this.gutter) return;
      this.onSeek(chip === null ? this.snap(this.timeAt(x)) : Number(chip.dataset.at));
    };
    this.root.addEventListener("pointerup", release);
    this.root.addEventListener("pointercancel", release);
    this.root.addEventListener(
      "wheel",
      (event) => {
        const x = event.clientX - this.root.getBoundingClientRect().left;
        if (event.ctrlKey || event.metaKey) {
          event.preventDefault();
          this.zoom(Math.exp(-event.deltaY / 200), this.timeAt(x));
        } else if (event.deltaX !== 0 || event.shiftKey) {
          event.preventDefault();
          const shift = (event.deltaX || event.deltaY) / this.pixelsPerMs;
          this.setView(this.start + shift, this.end + shift);
        }
      },
      { passive: false },
    );
  }

  listenToOverview() {
    const move = (event) => {
      if (event.buttons !== 1) return;
      const box = this.overview.getBoundingClientRect();
      const ms = ((event.clientX - box.left) / box.width) * call.duration;
      const half = (this.end - this.start) / 2;
      this.setView(ms - half, ms + half);
    };
    this.overview.addEventListener("pointerdown", (event) => {
      this.overview.setPointerCapture(event.pointerId);
      move(event);
      if (this.end - this.start >= call.duration) {
        const box = this.overview.getBoundingClientRect();
        this.onSeek(Math.max(0, ((event.clientX - box.left) / box.width) * call.duration));
      }
    });
    this.overview.addEventListener("pointermove", move);
  }

  /** The time of an event, if one is within a few pixels. */
  snap(ms) {
    const reach = SNAP_PIXELS / this.pixelsPerMs;
    let nearest = ms;
    let distance = reach;
    for (const [at] of call.events) {
      if (Math.abs(at - ms) < distance) {
        distance = Math.abs(at - ms);
        nearest = at;
      }
    }
    return nearest;
  }

  requestDraw() {
    if (this.frame !== undefined) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }
}
