"use strict";

// The lane of the answers: the time of each by its stages, and functions in it.

Lanes.prototype.drawAnswers = function drawAnswers(group, top, height) {
  this.drawWaits(group, top, height);
  for (const [start, end, names] of call.functionTimes) {
    const shape = { class: "function-time", y: top + 9, height: height - 18, "data-start": start, "data-end": end };
    this.title(this.span(group, start, end, shape), `the function ${names}: ${formatMs(end - start)}`);
  }
};
