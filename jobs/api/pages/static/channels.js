// Draws the channels of an incident from their numbers: values on hover, dragging zooms in, a double click zooms out.
// The picture that the server draws is shown instead if there are no channels, or they cannot be read.

const HEIGHT = 190;
const DAY = { day: "numeric", month: "short" };
const CLOCK = { hour: "2-digit", minute: "2-digit" };
const MIN_MARK_SPACE = 70; // pixels between marks of time: some clocks write 06:00 PM
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Returns columns of numbers with an empty row in each gap, so that no line crosses it.
function withGaps(times, columns, gap) {
  const rows = [[], ...columns.map(() => [])];
  times.forEach((time, position) => {
    if (gap && position && time - times[position - 1] > gap) {
      rows[0].push((time + times[position - 1]) / 2);
      for (const row of rows.slice(1)) row.push(null);
    }
    rows[0].push(time);
    columns.forEach((column, place) => rows[place + 1].push(column[position]));
  });
  return rows;
}

// Returns the stretches without records.
function gapsOf(view) {
  if (!view.gap) return [];
  return view.times.slice(1).map((time, place) => [view.times[place], time]).filter(([start, end]) => end - start > view.gap);
}

// Returns a pattern of slanted lines, or of dots.
function pattern(isDotted) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const ink = tile.getContext("2d");
  ink.strokeStyle = ink.fillStyle = colour("muted");
  ink.globalAlpha = isDotted ? 0.55 : 0.35;
  if (isDotted) {
    ink.fillRect(1, 1, 2, 2);
    ink.fillRect(5, 5, 2, 2);
  } else {
    for (const x of [-8, 0, 8]) { ink.moveTo(x, 8); ink.lineTo(x + 8, 0); }
    ink.stroke();
  }
  return ink.createPattern(tile, "repeat");
}

// Fills a span of time over a part of the height of a chart, from 0 at its top to 1.
function fillSpan(chart, [start, end], fill, [high, low] = [0, 1]) {
  const { left, top, width, height } = chart.bbox;
  const from = Math.max(chart.valToPos(start, "x", true), left);
  const to = Math.min(chart.valToPos(end, "x", true), left + width);
  chart.ctx.fillStyle = fill;
  if (to >= from) chart.ctx.fillRect(from, top + high * height, Math.max(to - from, 2), (low - high) * height);
}

// Shades incidents, maintenance windows and stretches without records behind the lines of a chart.
function shade(chart, view) {
  for (const span of view.incidents) fillSpan(chart, span, colour("shade"));
  for (const span of gapsOf(view)) fillSpan(chart, span, pattern(false));
  for (const item of view.annotations) if (item.kind === "maintenance") fillSpan(chart, [item.start, item.end], pattern(true));
}

// Marks labels by strips at the bottom of a chart, and other champions by lines, in front of its lines.
function mark(chart, view) {
  const strips = { label: [0.96, 1, "ink"], known: [0.91, 0.95, "known"] };
  const { left, top, width, height } = chart.bbox;
  for (const item of view.annotations) {
    const [high, low, name] = strips[item.kind] || [];
    if (name) fillSpan(chart, [item.start, item.end], colour(name), [high, low]);
    const place = chart.valToPos(item.start, "x", true);
    if (item.kind !== "model" || place < left || place > left + width) continue;
    chart.ctx.save();
    chart.ctx.strokeStyle = colour("ink");
    chart.ctx.lineWidth = 2;
    chart.ctx.setLineDash([2, 4]);
    chart.ctx.beginPath();
    chart.ctx.moveTo(place, top);
    chart.ctx.lineTo(place, top + height);
    chart.ctx.stroke();
    chart.ctx.restore();
  }
}

// Lists what else happened, in words, and hides the entries of the legend that no chart needs.
function explain(place, view) {
  const kinds = new Set(view.annotations.map((item) => item.kind));
  if (gapsOf(view).length) kinds.add("gap");
  for (const entry of place.querySelectorAll("[data-kind]")) entry.hidden = !kinds.has(entry.dataset.kind);
  const list = place.querySelector(".annotations");
  list.hidden = !view.annotations.length;
  for (const item of view.annotations) {
    const entry = document.createElement("li");
    const ends = item.end > item.start ? [item.start, item.end] : [item.start];
    entry.textContent = `${ends.map((seconds) => timeText(null, seconds)).join(" to ")}: ${item.text}`;
    list.append(entry);
  }
}

// Returns the texts of marks in time, the first one and midnights with their day.
function timeMarks(_, marks, __, ___, step) {
  return marks.map((seconds, position) => {
    const time = new Date(1000 * seconds);
    const day = time.toLocaleDateString(undefined, DAY);
    if (step >= 86400) return day;
    const isNewDay = !position || (!time.getHours() && !time.getMinutes());
    return time.toLocaleTimeString(undefined, CLOCK) + (isNewDay ? `\n${day}` : "");
  });
}

// Returns a time in the zone of the viewer and in UTC.
function timeText(_, seconds) {
  if (seconds === null) return "–";
  const time = new Date(1000 * seconds);
  const utc = time.toLocaleTimeString(undefined, { ...CLOCK, timeZone: "UTC" });
  return `${time.toLocaleString(undefined, { ...DAY, ...CLOCK })} (${utc} UTC)`;
}

// Draws a chart; flagged records are marked on the last of its lines.
function drawOne(place, view, title, series, columns, bands) {
  const axis = { stroke: colour("muted"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid") } };
  const text = (_, value) => (value === null ? "–" : Number(value.toPrecision(5)).toLocaleString());
  const flagged = { label: "flagged", stroke: colour("flagged"), width: 0, points: { show: true, size: 7, fill: colour("flagged") } };
  const options = {
    title,
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { sync: { key: "channels" }, drag: { x: true, y: false } },
    series: [{ label: "time", value: timeText }, ...[...series, flagged].map((item) => ({ value: text, ...item }))],
    bands,
    axes: [{ ...axis, values: timeMarks, space: MIN_MARK_SPACE }, { ...axis, size: 62 }],
    hooks: { drawClear: [(chart) => shade(chart, view)], draw: [(chart) => mark(chart, view)] },
  };
  const dots = columns.at(-1).map((value, position) => (view.flagged[position] ? value : null));
  return new uPlot(options, withGaps(view.times, [...columns, dots], view.gap), place);
}

function drawAll(place, view) {
  place.replaceChildren();
  const measured = { label: "measured", stroke: colour("link"), width: 1.5 };
  const expected = { label: "expected", stroke: colour("ink"), width: 1, dash: [4, 3] };
  const limit = (label) => ({ label, stroke: "transparent", points: { show: false } });
  const band = [{ series: [2, 1], fill: colour("band") }];
  const charts = view.channels.map((item) =>
    drawOne(place, view, item.unit ? `${item.name} (${item.unit})` : item.name,
      [limit("lowest normal"), limit("highest normal"), expected, measured],
      [item.low, item.high, item.expected, item.measured], band));
  const score = { label: "score", stroke: colour("link"), width: 1.5 };
  const threshold = { label: "threshold", stroke: colour("ink"), width: 1, dash: [6, 4] };
  charts.push(drawOne(place, view, "anomaly score", [threshold, score], [view.thresholds, view.scores], []));
  place.append(document.getElementById("channel-legend").content.cloneNode(true));
  explain(place, view);
  return charts;
}

async function show(place) {
  const answer = await fetch(place.dataset.channels).catch(() => null);
  const view = answer && answer.ok ? await answer.json() : null;
  if (!view || !view.channels.length) {
    place.innerHTML = place.querySelector("noscript").textContent;
    return;
  }
  let charts = drawAll(place, view);
  new ResizeObserver(() => charts.forEach((chart) => chart.setSize({ width: place.clientWidth, height: HEIGHT }))).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { charts = drawAll(place, view); });
}

const place = document.querySelector("[data-channels]");
if (place) show(place);
