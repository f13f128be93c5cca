// What pages do with JavaScript, each of them after it was loaded and after a part of it was renewed.

const TIME = { dateStyle: "medium", timeStyle: "short" };
const MIN_BRUSH = 8; // pixels: less is a click
const AXIS = { day: "numeric", month: "short" };
const AXIS_WITH_CLOCK = { ...AXIS, hour: "2-digit", minute: "2-digit" };

// Shows times in the zone of the viewer; the time in UTC appears on hover.
function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]:not([title])")) {
    element.title = element.textContent;
    element.textContent = new Date(element.dateTime).toLocaleString(undefined, TIME);
  }
  for (const mark of document.querySelectorAll("text[data-time]")) {
    const form = mark.dataset.day ? AXIS : AXIS_WITH_CLOCK;
    mark.textContent = new Date(mark.dataset.time).toLocaleString(undefined, form);
  }
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
}

// Reloads the page if the session has ended while a part of it was renewed.
function stopAtSignIn(event) {
  if (new URL(event.detail.xhr.responseURL).pathname !== "/page/login") return;
  event.detail.shouldSwap = false;
  location.reload();
}

// Zooms into the part of the lanes that is dragged over.
function startBrush(event) {
  const row = event.target.closest("svg.row");
  if (!row || event.button) return;
  const box = row.getBoundingClientRect();
  const share = (x) => Math.min(Math.max((x - box.left) / box.width, 0), 1);
  const mark = document.createElementNS(row.namespaceURI, "rect");
  const from = event.clientX;
  let to = from;
  const move = (next) => {
    to = next.clientX;
    const [low, high] = [share(from), share(to)].sort((a, b) => a - b);
    for (const [name, value] of [["x", 1000 * low], ["width", 1000 * (high - low)], ["height", 24]]) mark.setAttribute(name, value);
  };
  const end = () => {
    document.removeEventListener("pointermove", move);
    mark.remove();
    if (Math.abs(to - from) < MIN_BRUSH) return;
    addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
    setTimeout(() => zoom(row.closest(".lanes"), share(Math.min(from, to)), share(Math.max(from, to))));
  };
  mark.classList.add("brush");
  row.append(mark);
  event.preventDefault();
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", end, { once: true });
}

// Follows a link to a part of the lanes, given by its ends as shares of their span.
function zoom(lanes, low, high) {
  const since = Date.parse(lanes.dataset.since);
  const length = Date.parse(lanes.dataset.until) - since;
  const address = new URL(location);
  address.searchParams.set("since", new Date(since + low * length).toISOString());
  address.searchParams.set("until", new Date(since + high * length).toISOString());
  address.searchParams.delete("page");
  const link = document.createElement("a");
  link.href = address.pathname + address.search;
  link.setAttribute("hx-boost", "true");
  lanes.append(link);
  htmx.process(link);
  link.click();
}

document.documentElement.classList.add("has-script");
document.addEventListener("pointerdown", startBrush);
showTimes();
document.addEventListener("htmx:afterSwap", showTimes);
document.addEventListener("htmx:beforeSwap", stopAtSignIn);
