// Plots: the value nearest to the pointer, or reached by the arrow keys, is told; entries of the legend hide and show their lines.
for (const plot of document.querySelectorAll(".plot")) {
  const drawn = plot.querySelector(".drawn");
  const told = plot.querySelector(".told");
  const dots = [...plot.querySelectorAll(".drawn .dot")];
  const hidden = new Set();
  let at = null;
  for (const dot of dots) {
    dot.dataset.said = dot.querySelector("title").textContent;
    dot.querySelector("title").remove();
  }
  const seen = (dot) => !hidden.has(dot.closest(".line").dataset.name) && dot.getClientRects().length > 0;
  const tell = (dot) => {
    if (at) at.classList.remove("at");
    at = dot;
    if (at) at.classList.add("at");
    told.textContent = at ? at.dataset.said : "";
  };
  drawn.addEventListener("pointermove", (event) => {
    const reach = 40;
    let best = null, nearest = reach * reach;
    for (const dot of dots) {
      if (!seen(dot)) continue;
      const box = dot.getBoundingClientRect();
      const far = (box.x + box.width / 2 - event.clientX) ** 2 + (box.y + box.height / 2 - event.clientY) ** 2;
      if (far < nearest) [best, nearest] = [dot, far];
    }
    if (best) tell(best);
  });
  drawn.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const shown = dots.filter(seen);
    if (event.key === "Escape") tell(null);
    if (!step || !shown.length) return;
    event.preventDefault();
    const k = shown.indexOf(at);
    tell(shown[k < 0 ? (step > 0 ? 0 : shown.length - 1) : (k + step + shown.length) % shown.length]);
  });
  for (const button of plot.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const name = button.dataset.line;
      if (hidden.has(name)) hidden.delete(name); else hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      for (const line of plot.querySelectorAll(".drawn .line")) line.toggleAttribute("hidden", hidden.has(line.dataset.name));
      if (at && !seen(at)) tell(null);
    });
  }
}
