// Pictures: the value nearest to the pointer, or reached by the arrow keys, is told under its picture.
for (const picture of document.querySelectorAll(".picture")) {
  const drawn = picture.querySelector(".drawn");
  const told = picture.querySelector(".told");
  const marks = [...drawn.querySelectorAll("title")].map((title) => title.parentNode);
  let at = null;
  const tell = (mark) => {
    if (at) at.classList.remove("at");
    at = mark;
    if (at) at.classList.add("at");
    told.textContent = at ? at.querySelector("title").textContent : "";
  };
  drawn.addEventListener("pointermove", (event) => {
    let best = marks.find((mark) => mark.contains(event.target)), nearest = 24 ** 2;
    for (const mark of best ? [] : marks.filter((mark) => mark.tagName === "use")) {
      const box = mark.getBoundingClientRect();
      const far = (box.x + box.width / 2 - event.clientX) ** 2 + (box.y + box.height / 2 - event.clientY) ** 2;
      if (far < nearest) [best, nearest] = [mark, far];
    }
    if (best) tell(best);
  });
  drawn.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") tell(null);
    if (!step || !marks.length) return;
    event.preventDefault();
    const k = marks.indexOf(at);
    tell(marks[k < 0 ? (step > 0 ? 0 : marks.length - 1) : (k + step + marks.length) % marks.length]);
  });
}
