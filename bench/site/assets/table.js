// Tables that sort by a click on a header and are filtered by words or by what a column holds. What is chosen is in the address.
const FEW = 6; // rows that need no filter
const state = new URLSearchParams(location.search);
const remember = (key, value) => {
  if (value) state.set(key, value); else state.delete(key);
  const query = state.toString();
  try { history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash); } catch { /* not of every page that is a file */ }
};
const said = (row, k) => row.cells[k].textContent.trim();
// The first number in an entry, whatever marks stand before it: "★ 9.39 ±0.33" is 9.39, "[" begins an interval.
const number = (text) => {
  const found = /^[★☆≈?!+<\s]*([-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)/.exec(text);
  return found ? Number(found[1].replaceAll(",", "").replace("−", "-")) : NaN;
};
const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

for (const table of document.querySelectorAll("table[data-sort]")) {
  const key = table.id.replace("table-", "");
  const body = table.tBodies[0];
  if (!body) continue;
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  for (const row of rows) for (const cell of row.cells) if (cell.textContent.length > 48) cell.classList.add("words");
  for (const head of heads) if (head.textContent.length > 24) head.classList.add("words");
  const sort = (k, down) => {
    const values = new Map(rows.map((row) => [row, number(said(row, k))]));
    const numeric = rows.filter((row) => !Number.isNaN(values.get(row))).length * 2 > rows.length;
    const order = [...rows].sort((a, b) => {
      if (!numeric) return said(a, k).localeCompare(said(b, k)) * (down ? -1 : 1);
      const [x, y] = [values.get(a), values.get(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return (x - y) * (down ? -1 : 1);
    });
    body.append(...order);
    heads.forEach((head, i) => { if (i === k) head.setAttribute("aria-sort", down ? "descending" : "ascending"); else head.removeAttribute("aria-sort"); });
  };
  heads.forEach((head, k) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      sort(k, down);
      remember(`${key}.sort`, `${k}${down ? "d" : "a"}`);
    });
  });
  const sorted = /^(\d+)([ad])$/.exec(state.get(`${key}.sort`) ?? "");
  if (sorted && heads[sorted[1]]) sort(Number(sorted[1]), sorted[2] === "d");

  const frame = table.closest(".table[data-filter]");
  if (!frame || rows.length < FEW) continue;
  const count = element("output", {});
  const field = element("input", { type: "search", placeholder: "words in a row", value: state.get(`${key}.words`) ?? "" });
  const columns = (frame.dataset.filter || "cell backend").split(" ").map((name) => heads.findIndex((head) => head.textContent.trim() === name));
  const selects = columns.filter((k) => k >= 0).map((k) => {
    const name = heads[k].textContent.trim();
    const values = [...new Set(rows.map((row) => said(row, k)))].sort((a, b) => number(a) - number(b) || a.localeCompare(b));
    const select = element("select", {}, element("option", { value: "" }, "all"), ...values.map((value) => element("option", { value }, value)));
    select.value = values.includes(state.get(`${key}.${name}`)) ? state.get(`${key}.${name}`) : "";
    return { k, name, select, several: values.length > 1 && values.length < 40 };
  }).filter((part) => part.several);
  const filter = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word)) || selects.some(({ k, select }) => select.value && said(row, k) !== select.value);
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? `all ${shown} rows` : `${shown} of ${rows.length} rows`;
  };
  field.addEventListener("input", () => { filter(); remember(`${key}.words`, field.value.trim()); });
  for (const { name, select } of selects) select.addEventListener("change", () => { filter(); remember(`${key}.${name}`, select.value); });
  const tools = element("div", { className: "tools" }, element("label", {}, "Filter", field));
  for (const { name, select } of selects) tools.append(element("label", {}, name, select));
  tools.append(count);
  const sheet = frame.querySelector(".sheet");
  if (sheet) tools.append(sheet);
  frame.prepend(tools);
  filter();
}

const choose = document.getElementById("choose");
if (choose) {
  choose.hidden = false;
  for (const name of ["a", "b"]) {
    const select = choose.elements[name];
    if ([...select.options].some((option) => option.value === state.get(name))) select.value = state.get(name);
    select.addEventListener("change", () => remember(name, select.value));
  }
  choose.addEventListener("submit", (event) => {
    event.preventDefault();
    const pair = [choose.elements.a.value, choose.elements.b.value];
    const link = [...document.querySelectorAll("a[data-a]")].find(({ dataset }) => pair.includes(dataset.a) && pair.includes(dataset.b) && pair[0] !== pair[1]);
    if (link) location.href = link.href; else document.getElementById("none").textContent = pair[0] === pair[1] ? "Choose two runs." : "These two have no case in common.";
  });
}
