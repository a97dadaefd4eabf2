// The inspector's deeds: moving through the list, and changing samples. Follows samples.js.
class Curator extends Inspector {
  // ---- moving ----
  rows() { return [...(root()?.querySelectorAll("[data-row]") ?? [])]; }

  current() {
    const focused = document.activeElement?.closest?.("[data-row]")?.dataset.row;
    return this.params.get("sample") ?? focused ?? null;
  }

  pick(id, { push = !this.params.has("sample"), focus = "" } = {}) {
    this.focus = focus || this.focus;
    this.set({ sample: id }, { push, parts: ["detail"] });
  }

  // The neighbour in the list; null at its end.
  neighbour(step) {
    const rows = this.rows();
    const at = rows.findIndex((row) => row.dataset.row === this.current());
    return rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step]?.dataset.row ?? null;
  }

  step(by) {
    const next = this.neighbour(by);
    if (next === null) return this.turn(by);
    if (this.params.has("sample")) {
      this.pick(next, { push: false });
      find(`[data-row="${next}"]`)?.scrollIntoView({ block: "nearest" });
    } else find(`[data-pick="${next}"]`)?.focus();
  }

  turn(by) {
    const button = find(`nav button[aria-label="${by > 0 ? "Next" : "Previous"} page"]`);
    if (button && !button.disabled) this.page(button.dataset.page);
  }

  page(number) {
    this.focus = ".hs-open";
    this.set({ page: number === "1" ? null : number }, { parts: ["list"] });
    find(".hs-tools")?.scrollIntoView({ block: "nearest" });
  }

  close() {
    const sample = this.params.get("sample");
    if (!sample) return;
    this.focus = `[data-pick="${sample}"]`;
    this.set({ sample: null }, { parts: ["detail"] });
  }

  // ---- doing ----
  // The samples that a question is about: those selected in the list, or the one that is open.
  one() { return this.current() ? { ids: [Number(this.current())] } : null; }

  several() {
    if (this.everything) return { ids: "all", of: this.shownQuery };
    return { ids: [...this.selected].map(Number) };
  }

  review(name, target, fields = {}) {
    if (!target) return;
    const single = target.ids.length === 1 && String(target.ids[0]) === this.params.get("sample");
    if (single && preference("onward") && name !== "restore") {
      const next = this.neighbour(1);
      if (next !== null) this.params.set("sample", next);
    }
    this.selected.clear();
    this.everything = false;
    this.act(name, { ...target, ...fields });
  }

  undo() {
    const last = this.done.pop();
    if (last) {
      if (last.ids.length === 1) this.params.set("sample", last.ids[0]);
      this.act("undo", last);
    } else if (this.params.has("sample")) this.act("undo", this.one());
    else this.say("There is nothing to undo in this visit.", false);
  }

  // The open sample's own last change, whatever was done since elsewhere.
  undoHere() {
    const target = this.one();
    if (!target) return;
    const at = this.done.findLastIndex((one) => one.ids.length === 1 && one.ids[0] === target.ids[0]);
    if (at >= 0) this.done.splice(at, 1);
    this.act("undo", target);
  }

  ask(name, target, button) {
    const box = dialog(name);
    if (!box) return;
    this.target = target;
    const form = box.querySelector("form");
    form.reset();
    delete box.dataset.sent;
    const fault = form.querySelector("[data-fault]");
    if (fault) fault.hidden = true;
    if (form.elements.more) form.elements.more.required = false;
    const count = target?.ids === "all" ? Number(find(".hs-bulk")?.dataset.matching) : target?.ids?.length;
    const about = form.querySelector("[data-about]");
    if (about && name !== "confirm") {
      about.textContent = count === 1 ? `Sample #${target.ids[0]}` : count ? `${count.toLocaleString("en")} samples` : "";
      about.hidden = !about.textContent;
    }
    const data = find("[data-sample]")?.dataset;
    if (name === "relabel" && data) this.fillRelabel(form, JSON.parse(data.gold), JSON.parse(data.tasks));
    if (name === "edit") {
      const side = button.dataset.side;
      form.elements.side.value = side;
      form.querySelector("span[data-side]").textContent = side;
      form.elements.text.value = find(`pre[data-text="${data[side]}"]`)?.textContent ?? "";
    }
    box.showModal();
  }

  fillRelabel(form, gold, tasks) {
    form.querySelectorAll("label[data-task]").forEach((label) => {
      const task = label.dataset.task;
      label.hidden = !tasks.includes(task);
      label.querySelector("select").value = gold[task] ?? "";
    });
  }

  submit(form) {
    const box = form.closest("dialog");
    if ("sent" in box.dataset) return; // its answer is on the way
    box.dataset.sent = "";
    const name = form.dataset.act;
    const fields = Object.fromEntries(new FormData(form));
    if (name === "drop") {
      const reason = [fields.reason === "Another reason" ? "" : fields.reason, fields.more.trim()];
      this.review("drop", this.target, { reason: reason.filter(Boolean).join(": ") });
    } else if (name === "confirm") this.review(this.confirmed, this.target);
    else this.act(name, { ...this.target, ...fields });
    if (name === "freeze") this.open.add("versions");
  }

  bulk(name) {
    const target = this.several();
    if (name === "drop" || name === "study") this.ask(name, target);
    else if (target.ids === "all") {
      const count = Number(find(".hs-bulk").dataset.matching).toLocaleString("en");
      const verb = name === "accept" ? "Accept" : "Put back to review";
      this.confirmed = name;
      dialog("confirm").querySelector("[data-about]").textContent =
        `${verb} all ${count} samples that match the filters?`;
      this.ask("confirm", target);
    } else this.review(name, target);
  }
}
