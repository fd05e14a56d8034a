"use strict";

// The names of events in the lanes: their order, their titles, and how the keyboard reaches them.

/** Events in the order in which they get room: interruptions that were refused come first. */
function refusedFirst(events) {
  const isRefused = ([, kind]) => kind === "refused";
  return [...events.filter(isRefused), ...events.filter((event) => !isRefused(event))];
}

function chipTitle(at, kind, text, why) {
  const words = (why ?? []).map(([decision, reason]) => explain(decision, reason));
  const isNamed = kind === "decision" || kind === "refused";
  return [`${formatTime(at)} ${isNamed && words.length > 0 ? "" : text}`.trim(), ...words].join("\n");
}

/** A name is a button of a lane; a dot is one for pointers only. */
function chipAttributes(at, kind, label, isNamed) {
  const attributes = { "data-event": kind, "data-at": at };
  if (!isNamed) return attributes;
  return { ...attributes, role: "button", tabindex: -1, "aria-label": `${label}, ${formatTime(at)}` };
}

/** The names in a lane, in time. */
function namesIn(lane) {
  const at = (chip) => Number(chip.dataset.at);
  return [...lane.querySelectorAll("[data-event][tabindex]")].sort((one, other) => at(one) - at(other));
}

/** Drawing replaces the chips: the one that has the focus gets it again, and the Tab key reaches
    the first of each lane. */
function keepFocus(root, draw) {
  const focused = document.activeElement?.closest("[data-event]") ?? null;
  const name = focused?.closest("[data-lane]").dataset.lane;
  draw();
  for (const lane of root.querySelectorAll("[data-lane]")) {
    const chips = namesIn(lane);
    chips[0]?.setAttribute("tabindex", 0);
    if (lane.dataset.lane !== name) continue;
    const { event, at } = focused.dataset;
    chips.find((chip) => chip.dataset.event === event && chip.dataset.at === at)?.focus({ preventScroll: true });
  }
}

document.addEventListener("keydown", (event) => {
  const chip = event.target.closest("[data-event]");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (chip === null || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter") {
    seek(Number(chip.dataset.at));
  } else if (step !== undefined) {
    const chips = namesIn(chip.closest("[data-lane]"));
    chips[chips.indexOf(chip) + step]?.focus({ preventScroll: true });
  } else {
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
});
