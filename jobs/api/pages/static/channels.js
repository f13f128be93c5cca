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

// Shades the incidents behind the lines of a chart.
function shade(chart, incidents) {
  const { left, top, width, height } = chart.bbox;
  chart.ctx.fillStyle = colour("shade");
  for (const [start, end] of incidents) {
    const from = Math.max(chart.valToPos(start, "x", true), left);
    const to = Math.min(chart.valToPos(end, "x", true), left + width);
    if (to >= from) chart.ctx.fillRect(from, top, Math.max(to - from, 2), height);
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
    hooks: { drawClear: [(chart) => shade(chart, view.incidents)] },
  };
  const marks = columns.at(-1).map((value, position) => (view.flagged[position] ? value : null));
  return new uPlot(options, withGaps(view.times, [...columns, marks], view.gap), place);
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
