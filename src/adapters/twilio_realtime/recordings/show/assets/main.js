"use strict";

// What joins lanes, player, transcript and moment: one cursor, moved by all of them.

const MOMENT_REFRESH_MS = 250;
const SECOND_MS = 1000;

const lanesElement = document.getElementById("lanes");
const playButton = document.getElementById("play");
const clock = document.getElementById("clock");
const entries = [...document.querySelectorAll(".transcript li")];

const lanes = new Lanes(lanesElement, document.getElementById("overview"), (ms) => seek(ms));
const moment = new Moment(document.getElementById("moment"));
const player = new Player(
  (ms) => {
    moveCursor(ms);
    lanes.reveal(ms, true);
    showMomentSoon(ms);
  },
  () => showPlaying(false),
);

let shownAt = -Infinity;
let current = null;

lanesElement.setAttribute("aria-valuemax", Math.round(call.duration));

function moveCursor(ms) {
  lanes.setCursor(ms);
  clock.textContent = formatTime(ms);
  lanesElement.setAttribute("aria-valuenow", Math.round(ms));
  lanesElement.setAttribute("aria-valuetext", formatTime(ms));
  const now = entries.findLast(
    (entry) => Number(entry.dataset.at) <= ms + 1 && ms <= Number(entry.dataset.end) + 1,
  );
  if (now === current) return;
  current?.classList.remove("now");
  current?.removeAttribute("aria-current");
  current = now ?? null;
  if (current === null) return;
  current.classList.add("now");
  current.setAttribute("aria-current", "true");
  const list = current.parentElement;
  const top = current.offsetTop - list.offsetTop;
  const isVisible = top >= list.scrollTop && top + current.offsetHeight <= list.scrollTop + list.clientHeight;
  if (!isVisible) list.scrollTop = top - list.clientHeight / 3;
}

/** While it plays, the moment is shown a few times a second: nobody reads faster. */
function showMomentSoon(ms) {
  const now = performance.now();
  if (now - shownAt < MOMENT_REFRESH_MS) return;
  shownAt = now;
  moment.show(ms);
}

function seek(ms) {
  const at = Math.min(call.duration, Math.max(0, ms));
  const wasPlaying = player.isPlaying;
  player.pause();
  moveCursor(at);
  lanes.reveal(at);
  moment.show(at);
  if (wasPlaying) player.play(at);
}

function showPlaying(isPlaying) {
  playButton.setAttribute("aria-pressed", String(isPlaying));
  document.getElementById("play-label").textContent = isPlaying ? "Pause" : "Play";
}

function togglePlay() {
  if (!player.canPlay) return;
  if (player.isPlaying) {
    player.pause();
    moment.show(lanes.cursorMs);
    showPlaying(false);
    return;
  }
  if (lanes.cursorMs >= call.duration - 1) moveCursor(0);
  showPlaying(true);
  player.play(lanes.cursorMs);
}

function toggleVoice(name) {
  const box = document.getElementById(`hear-${name}`);
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change"));
}

function seekEvent(step) {
  const times = [...new Set(call.events.map(([at]) => at))];
  const found = step > 0 ? times.find((at) => at > lanes.cursorMs + 0.5) : times.findLast((at) => at < lanes.cursorMs - 0.5);
  if (found !== undefined) seek(found);
}

// Buttons

document.getElementById("previous").addEventListener("click", () => seekEvent(-1));
document.getElementById("next").addEventListener("click", () => seekEvent(1));
document.getElementById("zoom-in").addEventListener("click", () => lanes.zoom(2));
document.getElementById("zoom-out").addEventListener("click", () => lanes.zoom(0.5));
document.getElementById("zoom-fit").addEventListener("click", () => lanes.setView(0, call.duration));
playButton.addEventListener("click", togglePlay);
["caller", "agent"].forEach((name, index) => {
  const box = document.getElementById(`hear-${name}`);
  box.addEventListener("change", () => player.setMuted(index, !box.checked));
});
if (!player.canPlay) {
  playButton.disabled = true;
  document.getElementById("play-label").textContent = "No audio";
  document.getElementById("voices").hidden = true;
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.time");
  if (button !== null) seek(Number(button.dataset.at));
});

// Keys

const LANE_KEYS = {
  ArrowLeft: (event) => seek(lanes.cursorMs - (event.shiftKey ? FRAME_MS : SECOND_MS)),
  ArrowRight: (event) => seek(lanes.cursorMs + (event.shiftKey ? FRAME_MS : SECOND_MS)),
  PageUp: () => seekEvent(-1),
  PageDown: () => seekEvent(1),
  Home: () => seek(0),
  End: () => seek(call.duration),
};
const PAGE_KEYS = {
  " ": togglePlay,
  "+": () => lanes.zoom(2),
  "=": () => lanes.zoom(2),
  "-": () => lanes.zoom(0.5),
  0: () => lanes.setView(0, call.duration),
  c: () => toggleVoice("caller"),
  a: () => toggleVoice("agent"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isOnControl = event.target.closest("button, input, summary, a") !== null;
  const isInLanes = event.target === lanesElement || event.target === document.body || event.target.closest("[data-event]") !== null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = (isInLanes && LANE_KEYS[key]) || ((key !== " " || !isOnControl) && PAGE_KEYS[key]);
  if (!act) return;
  event.preventDefault();
  act(event);
});

moveCursor(0);
