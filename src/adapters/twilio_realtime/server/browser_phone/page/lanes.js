// Lanes over time, on a canvas. Colours come from the style sheet; each lane has its own shape too,
// and what it shows stands beside it in words.

const LANE_HEIGHT = 40;
const AXIS_HEIGHT = 18;
const TICKS_S = [1, 2, 5, 10, 30, 60, 300, 600];
const MIN_TICK_PX = 60;

/** Return the height of so many lanes and their axis, in CSS pixels. */
export function lanesHeight(count) {
  return count * LANE_HEIGHT + AXIS_HEIGHT;
}

/**
 * Draw lanes from `fromMs` to `toMs`. `startMs` is where the axis counts from; a span without an end
 * goes on at `nowMs`. A lane is
 * `{ color, spans, levels, depth, points }`: spans `{ fromMs, toMs }`; levels `[atMs, level]` of
 * sound, from 0 to 1; depth `[atMs, share]`; points `{ atMs, glyph }`.
 */
export function drawLanes(canvas, lanes, { fromMs, toMs, startMs, nowMs }) {
  const scale = window.devicePixelRatio;
  const width = canvas.clientWidth;
  const height = lanesHeight(lanes.length);
  if (width === 0) return;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(`--${name}`);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const x = (atMs) => ((atMs - fromMs) / (toMs - fromMs)) * width;
  drawAxis(context, { width, height, fromMs, toMs, startMs, x, color });
  lanes.forEach((lane, index) => {
    const top = index * LANE_HEIGHT;
    const visible = (series) => slice(series ?? [], fromMs, toMs, width);
    context.fillStyle = color("lane-line");
    context.fillRect(0, top + LANE_HEIGHT - 1, width, 1);
    for (const { fromMs: start, toMs: end } of lane.spans ?? []) {
      const left = Math.max(0, x(start));
      const right = Math.min(width, x(end ?? nowMs));
      if (right < 0 || left > width) continue;
      context.globalAlpha = 0.28;
      context.fillStyle = color(lane.color);
      context.fillRect(left, top + 6, Math.max(2, right - left), LANE_HEIGHT - 13);
      context.globalAlpha = 1;
      context.fillRect(left, top + LANE_HEIGHT - 8, Math.max(2, right - left), 3);
    }
    context.fillStyle = color(lane.color);
    const middle = top + LANE_HEIGHT / 2 - 1;
    const barWidth = Math.max(1, (20 / (toMs - fromMs)) * width);
    for (const [atMs, level] of visible(lane.levels)) {
      const size = Math.max(0, Math.min(1, 1 + Math.log10(level + 1e-6) / 3)) * (LANE_HEIGHT - 14);
      if (size > 0) context.fillRect(x(atMs) - barWidth, middle - size / 2, barWidth, size);
    }
    drawDepth(context, visible(lane.depth), top, x);
    context.font = "600 15px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const { atMs, glyph, color: name } of lane.points ?? []) {
      if (atMs < fromMs || atMs > toMs) continue;
      context.fillStyle = color(name ?? lane.color);
      if (glyph === "|") context.fillRect(x(atMs), top + 12, 1.5, LANE_HEIGHT - 24);
      else context.fillText(glyph, x(atMs), middle);
    }
  });
}

/** Return the entries `[atMs, value]` of a time span, in order, and no more than `maximum` of them. */
function slice(series, fromMs, toMs, maximum) {
  const entries = series.slice(indexOf(series, fromMs), indexOf(series, toMs));
  const step = Math.ceil(entries.length / maximum);
  return step < 2 ? entries : entries.filter((_, index) => index % step === 0);
}

function indexOf(series, atMs) {
  let low = 0;
  let high = series.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (series[middle][0] < atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function drawDepth(context, depth, top, x) {
  if (depth.length === 0) return;
  const bottom = top + LANE_HEIGHT - 5;
  context.beginPath();
  context.moveTo(x(depth[0][0]), bottom);
  for (const [atMs, share] of depth) {
    context.lineTo(x(atMs), bottom - Math.min(1, share) * (LANE_HEIGHT - 12));
  }
  context.lineTo(x(depth.at(-1)[0]), bottom);
  context.globalAlpha = 0.5;
  context.fill();
  context.globalAlpha = 1;
}

function drawAxis(context, { width, height, fromMs, toMs, startMs, x, color }) {
  const seconds = (toMs - fromMs) / 1000;
  const tickS = TICKS_S.find((each) => (each / seconds) * width >= MIN_TICK_PX) ?? TICKS_S.at(-1);
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "bottom";
  const firstTick = Math.max(0, Math.ceil((fromMs - startMs) / 1000 / tickS));
  for (let tick = firstTick; startMs + tick * tickS * 1000 <= toMs; tick += 1) {
    const at = x(startMs + tick * tickS * 1000);
    context.fillStyle = color("lane-line");
    context.fillRect(at, 0, 1, height);
    context.fillStyle = color("faint");
    context.fillText(formatSeconds(tick * tickS), at + 4, height);
  }
}

function formatSeconds(seconds) {
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
