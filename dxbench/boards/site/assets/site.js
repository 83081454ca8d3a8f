"use strict";

/* Theme: the system's, unless chosen. Storage may be refused, from a file:// page for one. */
const theme = {
  read() { try { return localStorage.getItem("dxbench-theme"); } catch { return null; } },
  keep(name) { try { localStorage.setItem("dxbench-theme", name); } catch { /* holds for this page */ } },
  set(name) { document.documentElement.dataset.theme = name; },
  dark() {
    return (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  },
};
if (["light", "dark"].includes(theme.read())) theme.set(theme.read());

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function addThemeButton() {
  const button = element("button", { type: "button", id: "theme" });
  const label = () => { button.textContent = theme.dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${theme.dark() ? "light" : "dark"} colours`); };
  button.addEventListener("click", () => { const name = theme.dark() ? "light" : "dark"; theme.set(name); theme.keep(name); label(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
  document.querySelector(".top").append(button);
}

function addCopyButtons() {
  for (const box of document.querySelectorAll(".copy")) {
    const button = element("button", { type: "button", textContent: "Copy" });
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      const code = box.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(button);
  }
}

/* The board of a task. Its state is the hash of the address: sort, filters, metric of the plots, row. */
const FIELDS = ["q", "family", "show", "min", "max"];

class Board {
  constructor(data) {
    this.columns = data.columns;
    this.rows = data.rows;
    this.form = document.getElementById("filters");
    this.count = document.getElementById("count");
    this.bodies = [...document.querySelectorAll("table.board tbody")];
    this.order = this.bodies.map((body) => [...body.rows]);
    this.picks = [...document.querySelectorAll("form.pick")];
    this.addControls();
    this.restore();
    addEventListener("hashchange", () => this.restore());
  }

  addControls() {
    for (const head of document.querySelectorAll("table.board th[data-key]")) {
      const button = element("button", { type: "button", textContent: head.textContent });
      button.addEventListener("click", () => this.sortBy(head.dataset.key));
      head.replaceChildren(button);
    }
    this.form.hidden = false;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => { for (const name of FIELDS) this.state.set(name, this.form.elements[name].value); this.show(); });
    this.form.addEventListener("reset", (event) => { event.preventDefault(); for (const name of [...FIELDS, "sort", "dir", "row"]) this.state.delete(name); this.show(); });
    for (const pick of this.picks) {
      pick.hidden = false;
      pick.addEventListener("submit", (event) => event.preventDefault());
      pick.addEventListener("input", () => { this.state.set("metric", pick.elements.metric.value); this.show(); });
    }
  }

  /* A plain #anchor of a row, as without this script, is a row chosen in the state that is there. */
  restore() {
    const hash = location.hash.slice(1);
    const plain = decodeURIComponent(hash.includes("=") ? "" : hash);
    if (plain && !(plain in this.rows)) { this.state ??= new URLSearchParams(); this.show(); return; }
    if (plain) { this.state ??= new URLSearchParams(); this.state.set("row", plain); } else this.state = new URLSearchParams(hash);
    this.show();
    const row = document.getElementById(this.state.get("row") ?? "");
    if (row && !row.hidden) { row.scrollIntoView({ block: "center" }); row.focus({ preventScroll: true }); }
  }

  sortBy(key) {
    const best = this.column(key).better === "higher" ? "desc" : "asc";
    const other = best === "asc" ? "desc" : "asc";
    this.state.set("dir", this.state.get("sort") === key && this.direction(key) === best ? other : best);
    this.state.set("sort", key);
    this.show();
  }

  column(key) { return this.columns.find((column) => column.key === key); }

  direction(key) { return this.state.get("dir") ?? (this.column(key).better === "higher" ? "desc" : "asc"); }

  show() {
    for (const name of FIELDS) if (document.activeElement !== this.form.elements[name]) this.form.elements[name].value = this.state.get(name) ?? "";
    this.sort();
    this.filter();
    this.showMetric();
    for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
    document.getElementById(this.state.get("row") ?? "")?.classList.add("chosen");
    const kept = new URLSearchParams([...this.state].filter(([, value]) => value !== ""));
    const hash = kept.size ? `#${kept}` : location.hash.includes("=") ? "" : location.hash;
    history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
  }

  sort() {
    const key = this.state.get("sort");
    const column = this.columns.findIndex((one) => one.key === key);
    const sign = column >= 0 && this.direction(key) === "desc" ? -1 : 1;
    const value = (row) => this.rows[row.id].values[column] ?? null;
    this.bodies.forEach((body, index) => {
      const rows = [...this.order[index]];
      if (column >= 0) rows.sort((a, b) => compare(value(a), value(b), sign));
      body.append(...rows);
    });
    for (const head of document.querySelectorAll("table.board th[data-key]")) {
      if (column >= 0 && head.dataset.key === key) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  filter() {
    const words = (this.state.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const family = this.state.get("family") || null;
    const show = this.state.get("show") || "all";
    const [low, high] = ["min", "max"].map((name) => this.state.get(name) ? Number(this.state.get(name)) : null);
    const kinds = {
      all: () => true,
      ranked: (row) => row.ranks,
      marked: (row) => ["measured", "external"].includes(row.kind) && !row.ranks,
      measured: (row) => ["measured", "reference"].includes(row.kind),
      external: (row) => row.kind === "external",
      published: (row) => row.kind === "published",
    };
    let shown = 0;
    const rows = this.order.flat();
    for (const line of rows) {
      const row = this.rows[line.id];
      const text = line.cells[0].textContent.toLowerCase();
      line.hidden = !(words.every((word) => text.includes(word)) && (!family || row.family === family) && (kinds[show] ?? kinds.all)(row)
        && (low === null || (row.nfe !== null && row.nfe >= low)) && (high === null || (row.nfe !== null && row.nfe <= high)));
      shown += !line.hidden;
      for (const mark of document.querySelectorAll(`svg a[href="#${CSS.escape(line.id)}"]`)) mark.classList.toggle("off", line.hidden);
    }
    this.count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  }

  showMetric() {
    for (const pick of this.picks) {
      const select = pick.elements.metric;
      const wanted = this.state.get("metric");
      select.value = [...select.options].some((option) => option.value === wanted) ? wanted : select.options[0].value;
      for (const figures of pick.parentElement.querySelectorAll(":scope > .figures")) figures.hidden = figures.dataset.metric !== select.value;
    }
  }
}

/* Missing values last, whichever way. */
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
}

document.addEventListener("DOMContentLoaded", () => {
  addThemeButton();
  addCopyButtons();
  const data = document.getElementById("data");
  if (data) new Board(JSON.parse(data.textContent));
});
