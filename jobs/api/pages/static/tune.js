// Shows the rate at the position of the slider while it moves.
for (const slider of document.querySelectorAll("input[data-output]")) {
  slider.addEventListener("input", () => {
    const percent = 100 * Number(Math.pow(10, slider.value).toPrecision(2));
    document.getElementById(slider.dataset.output).textContent = `${Number(percent.toPrecision(2))}%`;
  });
}
