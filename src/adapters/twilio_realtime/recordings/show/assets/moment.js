"use strict";

// What the bridge knew and did at a moment, and the messages of both protocols around it.

const ROWS_BEFORE = 6;
const ROWS_AFTER = 8;
const MAX_BESIDE = 60;
const MAX_AT_ONCE = 60;
const LONGEST_RUN_MS = 1100;
const ESTIMATE_MAX_AGE_MS = 450;
const SAME_MOMENT_MS = 12;

const MIN_FOLDED = 3;
/** Messages that say little: long runs of them become one row. */
const ROUTINE = new Set([
  "mark", "media", "input_audio_buffer.append",
  "response.output_audio.delta", "response.output_audio_transcript.delta",
]);

const ARROWS = {
  "from Twilio": "→",
  "to Twilio": "←",
  "from the model": "⇠",
  "to the model": "⇢",
  "command of the application": "•",
  "notification of the application": "○",
  connection: "—",
};

function indent(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text; // it was shortened
  }
}

class Moment {
  constructor(root) {
    this.root = root;
  }

  show(ms) {
    const facts = createElement("dl");
    for (const [name, ...values] of this.facts(ms)) {
      facts.append(createElement("dt", {}, name));
      const value = createElement("dd");
      value.append(...values);
      facts.append(value);
    }
    const title = createElement("h3", {}, "Messages around it");
    const messages = this.messages(ms);
    this.root.replaceChildren(facts, title, messages);
    const chosen = messages.querySelector(".at:has(.why)") ?? messages.querySelector(".at:not(.running)");
    const row = chosen ?? messages.querySelector(".after")?.previousElementSibling;
    if (row) messages.scrollTop = row.offsetTop - (messages.clientHeight - row.offsetHeight) / 2;
  }

  facts(ms) {
    const rows = [["Time", formatTime(ms)]];
    const isSpeaking = call.speech.some(([start, end]) => start <= ms && ms < end);
    rows.push(["Caller", isSpeaking ? "speaks" : "is silent"]);
    rows.push(["Agent", this.describeAgent(ms)]);
    const queued = queuedAt(ms);
    if (queued > 0) rows.push(["At Twilio", `${formatDuration(queued)} of speech is queued`]);
    for (const [at, kind, text, why] of call.events) {
      if (Math.abs(at - ms) > SAME_MOMENT_MS) continue;
      const parts = kind === "decision" ? [] : [createElement("span", { dir: "auto" }, text)];
      for (const [decision, reason] of why) {
        if (parts.length > 0) parts.push(createElement("br"));
        parts.push(createElement("span", { class: "why" }, `${names(decision)}: ${names(reason)}`));
        const words = explain(decision, reason);
        if (words !== parts.at(-1).textContent) parts.push(createElement("small", {}, ` ${words}`));
      }
      const name = kind === "held" ? CHIP_LABELS.held : kind;
      rows.push([name[0].toUpperCase() + name.slice(1), ...parts]);
    }
    return rows;
  }

  /** What is heard, by the latest estimate of the bridge. */
  describeAgent(ms) {
    const estimate = call.estimates[indexAfter(call.estimates, ms + 1) - 1];
    const heard = call.heard.find(([start, end]) => start <= ms && ms <= end + SAME_MOMENT_MS);
    if (estimate !== undefined && ms - estimate[0] <= ESTIMATE_MAX_AGE_MS && heard !== undefined) {
      const [at, source, confirmed, estimated, sent, margin] = estimate;
      if (source === heard[2]) {
        const played = Math.min(sent, estimated + Math.max(0, ms - at));
        return (
          `${call.sources[source]}: ${formatMs(played)} of ${formatMs(sent)} heard, ` +
          `± ${formatMs(margin)}; marks confirm ${formatMs(confirmed)}`
        );
      }
    }
    if (heard === undefined) return "is silent";
    const [start, , source, offset] = heard;
    return `${call.sources[source]}: ${formatMs(offset + ms - start)} heard`;
  }

  messages(ms) {
    const list = createElement("ol", { class: "messages" });
    const now = indexAfter(call.messages, ms - SAME_MOMENT_MS);
    const then = indexAfter(call.messages, ms + SAME_MOMENT_MS);
    const earlier = call.messages.slice(Math.max(0, now - MAX_BESIDE), now);
    // Runs of audio that started earlier, and still go on, come first.
    const isRunning = (message) => message[0] >= ms - LONGEST_RUN_MS && Array.isArray(message[5]) && message[5][0] >= ms;
    const running = earlier.filter(isRunning).map((message) => [message]);
    const before = this.rows(earlier.filter((message) => !isRunning(message)), ms).slice(-ROWS_BEFORE);
    const last = Math.min(then, now + MAX_AT_ONCE);
    const at = this.rows(call.messages.slice(now, last), ms);
    const after = this.rows(call.messages.slice(last, last + MAX_BESIDE), ms).slice(0, ROWS_AFTER);
    after[0]?.classList.add("after");
    list.append(...running.map((group) => this.message(group, ms)), ...before, ...at, ...after);
    return list;
  }

  /** A row for each group of messages; routine ones that follow each other share one. */
  rows(messages, ms) {
    const runs = [];
    for (const group of this.groups(messages)) {
      const isRoutine = ROUTINE.has(group[0][2]) && group.every(([, , , , , , why]) => !why);
      if (isRoutine && runs.at(-1)?.isRoutine) runs.at(-1).groups.push(group);
      else runs.push({ isRoutine, groups: [group] });
    }
    return runs.flatMap(({ groups }) => {
      const rows = groups.map((group) => this.message(group, ms));
      return rows.length < MIN_FOLDED ? rows : [this.fold(groups, rows, ms)];
    });
  }

  fold(groups, rows, ms) {
    const counts = new Map();
    for (const group of groups) {
      const count = Array.isArray(group[0][5]) ? group[0][5][1] : group.length;
      counts.set(group[0][2], (counts.get(group[0][2]) ?? 0) + count);
    }
    const kinds = [...counts].map(([kind, count]) => `${kind} × ${count}`).join(", ");
    const summary = createElement("summary", { class: "line" });
    const what = createElement("span", { class: "what" }, kinds);
    summary.append(this.offset(groups[0][0][0] - ms), createElement("span", { class: "arrow" }, "▸"), what);
    const list = createElement("ol", { class: "folded" });
    list.append(...rows);
    const details = createElement("details");
    details.append(summary, list);
    const item = createElement("li");
    item.append(details);
    return item;
  }

  offset(ms) {
    const sign = ms < -0.5 ? "−" : "+";
    return createElement("span", { class: "offset" }, `${sign}${formatDuration(Math.abs(ms))}`);
  }

  /** Messages of one kind that follow each other at once are shown as one. */
  groups(messages) {
    const groups = [];
    for (const message of messages) {
      const last = groups.at(-1)?.at(-1);
      const isAlike = last !== undefined && last[1] === message[1] && last[2] === message[2];
      const isOne = isAlike && !Array.isArray(message[5]) && message[0] - last[0] <= SAME_MOMENT_MS;
      if (isOne) groups.at(-1).push(message);
      else groups.push([message]);
    }
    return groups;
  }

  message(group, ms) {
    const [at, direction, kind, session, , content, why] = group[0];
    const where = call.directions[direction];
    const item = createElement("li", { class: where.replaceAll(" ", "-") });
    const isRun = Array.isArray(content);
    const isNow = isRun ? at <= ms && ms <= content[0] : Math.abs(at - ms) <= SAME_MOMENT_MS;
    const hasDetails = !isRun && content !== "" && content !== "[]";
    const row = createElement(hasDetails ? "summary" : "div", { class: "line" });
    row.append(this.offset(at - ms));
    row.append(createElement("span", { class: "arrow", title: where }, ARROWS[where]));
    const several = group.length > 1 ? ` × ${group.length}` : "";
    const what = createElement("span", { class: "what" }, `${kind}${several}`);
    what.append(createElement("small", {}, this.describe(where, session, content, isRun)));
    for (const [decision, reason] of why || []) {
      const text = ` ${names(decision)}: ${names(reason)}`;
      what.append(createElement("small", { class: "why", title: explain(decision, reason) }, text));
    }
    row.append(what);
    if (isNow) row.classList.add("at");
    if (isRun && at < ms - SAME_MOMENT_MS) row.classList.add("running");
    if (!hasDetails) {
      item.append(row);
      return item;
    }
    const details = createElement("details");
    const texts = group.map((each) => `${indent(each[5])}\nline ${each[4]} of the recording`);
    details.append(row, createElement("pre", { dir: "ltr" }, texts.join("\n\n")));
    item.append(details);
    return item;
  }

  describe(where, session, content, isRun) {
    const session_ = session > 1 ? `, session ${session}` : "";
    if (!isRun) return `${where}${session_}`;
    const [, count, audioMs] = content;
    const several = count > 1 ? `${count} messages, ` : "";
    return `${where}${session_}: ${several}${formatDuration(audioMs)} of audio`;
  }
}
