// What is clicked, typed and pressed in the Hard samples tab. Follows samples_acts.js.
const clicked = (inspector, target, event) => {
  const on = (query) => target.closest(query);
  let hit;
  if ((hit = on("a[data-pick]"))) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    inspector.pick(hit.dataset.pick, { focus: ".hs-head h2" });
  } else if ((hit = on("button[data-pick]"))) inspector.pick(hit.dataset.pick, { push: true, focus: ".hs-head h2" });
  else if ((hit = on("[data-set]"))) {
    const [name, value] = [hit.dataset.set.split("=", 1)[0], hit.dataset.set.slice(hit.dataset.set.indexOf("=") + 1)];
    const same = hit.getAttribute("aria-pressed") === "true";
    inspector.filter({ [name]: same ? null : value });
  } else if ((hit = on("[data-clear]"))) {
    const keep = ["set", "order", "sample"];
    const names = hit.dataset.clear === "all" ? KEYS.filter((k) => !keep.includes(k)) : [hit.dataset.clear];
    if (document.activeElement?.matches?.("input[data-filter]")) document.activeElement.blur();
    inspector.filter(Object.fromEntries(names.map((k) => [k, null])));
  } else if ((hit = on("[data-page]"))) inspector.page(hit.dataset.page);
  else if (on("[data-close]")) inspector.close();
  else if ((hit = on("[data-step]"))) inspector.step(Number(hit.dataset.step));
  else if (on("[data-reveal]")) { inspector.revealed = on(".hs-veil") ? true : !inspector.revealed; inspector.showState(); }
  else if ((hit = on("button[data-diff]"))) { preference("inline", hit.dataset.diff === "inline"); inspector.showState(); }
  else if ((hit = on("[data-jump]"))) {
    event.preventDefault();
    const there = document.getElementById(hit.dataset.jump);
    there.open = true;
    there.querySelector("summary").focus();
  } else if ((hit = on("[data-bulk]"))) inspector.bulk(hit.dataset.bulk);
  else if ((hit = on("button[data-check=all]"))) { inspector.everything = true; inspector.showSelection(); }
  else if ((hit = on("[data-train]"))) inspector.trigger("select", { version: Number(hit.dataset.train) });
  else if (on("[data-undo]")) inspector.undo();
  else if ((hit = on("[data-shut]"))) hit.closest("dialog").close();
  else if ((hit = on("[data-ask]"))) inspector.ask(hit.dataset.ask, hit.dataset.ask === "freeze" ? null : inspector.one(), hit);
  else if ((hit = on("button[data-act]"))) {
    const name = hit.dataset.act;
    if (name === "undo") inspector.undoHere();
    else if (name === "pick") inspector.act("pick", { ...inspector.one(), chosen: hit.dataset.chosen, rejected: hit.dataset.rejected });
    else inspector.review(name, inspector.one());
  } else if ((hit = on("summary"))) {
    const fold = hit.parentElement;
    if (fold.matches(".hs-filters")) inspector.filtersOpen = !fold.open;
    if (fold.dataset.keep) {
      inspector.open[fold.open ? "delete" : "add"](fold.dataset.keep);
      if (!fold.open && fold.dataset.keep === "balance") inspector.view(["balance"]);
    }
  }
};

const changed = (inspector, field) => {
  if (field.dataset.preference) {
    preference(field.dataset.preference, field.checked);
    if (field.dataset.preference === "revealed") inspector.revealed = field.checked;
    inspector.showState();
  } else if (field.dataset.check === "page") {
    inspector.everything = false;
    for (const row of inspector.rows()) inspector.selected[field.checked ? "add" : "delete"](row.dataset.row);
    inspector.showSelection();
  } else if (field.dataset.check) {
    inspector.everything = false;
    inspector.selected[field.checked ? "add" : "delete"](field.dataset.check);
    inspector.showSelection();
  } else if (field.name === "reason" && field.form) {
    field.form.elements.more.required = field.dataset.words !== undefined;
  } else if (field.dataset.filter !== undefined) {
    clearTimeout(inspector.typing);
    if (field.name === "order") inspector.set({ order: field.value, page: null }, { parts: ["list"] });
    else if ((inspector.params.get(field.name) ?? "") !== field.value) inspector.filter({ [field.name]: field.value }, field.name === "set");
  }
};

const pressed = (inspector, event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !preference("keys")) return;
  const target = event.target instanceof Element ? event.target : document.body;
  if (!shown() || document.querySelector("dialog[open]")) return;
  if (target.closest("textarea, select, [contenteditable], input:not([type=checkbox])")) return;
  const inList = target.closest(".hs-list");
  const doing = {
    j: () => inspector.step(1),
    k: () => inspector.step(-1),
    ArrowDown: inList && (() => inspector.step(1)),
    ArrowUp: inList && (() => inspector.step(-1)),
    Escape: inspector.params.has("sample") && (() => inspector.close()),
    a: () => inspector.review("accept", inspector.one()),
    d: () => inspector.one() && inspector.ask("drop", inspector.one()),
    u: () => inspector.undo(),
    r: () => { inspector.revealed = !inspector.revealed; inspector.showState(); },
    x: () => find(`[data-check="${inspector.current()}"]`)?.click(),
    "[": () => inspector.turn(-1),
    "]": () => inspector.turn(1),
    "/": () => find("input[name=text]")?.focus(),
    "?": () => inspector.ask("help"),
  }[event.key];
  if (!doing || (event.repeat && !"jk".includes(event.key) && !event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  doing();
};

const listen = (inspector) => {
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const tab = target?.closest("#tabs > .tab-wrapper [role=tab]");
    // The tab comes to the front after this click.
    if (tab) setTimeout(() => { if (shown()) inspector.view(ALL); inspector.writeAddress(false); });
    else if (target && root()?.contains(target)) clicked(inspector, target, event);
  });
  document.addEventListener("change", (event) => {
    if (root()?.contains(event.target)) changed(inspector, event.target);
  });
  document.addEventListener("input", (event) => {
    if (!root()?.contains(event.target) || !event.target.matches("input[data-filter]")) return;
    clearTimeout(inspector.typing);
    inspector.typing = setTimeout(() => changed(inspector, event.target), 250);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!root()?.contains(form)) return;
    if (!form.dataset.act && !form.dataset.view) return;
    event.preventDefault(); // a dialog is shut once its act is done
    if (form.dataset.act) inspector.submit(form);
    if (form.dataset.view) {
      inspector.view([form.dataset.view], Object.fromEntries(new FormData(form)));
    }
  });
  document.addEventListener("keydown", (event) => pressed(inspector, event));
  addEventListener("popstate", () => {
    if (new URL(location.href).searchParams.get("tab") !== "samples") return;
    inspector.readAddress();
    inspector.selected.clear(); // they may be of another set
    inspector.everything = false;
    if (shown()) inspector.view(ALL);
    else document.querySelector("#tabs > .tab-wrapper [role=tab][data-tab-id=samples]")?.click();
  });
};

window.guarduiSamples ??= new Curator();
const inspector = window.guarduiSamples;
const first = !inspector.trigger;
inspector.trigger = trigger;
watch("value", () => {
  const said = element.querySelector("[data-answer]")?.dataset.answer;
  if (said) setTimeout(() => inspector.answered(JSON.parse(said)));
});
if (first) {
  inspector.readAddress();
  listen(inspector);
}
inspector.settle();
inspector.view(ALL);
