"use strict";

// The lane of another configuration: the steps in which the bridge would have done something else,
// and from when on the recording cannot tell what would have been answered.

const UNKNOWN_TEXT = "hypothetical: answers are not known";

Lanes.prototype.drawWhatIf = function drawWhatIf(group, top, height) {
  const unknown = call.whatIf.find(([, kind]) => kind === "unknown");
  if (unknown !== undefined) {
    const [start, , cause] = unknown;
    const shape = { class: "unknown", y: top + 3, height: height - 6, rx: 3, "data-start": start, "data-end": call.duration };
    this.title(this.span(group, start, call.duration, shape), `${UNKNOWN_TEXT}, since ${cause}`);
    this.note(group, start, this.end, top + height - 8, UNKNOWN_TEXT, "unknown-text");
  }
  this.chips(group, call.whatIf.filter(([, kind]) => kind !== "unknown"), top, 1, height);
};
