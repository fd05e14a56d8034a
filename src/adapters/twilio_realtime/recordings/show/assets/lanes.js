"use strict";

// The lanes: what each side did, in time. Only what is visible is drawn, and no finer than the
// screen, so that the lanes of an hour are drawn as quickly as those of a minute.

const CHIP_ROWS = 3;
const CHIP_HEIGHT = 16;
const CHARACTER_WIDTH = 6.3;
const TICKS_MS = [
  20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000, 600000,
];
const TICK_WIDTH = 78;

const CHIP_LABELS = {
  clear: "clear",
  truncate: "truncate",
  delete: "delete",
  cancel: "cancel",
  request: "request",
  interruption: "interrupted",
  held: "not interrupted",
  key: "key",
  clip: "clip",
  session: "session",
  warning: "! warning",
  fault: "!! fault",
  call: "call",
  other: "differs",
  hypothetical: "differs?",
};

const LANES = [
  { name: "Caller", note: "what was said", height: 58, draw: "drawCaller" },
  { name: "Answer time", note: "until it was heard", height: 24, draw: "drawAnswers" },
  { name: "Agent", note: "as it was heard", height: 58, draw: "drawHeard" },
  { name: "Cut", note: "never heard", height: 22, draw: "drawCut" },
  { name: "Queued", note: "at Twilio", height: 46, draw: "drawQueue" },
  { name: "Sent", note: "to Twilio", height: 22, draw: "drawSent" },
  { name: "Generated", note: "by the model", height: 22, draw: "drawGenerated" },
  { name: "Marks", note: "sent, echoed", height: 30, draw: "drawMarks" },
  { name: "Events", note: "messages, keys, faults", height: 62, draw: "drawEvents" },
  { name: "Decisions", note: "", height: 24, draw: "drawDecisions", data: "decisions" },
  { name: "What if", note: "other configuration", height: 44, draw: "drawWhatIf", data: "whatIf" },
  { name: "Functions", note: "until the output", height: 24, draw: "drawFunctions", data: "functions" },
  { name: "Session", note: "of the model", height: 24, draw: "drawSessions" },
];
const AXIS_HEIGHT = 24;
const LABEL_HEIGHT = 14;

class Lanes extends View {
  constructor(root, overview, onSeek) {
    super(root, overview, onSeek);
    this.lanes = LANES.filter((lane) => lane.data === undefined || call[lane.data].length > 0);
    this.svg = createSvg("svg", { role: "presentation" });
    root.prepend(this.svg);
    this.overviewSvg = createSvg("svg", { height: 34 });
    overview.append(this.overviewSvg);
    new ResizeObserver(() => this.draw()).observe(root);
  }

  draw() {
    const inset = this.gutter === 0 ? LABEL_HEIGHT : 0; // a narrow screen has labels above lanes
    const height = this.lanes.reduce((sum, lane) => sum + lane.height + inset, AXIS_HEIGHT);
    this.svg.setAttribute("height", height);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    const parts = [this.patterns(), ...this.axis(height)];
    const labels = [];
    let top = AXIS_HEIGHT;
    for (const lane of this.lanes) {
      const group = createSvg("g", { "data-lane": lane.name, "clip-path": "url(#visible)" });
      this[lane.draw](group, top + inset, lane.height);
      parts.push(group);
      const bottom = top + inset + lane.height;
      labels.push(createSvg("line", { class: "row", x1: 0, x2: this.width, y1: bottom, y2: bottom }));
      this.label(labels, lane, top);
      top = bottom;
    }
    keepFocus(this.svg, () => this.svg.replaceChildren(...parts, ...labels));
    this.drawOverview();
    this.placeCursor();
  }

  label(labels, lane, top) {
    if (this.gutter === 0) {
      const text = `${lane.name}, ${lane.note}`;
      labels.push(createSvg("text", { class: "sublabel", x: 1, y: top + 12 }, text));
      return;
    }
    const hasRoom = lane.height >= 40;
    const y = top + (hasRoom ? lane.height / 2 - 2 : lane.height / 2 + 4);
    const name = createSvg("text", { class: "label", x: 0, y }, lane.name);
    labels.push(name);
    const width = lane.name.length * 7.6 + 8;
    const noteAt = hasRoom ? { x: 0, y: y + 15 } : { x: width, y };
    if (hasRoom || width + lane.note.length * 6 < GUTTER) {
      labels.push(createSvg("text", { class: "sublabel", ...noteAt }, lane.note));
    } else {
      name.append(createSvg("title", {}, lane.note));
    }
  }

  patterns() {
    const definitions = createSvg("defs");
    for (const [id, line] of [["hatch", "hatch-line"], ["hatch-plain", "hatch-plain"]]) {
      const pattern = createSvg("pattern", {
        id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
      });
      pattern.append(createSvg("line", { class: line, x1: 0, y1: 0, x2: 0, y2: 5 }));
      definitions.append(pattern);
    }
    const clip = createSvg("clipPath", { id: "visible" });
    clip.append(createSvg("rect", {
      x: this.gutter, y: 0, width: this.width - this.gutter, height: 2000,
    }));
    definitions.append(clip);
    return definitions;
  }

  axis(height) {
    const step = TICKS_MS.find((ms) => ms * this.pixelsPerMs >= TICK_WIDTH) || TICKS_MS.at(-1);
    const parts = [];
    for (let ms = Math.ceil(this.start / step) * step; ms <= this.end; ms += step) {
      const x = this.x(ms);
      parts.push(createSvg("line", { class: "grid", x1: x, x2: x, y1: 18, y2: height }));
      const isLast = x > this.width - 40;
      const anchor = isLast ? "end" : x < this.gutter + 20 ? "start" : "middle";
      parts.push(createSvg("text", { class: "tick", x, y: 13, "text-anchor": anchor }, this.tick(ms, step)));
    }
    return parts;
  }

  tick(ms, step) {
    const minutes = Math.floor(ms / 60000);
    const seconds = (ms % 60000) / 1000;
    const digits = step < 100 ? 2 : step < 1000 ? 1 : 0;
    if (minutes === 0) return `${seconds.toFixed(digits)} s`;
    return `${minutes}:${seconds.toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
  }

  /** Add a span; one that lies within a pixel of the last one in this lane is left out. */
  span(group, start, end, attributes, minWidth = 1.5) {
    if (end < this.start || start > this.end) return null;
    const left = this.x(start);
    const right = Math.max(this.x(end), left + minWidth);
    if (right <= (group.lastRight ?? -1) + 0.5) return null;
    group.lastRight = right;
    const rect = createSvg("rect", { x: left.toFixed(2), width: (right - left).toFixed(2), ...attributes });
    group.append(rect);
    return rect;
  }

  title(element, text) {
    if (element !== null) element.append(createSvg("title", {}, text));
  }

  /** Text right of a time, where there is room up to another time. */
  note(group, ms, untilMs, y, text, name) {
    const width = text.length * CHARACTER_WIDTH;
    const x = Math.max(this.gutter, this.x(ms)) + 5;
    if (this.x(ms) > this.width || this.x(untilMs) < x + width) return;
    group.append(createSvg("text", { class: name, x, y }, text));
  }

  drawCaller(group, top, height) {
    const middle = top + height / 2;
    for (const [start, end] of call.speech) {
      const rect = this.span(group, start, end, { class: "speech", y: top + 3, height: height - 6, rx: 3, "data-start": start, "data-end": end });
      this.title(rect, `The caller speaks, ${formatDuration(end - start)}`);
    }
    group.lastRight = undefined;
    for (const [start, end] of call.frames) {
      if (end < this.start || start > this.end) continue;
      const x1 = Math.max(this.gutter, this.x(start));
      group.append(createSvg("line", { class: "baseline", x1, x2: this.x(end), y1: middle, y2: middle }));
    }
    if (callerLevels !== null) {
      this.wave(group, callerLevels, middle, height / 2 - 5, "caller-wave");
      return;
    }
    for (const [start, end] of call.speech) this.span(group, start, end, { class: "caller-block", y: middle - 7, height: 14, rx: 3 });
  }

  /** The loudness as an area about a line, for each pixel or frame. */
  wave(group, levels, middle, reach, name) {
    const framePixels = FRAME_MS * this.pixelsPerMs;
    const stepFrames = Math.max(1, Math.ceil(1 / framePixels));
    const first = Math.max(0, Math.floor(this.start / FRAME_MS / stepFrames) * stepFrames);
    const last = Math.min(levels.length, Math.ceil(this.end / FRAME_MS) + 1);
    let path = "";
    for (let frame = first; frame < last; frame += stepFrames) {
      let level = 0;
      const end = Math.min(last, frame + stepFrames);
      for (let index = frame; index < end; index += 1) if (levels[index] > level) level = levels[index];
      if (level < 2) continue;
      const half = Math.max(0.6, (reach * level) / MAX_LEVEL);
      const left = this.x(frame * FRAME_MS);
      const width = Math.max(1, stepFrames * framePixels - (framePixels > 3 ? 0.5 : 0));
      path += `M${left.toFixed(1)} ${(middle - half).toFixed(1)}h${width.toFixed(1)}v${(2 * half).toFixed(1)}h${(-width).toFixed(1)}z`;
    }
    group.append(createSvg("path", { class: name, d: path }));
  }

  drawWaits(group, top, height) {
    const stages = ["noticed", "requested", "generated", "played"];
    call.turns.forEach(([start, ...durations], index) => {
      let at = start;
      const total = durations.reduce((sum, ms) => sum + (ms ?? 0), 0);
      if (at + total < this.start || at > this.end || durations.includes(null)) return;
      stages.forEach((stage, number) => {
        const end = at + durations[number];
        if (durations[number] > 0) {
          const left = this.x(at);
          const rect = createSvg("rect", {
            class: stage, x: left, y: top + 7, width: Math.max(0.5, this.x(end) - left), height: height - 14,
          });
          this.title(rect, `${stage}: ${formatMs(durations[number])}`);
          group.append(rect);
        }
        at = end;
      });
      const next = call.turns[index + 1]?.[0] ?? this.timeAt(this.width);
      this.note(group, at, next, top + height / 2 + 4, formatDuration(total), "wait-text");
    });
  }

  drawHeard(group, top, height) {
    const middle = top + height / 2;
    for (const [start, end, source, , ms] of call.heard) {
      const rect = this.span(group, start, end, { class: "heard", y: top + 3, height: height - 6, rx: 3, "data-start": start, "data-end": end });
      this.title(rect, `${call.sources[source]}: ${formatMs(ms)} heard`);
    }
    group.lastRight = undefined;
    if (agentLevels !== null) {
      this.wave(group, agentLevels, middle, height / 2 - 5, "agent-wave");
      return;
    }
    for (const [start, end] of call.heard) {
      this.span(group, start, end, { class: "agent-block", y: middle - 7, height: 14, rx: 3 });
    }
  }

  drawCut(group, top, height) {
    for (const [start, end, source, , ms] of call.cut) {
      const rect = this.span(group, start, end, { class: "cut", y: top + 4, height: height - 8, rx: 2, "data-start": start, "data-end": end });
      this.title(rect, `${call.sources[source]}: ${formatMs(ms)} would have been heard here. ${cutCause(start)}`);
      if (rect !== null) this.note(group, start, Math.min(end, this.end), top + height / 2 + 4, `${formatDuration(ms)}, ${cutCause(start)}`, "cut-text");
    }
  }

  drawQueue(group, top, height) {
    const deepest = call.queued.reduce((most, [, depth]) => Math.max(most, depth), 0);
    if (deepest === 0) return;
    const bottom = top + height - 1;
    const y = (depth) => bottom - ((height - 6) * depth) / Math.max(1000, deepest);
    const first = Math.max(0, indexAfter(call.queued, this.start) - 1);
    let path = "";
    let lastX = -10;
    for (let index = first; index < call.queued.length; index += 1) {
      const [at, depth] = call.queued[index];
      const x = Math.max(this.gutter - 2, this.x(at));
      const before = index > 0 ? Math.max(0, call.queued[index - 1][1] - (at - call.queued[index - 1][0])) : 0;
      // Within a pixel only the deepest counts.
      if (x - lastX >= 0.7 || depth > 0.98 * deepest) {
        const emptyAt = index > 0 ? call.queued[index - 1][0] + call.queued[index - 1][1] : at;
        if (before === 0 && emptyAt < at && path !== "") path += `L${this.x(emptyAt).toFixed(1)} ${bottom}`;
        path += `${path === "" ? `M${x.toFixed(1)} ${bottom}` : ""}L${x.toFixed(1)} ${y(before).toFixed(1)}L${x.toFixed(1)} ${y(depth).toFixed(1)}`;
        lastX = x;
      }
      if (at > this.end) break;
    }
    if (path === "") return;
    const shown = call.queued[Math.max(0, indexAfter(call.queued, this.end) - 1)];
    const emptyX = this.x(shown[0] + shown[1]);
    path += `L${Math.max(lastX, emptyX).toFixed(1)} ${bottom}z`;
    group.append(createSvg("path", { class: "queue", d: path }));
    const text = `deepest ${formatDuration(deepest)}`;
    const isLate = this.x(call.queued.find(([, depth]) => depth === deepest)[0]) > this.width - 140;
    const place = isLate ? { x: this.gutter + 4 } : { x: this.width - 4, "text-anchor": "end" };
    group.append(createSvg("text", { class: "tick", y: top + 12, ...place }, text));
  }

  drawRuns(group, spans, top, height, name, what) {
    spans.forEach(([start, end, source, , ms], index) => {
      const rect = this.span(group, start, end, { class: name, y: top + 6, height: height - 12, rx: 1.5, "data-start": start, "data-end": end }, 3);
      const text = `${formatDuration(ms)} in ${formatDuration(end - start)}`;
      this.title(rect, `${call.sources[source]}: ${text}`);
      const next = spans[index + 1]?.[0] ?? this.timeAt(this.width);
      if (rect !== null) this.note(group, end, next, top + height / 2 + 4, text, "sublabel");
    });
  }

  drawSent(group, top, height) {
    this.drawRuns(group, call.sent, top, height, "sent");
  }

  drawGenerated(group, top, height) {
    this.drawRuns(group, call.generated, top, height, "generated");
  }

  /** A line from when a mark was sent to when its echo came: the longer, the more was queued. */
  drawMarks(group, top, height) {
    const upper = top + 6;
    const lower = top + height - 6;
    let lastX = -10;
    for (const [sent, echoed, isCleared, name] of call.marks) {
      const end = echoed ?? sent;
      if (end < this.start || sent > this.end) continue;
      const x1 = this.x(sent);
      if (x1 - lastX < 2.5) continue;
      lastX = x1;
      const kind = echoed === null ? " lost" : isCleared ? " cleared" : "";
      const mark = createSvg("g", { "data-mark": name });
      if (echoed !== null) {
        mark.append(createSvg("line", { class: `mark${kind}`, x1, y1: upper, x2: this.x(end), y2: lower }));
        mark.append(createSvg("circle", { class: `mark-end${kind}`, cx: this.x(end), cy: lower, r: 2.2 }));
      }
      mark.append(createSvg("circle", { class: `mark-end${kind}`, cx: x1, cy: upper, r: 2.2 }));
      const fate = echoed === null ? "no echo" : `${isCleared ? "cleared, " : ""}echo after ${formatMs(end - sent)}`;
      this.title(mark, `mark ${name}: ${fate}`);
      group.append(mark);
    }
  }

  drawEvents(group, top, height) {
    const events = call.events.filter(([, kind]) => kind !== "decision");
    const clears = events.filter(([at, kind]) => kind === "clear" && at >= this.start && at <= this.end);
    for (const [at] of clears) {
      const x = this.x(at);
      group.append(createSvg("line", { class: "chip-stem clear", x1: x, x2: x, y1: AXIS_HEIGHT, y2: top + 4 }));
    }
    this.chips(group, events, top, CHIP_ROWS, height);
  }

  drawDecisions(group, top, height) {
    this.chips(group, call.decisions, top, 1, height);
  }

  /** Names of events in rows, each at its time; a dot where there is no room for the name. */
  chips(group, events, top, rows, height) {
    const taken = Array.from({ length: rows }, () => []);
    let lastDot = -10;
    for (const [at, kind, text, why] of refusedFirst(events)) {
      if (at < this.start || at > this.end) continue;
      const x = this.x(at);
      const label = ["key", "decision", "refused"].includes(kind) ? text : CHIP_LABELS[kind] ?? kind;
      const width = label.length * CHARACTER_WIDTH + 8;
      const left = x + width > this.width ? Math.max(this.gutter, x - width) : x;
      const row = taken.findIndex((spans) => spans.every(([from, to]) => to <= left || from > left + width));
      const chip = createSvg("g", chipAttributes(at, kind, label, row >= 0));
      if (row < 0) {
        if (Math.abs(x - lastDot) < 3) continue;
        lastDot = x;
        chip.append(createSvg("circle", { class: `chip ${kind}`, cx: x, cy: top + height - 4, r: 2.5 }));
      } else {
        taken[row].push([left, left + width + 3]);
        const y = top + 3 + row * (CHIP_HEIGHT + 3);
        chip.append(createSvg("rect", { class: `chip ${kind}`, x: left, y, width, height: CHIP_HEIGHT, rx: 3 }));
        chip.append(createSvg("text", { class: `chip-text ${kind}`, x: left + 4, y: y + 12 }, label));
      }
      this.title(chip, chipTitle(at, kind, text, why));
      group.append(chip);
    }
  }

  drawFunctions(group, top, height) {
    for (const [name, start, answered] of call.functions) {
      const end = answered ?? call.duration;
      const rect = this.span(group, start, end, { class: "function", y: top + 4, height: height - 8, rx: 3 }, 3);
      const took = answered === null ? "no output" : formatDuration(end - start);
      this.title(rect, `${name}: ${took}`);
      if (rect === null) continue;
      const text = `${name}, ${took}`;
      const isInside = (end - start) * this.pixelsPerMs > text.length * CHARACTER_WIDTH + 8;
      this.note(group, isInside ? start : end, isInside ? end : this.end, top + height / 2 + 4, text, "chip-text");
    }
  }

  drawSessions(group, top, height) {
    for (const [number, opened, , configured, closed] of call.sessions) {
      group.lastRight = undefined;
      const end = closed ?? call.duration;
      const ready = Math.min(configured ?? end, end);
      const shape = { y: top + 5, height: height - 10, rx: 2 };
      const opening = this.span(group, opened, ready, { class: "session opening", ...shape });
      this.title(opening, `session ${number}: opened and configured in ${formatMs(ready - opened)}`);
      const rect = configured === null ? null : this.span(group, ready, end, { class: "session", ...shape });
      this.title(rect, `session ${number}: ready for ${formatDuration(end - ready)}`);
      this.note(group, ready, end, top + height / 2 + 4, `session ${number}`, "chip-text");
    }
  }

  drawOverview() {
    const width = this.width;
    const x = (ms) => (ms / call.duration) * width;
    const parts = [createSvg("rect", { class: "overview-back", width, height: 34, rx: 4 })];
    const bars = (spans, name, y, height) => {
      let last = -1;
      for (const [start, end] of spans) {
        const right = Math.max(x(end), x(start) + 1.5);
        if (right <= last + 0.5) continue;
        last = right;
        parts.push(createSvg("rect", { class: name, x: x(start), y, width: right - x(start), height }));
      }
    };
    bars(call.speech, "overview-caller", 7, 8);
    bars(call.heard, "overview-agent", 19, 8);
    const bad = call.events.filter(([, kind]) => kind === "clear" || kind === "fault");
    bars(bad.map(([at]) => [at, at]), "overview-bad", 3, 28);
    const isWhole = this.end - this.start >= call.duration;
    if (!isWhole) {
      parts.push(createSvg("rect", {
        class: "window", x: x(this.start) + 0.5, y: 0.5, width: Math.max(4, x(this.end) - x(this.start)) - 1, height: 33, rx: 4,
      }));
    }
    this.overviewCursor = createSvg("line", { class: "overview-cursor", y1: 0, y2: 34 });
    this.overviewSvg.setAttribute("viewBox", `0 0 ${width} 34`);
    this.overviewSvg.replaceChildren(...parts, this.overviewCursor);
  }
}
