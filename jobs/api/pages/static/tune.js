// Shows the rate at the position of the slider while it moves.
for (const slider of document.querySelectorAll("input[data-output]")) {
  slider.addEventListener("input", () => {
    const percent = 100 * Number(Math.pow(10, slider.value).toPrecision(2));
    document.getElementById(slider.dataset.output).textContent = `${Number(percent.toPrecision(2))}%`;
  });
}

const MAX_RETRIES = 10; // in a row
const RETRY_MS = 2000;
let retries = 0;

// Requests a preview again if the service was busy or restarted; htmx requests it again only after an answer.
function requestAgain(event) {
  const preview = event.detail.elt;
  const status = event.detail.xhr ? event.detail.xhr.status : 0;
  if (preview.id !== "preview" || ![0, 429, 503].includes(status)) return;
  if (retries < MAX_RETRIES) {
    retries += 1;
    setTimeout(() => htmx.trigger(preview, "again"), RETRY_MS);
    return;
  }
  preview.removeAttribute("aria-busy");
  preview.textContent = "The service does not answer. Reload the page to try again.";
}

document.addEventListener("htmx:responseError", requestAgain);
document.addEventListener("htmx:sendError", requestAgain);
document.addEventListener("htmx:afterSwap", () => { retries = 0; });
