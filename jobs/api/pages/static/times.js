// Shows times in the viewer's zone; the time in UTC appears on hover.
const style = { dateStyle: "medium", timeStyle: "short" };
for (const element of document.querySelectorAll("time[datetime]")) {
  const utc = element.textContent;
  element.textContent = new Date(element.dateTime).toLocaleString(undefined, style);
  element.title = utc;
}
const zone = document.getElementById("zone");
if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
