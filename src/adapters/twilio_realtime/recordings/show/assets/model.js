"use strict";

// The data of the call, and how times and durations are written.

const call = JSON.parse(document.getElementById("data").textContent);

call.whatIf ??= [];
call.decisions = call.events.flatMap((event) => {
  const [at, kind, , why] = event;
  if (kind === "held") return [[at, "refused", "interruption refused", why]];
  return kind === "decision" ? [event] : [];
});

const FRAME_MS = 20;
const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const MAX_LEVEL = LEVELS.length - 1;

/** Times are written in minutes and seconds, to 10 ms. */
function formatTime(ms) {
  const hundredths = Math.round(ms / 10);
  const minutes = Math.floor(hundredths / 6000);
  const seconds = (hundredths % 6000) / 100;
  return `${minutes}:${seconds.toFixed(2).padStart(5, "0")}`;
}

function formatDuration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
}

function formatMs(ms) {
  return `${Math.round(ms).toLocaleString("en")} ms`;
}

/** The index of the first entry whose time is later than `ms`; entries are sorted by time. */
function indexAfter(entries, ms, timeOf = (entry) => entry[0]) {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(entries[middle]) <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Levels of a voice as numbers, one for each 20 ms; null without audio. */
function decodeLevels(text) {
  if (text === undefined) return null;
  const values = new Uint8Array(128);
  for (let index = 0; index < LEVELS.length; index += 1) values[LEVELS.charCodeAt(index)] = index;
  const levels = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) levels[index] = values[text.charCodeAt(index)];
  return levels;
}

const callerLevels = decodeLevels(call.callerLevels);
const agentLevels = decodeLevels(call.agentLevels);

/** How much audio is queued at Twilio at a time; between two known depths it drains in a line. */
function queuedAt(ms) {
  const next = indexAfter(call.queued, ms);
  if (next === 0) return 0;
  const [at, depth] = call.queued[next - 1];
  return Math.max(0, depth - (ms - at));
}

/** Why speech that would have been heard from a time on was cut. */
function cutCause(ms) {
  const isNear = ([at, kind]) => kind === "clear" && Math.abs(at - ms) <= 2 * FRAME_MS;
  return call.events.some(isNear) ? "cut by an interruption" : "cut since the call ended";
}

function names(words) {
  return words.replaceAll("_", " ");
}

/** A decision and its reason in words, or by their names if no words are known. */
function explain(decision, reason) {
  const known = call.reasons[decision];
  if (known?.[reason] === undefined) return `${names(decision)}: ${names(reason)}`;
  return `${known[""]} ${known[reason]}`;
}

function createElement(name, attributes = {}, text = undefined) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

function createSvg(name, attributes = {}, text = undefined) {
  const element = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
