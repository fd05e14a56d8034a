// The elements of the page, and what they show.

import { drawLanes, lanesHeight } from "./lanes.js";

const TEXT_PERIOD_MS = 100; // lanes move with every picture, words and figures need not
const SPEAKERS = { caller: "You", agent: "Agent" };

const element = (id) => document.getElementById(id);

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function formatTime(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}

function formatSamples(samples) {
  return `${(samples / 8000).toFixed(1)} s`;
}

/** Show items in a list: those that are there already are filled again, new ones are added. */
function fillList(list, items, fill) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
  while (list.children.length > items.length) list.lastChild.remove();
  items.forEach((item, index) => {
    if (index === list.children.length) list.append(make("li"));
    fill(list.children[index], item);
  });
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function fillWords(node, entry) {
  const shown = JSON.stringify(entry);
  if (node.dataset.shown === shown) return;
  node.dataset.shown = shown;
  const { who, text, heard, unheard, latencyMs } = entry;
  const after = latencyMs === undefined ? "" : `, after ${latencyMs} ms`;
  node.className = who;
  node.replaceChildren(make("span", "who", `${SPEAKERS[who]}${after}`));
  if (heard || unheard) {
    node.append(heard, make("s", "", unheard));
    if (unheard) node.append(make("span", "visually-hidden", " (not heard)"));
  } else if (text) node.append(text);
  else node.append(make("span", "empty", "spoke"));
}

class View {
  constructor() {
    this.problems = new Map();
    this.isDrawing = false;
    this.lanes = element("lanes");
    this.lanes.style.height = `${lanesHeight(5)}px`;
    this.textsShownMs = -Infinity;
    this.articles = new Map(); // of the calls in progress, by number
  }

  bind(phone, keys) {
    this.phone = phone;
    element("call").onclick = () => phone.toggleCall();
    element("mute").onclick = () => phone.toggleMute();
    element("voice").onchange = () => this.handleVoice();
    element("say").onclick = () => phone.say();
    element("file").onchange = ({ target }) => target.files[0] && phone.chooseFile(target.files[0]);
    element("lose-marks").onclick = () =>
      phone.impair({ losesMarks: !phone.impairments.losesMarks });
    element("stop-model").onclick = () => phone.stopModel();
    element("reset-line").onclick = () => this.resetLine();
    for (const [id, name] of [["delay", "delayMs"], ["jitter", "jitterMs"]]) {
      element(id).oninput = ({ target }) => phone.impair({ [name]: Number(target.value) });
    }
    for (const key of keys) {
      const button = make("button", "", key);
      button.type = "button";
      button.dataset.key = key;
      button.onclick = () => phone.pressKey(key);
      element("keypad").append(button);
    }
    document.addEventListener("keydown", (event) => {
      const isTyping = event.target.closest("input:not([type=checkbox], [type=range]), select");
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      if (keys.includes(event.key)) phone.pressKey(event.key);
    });
    window.addEventListener("pagehide", () => phone.line?.hangUp());
    element("window").onchange = () => this.update(phone);
    window.addEventListener("resize", () => this.update(phone));
    document.addEventListener("visibilitychange", () => this.update(phone));
    this.update(phone);
  }

  handleVoice() {
    element("file").hidden = this.voice !== "file";
    this.phone.changeVoice();
  }

  resetLine() {
    element("delay").value = element("jitter").value = "0";
    this.phone.impair({ delayMs: 0, jitterMs: 0, losesMarks: false });
  }

  // What the user has set.

  get voice() {
    return element("voice").value;
  }

  get callDetails() {
    return {
      from: element("from").value,
      to: element("to").value,
      record: element("record").checked,
    };
  }

  // What the user is told.

  /** Show a problem of one kind, or none of it any more (`null`). */
  showProblem(kind, text) {
    if (text === null) this.problems.delete(kind);
    else this.problems.set(kind, text);
    const texts = [...new Set(this.problems.values())];
    element("problem").hidden = texts.length === 0;
    setText(element("problem"), texts.join(" "));
  }

  showStatus(text) {
    setText(element("status"), text);
  }

  showServer(text, isOn) {
    setText(element("server"), text);
    element("server").classList.toggle("on", isOn);
  }

  showDropped(count) {
    element("live-dropped").hidden = false;
    setText(element("live-dropped"), `${count} events were left out, since this page was too slow.`);
  }

  showRecording(path) {
    element("recording").hidden = !path;
    if (path) setText(element("recording"), `Recorded to ${path}`);
  }

  showLevel(level) {
    element("level").value = Math.max(0, 1 + Math.log10(level + 1e-6) / 3);
  }

  flashKey(key) {
    const button = element("keypad").querySelector(`[data-key="${key}"]`);
    button.classList.add("pressed");
    setTimeout(() => button.classList.remove("pressed"), 150);
  }

  /** Show the state of the phone, from the next picture on until nothing moves any more. */
  update(phone) {
    this.showState(phone);
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => this.draw(phone));
  }

  draw(phone) {
    this.isDrawing = false;
    this.showLanes(phone);
    const nowMs = performance.now();
    const isMoving = phone.line !== null || phone.live?.calls.size > 0;
    if (!isMoving || nowMs - this.textsShownMs > TEXT_PERIOD_MS) {
      this.textsShownMs = nowMs;
      if (phone.call !== null) this.showTexts(phone);
      this.showLive(phone);
    }
    if (isMoving) this.update(phone);
  }

  showState(phone) {
    const isInCall = phone.line !== null;
    const call = element("call");
    setText(call, isInCall ? "Hang up" : "Call");
    call.classList.toggle("hang-up", isInCall);
    call.disabled = !isInCall && !phone.canCall;
    element("mute").disabled = !isInCall;
    element("mute").setAttribute("aria-pressed", String(phone.audio.isMuted));
    setText(element("mute"), phone.audio.isMuted ? "Muted" : "Mute");
    for (const button of element("keypad").children) button.disabled = !isInCall;
    for (const id of ["from", "to", "record"]) element(id).disabled = isInCall;
    element("say").hidden = !isInCall || !["sample", "file"].includes(this.voice);
    const { delayMs, jitterMs, losesMarks } = phone.impairments;
    setText(element("delay-value"), `${delayMs} ms`);
    setText(element("jitter-value"), `${jitterMs} ms`);
    element("lose-marks").setAttribute("aria-pressed", String(losesMarks));
    setText(element("lose-marks"), losesMarks ? "Marks are lost" : "Lose marks");
    element("stop-model").disabled = !isInCall;
  }

  showLanes({ call, story }) {
    if (call === null) {
      const empty = { fromMs: 0, toMs: 30_000, startMs: 0, nowMs: 0 };
      drawLanes(this.lanes, [{}, {}, {}, {}, {}], empty);
      return;
    }
    const nowMs = call.endedMs ?? performance.now();
    const windowMs = Number(element("window").value) * 1000;
    const { startedMs: startMs } = call;
    const fromMs = windowMs ? Math.max(startMs, nowMs - windowMs) : startMs;
    const toMs = Math.max(nowMs, fromMs + (windowMs || 1000));
    // Of an interruption, the `clear` is shown, at the sample.
    const events = (story?.points ?? []).filter(({ glyph }) => glyph !== "×");
    const spans = story?.spans ?? { caller: [], model: [], heard: [] };
    drawLanes(
      this.lanes,
      [
        { color: "caller", levels: call.caller, spans: spans.caller },
        { color: "model", spans: spans.model },
        { color: "queue", depth: call.queued },
        { color: "heard", levels: call.agent, spans: spans.heard },
        { color: "point", points: [...call.points, ...events] },
      ],
      { fromMs, toMs, startMs, nowMs },
    );
  }

  showTexts({ call, story, audio }) {
    const { startedMs: startMs, endedMs } = call;
    const { played, queued, marks, lostMarks, clears } = call.figures;
    const latencyMs = story?.latenciesMs.at(-1);
    setText(element("clock"), formatTime((endedMs ?? performance.now()) - startMs));
    setText(element("heard"), formatSamples(played));
    setText(element("queued"), formatSamples(endedMs === null ? queued : 0));
    setText(element("marks"), lostMarks ? `${marks}, ${lostMarks} lost` : String(marks));
    setText(element("clears"), String(clears));
    setText(element("latency"), latencyMs === undefined ? "–" : `${latencyMs} ms`);
    setText(element("device"), audio.deviceRate ? `${audio.deviceRate} Hz` : "–");
    fillList(element("transcript"), story?.words ?? [], fillWords);
    const log = [...call.notes, ...(story?.log ?? [])].sort((a, b) => a.atMs - b.atMs);
    fillList(element("log"), log, (node, { atMs, text }) => {
      const time = `${((atMs - startMs) / 1000).toFixed(1)} s`;
      if (node.textContent === time + text) return;
      node.replaceChildren(make("time", "", time), make("span", "", text));
    });
  }

  showLive(phone) {
    const stories = [...(phone.live?.calls.values() ?? [])].sort((a, b) => b.number - a.number);
    const inProgress = stories.filter((story) => story.endedMs === null).length;
    setText(element("live-count"), String(inProgress));
    element("live-empty").hidden = stories.length > 0;
    for (const [number, { article }] of this.articles) {
      if (stories.every((story) => story.number !== number)) {
        article.remove();
        this.articles.delete(number);
      }
    }
    for (const story of stories) this.showLiveCall(story, story.callSid === phone.call?.callSid);
  }

  showLiveCall(story, isHere) {
    let shown = this.articles.get(story.number);
    if (!shown) {
      shown = this.makeArticle(story);
      this.articles.set(story.number, shown);
    }
    const nowMs = story.endedMs ?? performance.now();
    const duration = formatTime(nowMs - story.startedMs);
    const state = story.endedMs === null ? duration : `ended: ${story.endReason}`;
    setText(shown.title, `Call ${story.number}${isHere ? ", on this page" : ""} · ${state}`);
    const startMs = story.startedMs;
    const fromMs = Math.max(startMs, nowMs - 30_000);
    const points = story.points.map((point) => ({ ...point, color: "point" }));
    drawLanes(
      shown.canvas,
      [
        { color: "caller", spans: story.spans.caller },
        { color: "model", spans: story.spans.model },
        { color: "heard", spans: story.spans.heard, points },
      ],
      { fromMs, toMs: fromMs + 30_000, startMs, nowMs },
    );
    const last = story.words.findLast((entry) => entry.text);
    const said = last && !isHere ? `${last.who === "caller" ? "Caller" : "Agent"}: ${last.text}` : "";
    setText(shown.words, said || (story.log.at(-1)?.text ?? ""));
  }

  makeArticle(story) {
    const article = make("article");
    const title = make("h3");
    const lanes = make("div", "lanes");
    const names = make("ol", "lane-names");
    for (const name of ["Caller", "Model", "Heard"]) names.append(make("li", "", name));
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Lanes of call ${story.number}`);
    canvas.style.height = `${lanesHeight(3)}px`;
    lanes.append(names, canvas);
    const words = make("p");
    article.append(title, lanes, words);
    element("live-calls").prepend(article);
    return { article, title, canvas, words };
  }
}

export const view = new View();
