// The Hard samples tab: its state is the address, its clicks and keys become questions to the server.
// Runs with `element`, `trigger` and `watch` of the part #samples-answer, each time it is mounted.
const KEYS = ["set", "task", "source", "model", "error", "parse", "wrong", "longer", "shorter",
  "heavier", "lighter", "review", "flag", "kind", "text", "order", "page", "sample"];
const LISTING = ["filters", "list"];
const ALL = ["head", "versions", "balance", ...LISTING, "detail"];
// Milliseconds after which an unanswered question is given up; a version of 100,000 pairs takes a while.
const PATIENCE = 60_000, LONG_PATIENCE = 600_000;
const PREFERENCES = { revealed: false, onward: true, keys: true, inline: innerWidth < 700 };

const root = () => document.getElementById("samples-root");
const find = (query) => root()?.querySelector(query);
const each = (query, run) => root()?.querySelectorAll(query).forEach(run);
const dialog = (name) => document.getElementById(`hs-${name}`);
const shown = () => Boolean(root()?.offsetParent);

const preference = (name, value) => {
  const key = `guardui-samples-${name}`;
  if (value !== undefined) localStorage.setItem(key, value ? "on" : "off");
  const kept = localStorage.getItem(key);
  return kept === null ? PREFERENCES[name] : kept === "on";
};

class Inspector {
  params = new URLSearchParams();
  selected = new Set();
  everything = false; // all that match are selected
  open = new Set(); // folds that are open
  done = []; // ids of each act of this visit, for undo
  waiting = []; // acts not yet sent
  wanted = new Set(); // parts to be drawn next
  extra = {};
  number = 0;
  busy = 0;
  revealed = false;
  focus = null;

  // ---- address ----
  readAddress() {
    const here = new URL(location.href).searchParams;
    this.params = new URLSearchParams(KEYS.filter((k) => here.has(k)).map((k) => [k, here.get(k)]));
  }

  writeAddress(push) {
    const url = new URL(location.href);
    for (const key of KEYS) url.searchParams.delete(key);
    if (shown()) {
      for (const [key, value] of this.params) url.searchParams.set(key, value);
      url.searchParams.set("tab", "samples");
    } else url.searchParams.delete("tab");
    if (url.href !== location.href) history[push ? "pushState" : "replaceState"](history.state, "", url);
  }

  set(changes, { push = true, parts = LISTING } = {}) {
    for (const [key, value] of Object.entries(changes)) {
      if (value === "" || value === null) this.params.delete(key);
      else this.params.set(key, value);
    }
    this.writeAddress(push);
    this.view(parts);
  }

  // A change of the filters: back to the first page, with nothing selected.
  filter(changes, push = true) {
    this.selected.clear();
    this.everything = false;
    if ("set" in changes) for (const key of KEYS) if (key !== "order") this.params.delete(key);
    const parts = "set" in changes ? ALL : [...LISTING, "balance"];
    this.set({ page: null, ...changes }, { push, parts });
    this.fillInputs();
  }

  // ---- questions and answers, one at a time ----
  view(parts, extra = {}) {
    for (const part of parts) this.wanted.add(part);
    Object.assign(this.extra, extra);
    this.send();
  }

  act(name, fields = {}) {
    this.waiting.push({ act: name, ...fields });
    this.send();
  }

  send() {
    if (this.busy || (!this.waiting.length && !this.wanted.size)) return;
    const act = this.waiting.shift();
    if (act) for (const part of ["head", "balance", ...LISTING, "detail"]) this.wanted.add(part);
    if (act?.act === "freeze") this.wanted.add("versions");
    const query = this.params.toString();
    const balance = this.open.has("balance");
    const question = { query, parts: [...this.wanted], number: ++this.number, balance, ...this.extra, ...act };
    [this.wanted, this.extra] = [new Set(), {}];
    this.busy = setTimeout(() => this.giveUp(), act?.act === "freeze" ? LONG_PATIENCE : PATIENCE);
    root()?.setAttribute("aria-busy", "true");
    this.trigger(act ? "submit" : "click", { ask: question });
  }

  giveUp() {
    this.settle();
    this.fault("No answer came. Is the server still there? Try again.");
  }

  settle() {
    clearTimeout(this.busy);
    this.busy = 0;
    root()?.removeAttribute("aria-busy");
  }

  answered(answer) {
    this.settle();
    const pending = this.waiting.length || this.wanted.size;
    this.shownQuery = answer.query ?? this.shownQuery;
    if (!pending && answer.query !== undefined) {
      this.params = new URLSearchParams(answer.query);
      this.writeAddress(false);
    }
    if (answer.acted) this.done.push(answer.acted);
    if (answer.fault) this.fault(answer.fault);
    else if (answer.said !== undefined) document.querySelector("dialog[open][data-sent]")?.close();
    if (answer.said) this.say(answer.said, Boolean(answer.acted));
    this.afterDrawing();
    if (pending) this.send();
  }

  // A fault stands in the dialog that it came of, which keeps what was typed.
  fault(text) {
    const box = document.querySelector("dialog[open][data-sent]");
    if (!box) return this.say(`✕ ${text}`, false);
    delete box.dataset.sent;
    const note = box.querySelector("[data-fault]");
    note.textContent = text;
    note.hidden = false;
    note.scrollIntoView({ block: "nearest" });
  }

  // ---- what the server's HTML doesn't know ----
  afterDrawing() {
    const root_ = root();
    if (!root_) return;
    const sample = this.params.get("sample");
    root_.dataset.open = find("[data-sample]") ? "yes" : "no";
    if (this.drawn !== sample) {
      this.drawn = sample;
      this.revealed = preference("revealed");
      const scrolled = document.getElementById("samples-detail");
      if (scrolled) scrolled.scrollTop = 0;
    }
    each("[data-row]", (row) => {
      if (row.dataset.row === sample) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
    each("details[data-keep]", (fold) => { fold.open = this.open.has(fold.dataset.keep); });
    const filters = find(".hs-filters");
    if (filters) filters.open = this.filtersOpen ?? innerWidth > 900;
    this.showState();
    this.showSelection();
    this.fillInputs();
    if (this.focus) {
      const target = find(this.focus);
      this.focus = null;
      target?.focus({ preventScroll: true });
      target?.closest("[data-row]")?.scrollIntoView({ block: "nearest" });
    }
  }

  showState() {
    root().dataset.shown = this.revealed ? "yes" : "no";
    root().dataset.excerpts = preference("revealed") ? "yes" : "no";
    root().dataset.diff = preference("inline") ? "inline" : "sides";
    each("button[data-diff]", (one) => {
      one.setAttribute("aria-pressed", String((one.dataset.diff === "inline") === preference("inline")));
    });
    each("button[data-reveal][aria-pressed]", (one) => {
      one.setAttribute("aria-pressed", String(this.revealed));
      one.textContent = this.revealed ? "Hide texts" : "Reveal texts";
    });
    each("[data-preference]", (one) => { one.checked = preference(one.dataset.preference); });
  }

  fillInputs() {
    each("input[data-filter], select[data-filter]", (field) => {
      if (field === document.activeElement) return;
      const value = this.params.get(field.name);
      if (field.tagName === "INPUT") field.value = value ?? "";
      else if (value !== null) field.value = value;
      else if (field.name === "order") field.selectedIndex = 0;
    });
  }

  showSelection() {
    const bar = find(".hs-bulk");
    if (!bar) return;
    const matching = Number(bar.dataset.matching);
    let here = 0;
    each("[data-row]", (row) => {
      const on = this.everything || this.selected.has(row.dataset.row);
      row.querySelector("[data-check]").checked = on;
      here += on ? 1 : 0;
    });
    const rows = root().querySelectorAll("[data-row]").length;
    const page = bar.querySelector("[data-check=page]");
    page.checked = rows > 0 && here === rows;
    page.indeterminate = here > 0 && here < rows;
    const count = this.everything ? matching : this.selected.size;
    bar.querySelector("[data-selected]").textContent =
      this.everything ? `all ${count.toLocaleString("en")} selected` : count ? `${count} selected` : "none selected";
    bar.querySelectorAll("[data-bulk]").forEach((one) => { one.disabled = !count; });
    const all = bar.querySelector("[data-check=all]");
    all.hidden = !(page.checked && !this.everything && matching > this.selected.size);
  }

  say(text, undoable) {
    const bar = document.getElementById("hs-snack");
    if (!bar) return;
    bar.querySelector("[role=status]").textContent = text;
    bar.querySelector("[data-undo]").hidden = !undoable;
    bar.hidden = false;
    clearTimeout(this.snack);
    this.snack = setTimeout(() => { bar.hidden = true; }, 8000);
  }
}
