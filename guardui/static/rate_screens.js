// The Rate tab's screens: shown as the server sends them, with the draft put back. Follows rate.js.
class Rater extends Talk {
  answer = null; // the screen that is shown, as the server sent it
  busy = false; // an act is on its way
  pending = null; // {token, draft}: what was changed and isn't acknowledged yet
  drafting = null; // ends when no draft is on its way any more
  typing = 0;
  shownAt = 0;

  // ---- what is said ----
  say(words, look = "ok") {
    const place = find("#rate-saved");
    place.textContent = words && (look === "ok" ? `✓ ${words}` : words);
    place.dataset.look = look;
    if (look !== "ok") find("#rate-line").hidden = false;
  }

  alert(words) {
    const place = find("#rate-alert");
    place.textContent = words;
    place.classList.toggle("on", Boolean(words));
    find("#rate-who").hidden = true;
  }

  // ---- screens ----
  show(answer, { focus = true } = {}) {
    this.alert("");
    if (answer.code) store(localStorage, CODE, answer.code);
    if (answer.progress) this.showProgress(answer.progress);
    else find("#rate-line").hidden = true;
    this.say(answer.message ?? "", "ok");
    if (!answer.screen) return;
    find("#rate-draft").textContent = "";
    this.answer = answer;
    find("[data-rest]").hidden = !answer.token; // there is nothing to take a break from
    this.shownAt = performance.now();
    const after = ["after", "feedback"].includes(answer.screen);
    store(sessionStorage, PLACE, answer.token ? { token: answer.token, after } : null);
    document.querySelectorAll(".rate-dialog[open]").forEach((box) => box.close());
    find("#rate-screen").innerHTML = answer.html; // every foreign text in it is escaped
    const link = find("#rate-link");
    if (link) link.textContent = linkOf(answer.code);
    const unsent = stored(sessionStorage, DRAFT + answer.token);
    this.restore(unsent ?? answer.draft);
    this.hurry();
    if (unsent && find("#rate-form")) {
      this.keep(answer.token, unsent);
      this.saveDraft();
    }
    if (!focus || !shown()) return;
    app().scrollIntoView({ block: "start" });
    find("#rate-head")?.focus({ preventScroll: true });
  }

  showProgress({ study, done, wanted, started }) {
    const share = wanted ? Math.min(100, (100 * done) / wanted) : 0;
    find("#rate-line").hidden = !started;
    find("#rate-study").textContent = study;
    find("#rate-count").textContent = `${done.toLocaleString("en")} of ${wanted.toLocaleString("en")}`;
    find("#rate-bar").setAttribute("aria-valuenow", Math.round(share));
    find("#rate-bar i").style.width = `${share}%`;
  }

  // Where the page goes on, after a reload also with what was on its way then.
  async open(options = {}) {
    const unsent = stored(sessionStorage, UNSENT);
    if (unsent) return this.act(unsent.act, unsent.body);
    const known = stored(localStorage, CODE) || stored(localStorage, STUDY);
    return this.act(known ? "state" : "enter", stored(sessionStorage, PLACE) ?? {}, options);
  }

  // ---- acts ----
  async act(name, body = {}, options = {}) {
    if (this.busy) return;
    this.busy = true;
    // A join whose reply was lost is sent again as the same one, and so makes nobody twice.
    if (name === "join") body = { ...body, nonce: nonce() };
    app().setAttribute("aria-busy", "true");
    // These carry all of the item, or end it; before any other act its draft is brought home.
    if (["submit", "skip", "withdraw"].includes(name)) this.pending = null;
    const saves = ["submit", "support", "revise", "skip"].includes(name);
    if (saves) {
      store(sessionStorage, UNSENT, { act: name, body });
      this.say("Saving…", "wait");
    }
    try {
      if (this.pending) await this.saveDraft();
      clearTimeout(this.typing);
      this.as = options.as ?? null;
      const answer = await this.insist(name, body, () => this.say(saves ? AGAIN : OFFLINE, "bad"));
      if (["submit", "skip", "withdraw"].includes(name)) this.drop(body.token ?? this.answer?.token);
      if (name === "join" || options.as?.code) this.forget();
      if (name === "join" && !answer.code) store(localStorage, STUDY, body.study);
      if (options.as?.code) store(localStorage, CODE, options.as.code);
      this.done();
      this.show(answer, options);
    } catch (error) {
      // Nobody known: that may be the server's fault, so what is to be sent is kept.
      this.done({ keep: error.code === "who" });
      if (!(error instanceof Refused)) throw error;
      await this.refused(name, error);
    }
  }

  done({ keep = false } = {}) {
    if (!keep) store(sessionStorage, UNSENT, null);
    this.busy = false;
    this.as = null;
    app().removeAttribute("aria-busy");
  }

  async refused(name, error) {
    this.say("");
    document.querySelectorAll(".rate-dialog[open]").forEach((box) => box.close());
    if (error.code === "who") return this.unknown(error.message);
    if (MOVED_ON.includes(error.code) && (name !== "state" || stored(sessionStorage, PLACE))) {
      store(sessionStorage, PLACE, null);
      await this.act("state", {});
    } else if (!this.answer && name !== "state") {
      await this.act("state", stored(sessionStorage, PLACE) ?? {});
    }
    const form = find("#rate-form"), reveal = find(".rate-veil:not([hidden]) [data-reveal]");
    if (form && name === "submit") this.changed(); // it stays to be answered, and to be saved
    if (form && name === "submit" && reveal) {
      find("#rate-unseen").textContent = error.message;
      reveal.focus();
    } else this.alert(error.message);
  }

  // The code stays: it is the only way back, and the fault may be the server's.
  unknown(words) {
    this.alert(words);
    const code = find("[data-send=enter] [name=code]");
    find("#rate-who").hidden = Boolean(code);
    if (!this.answer) find("#rate-screen").textContent = "";
    (code ?? find("[data-again]")).focus();
  }

  // From now on this browser rates by another code, or by none.
  become(code) {
    this.leave();
    this.pending = this.answer = null;
    this.forget();
    store(localStorage, CODE, code);
  }

  forget() {
    for (const key of [CODE, STUDY]) store(localStorage, key, null);
    for (const key of [PLACE, UNSENT, JOINING]) store(sessionStorage, key, null);
  }

  async reveal() {
    const token = this.answer?.token;
    if (!find(".rate-veil:not([hidden])")) return;
    try {
      const answer = await this.insist("reveal", { token }, () => this.say(OFFLINE, "bad"));
      if (this.answer?.token !== token) return;
      this.say("");
      find("#rate-talk").innerHTML = answer.html;
      find(".rate-veil").hidden = true;
      find("#rate-talk").setAttribute("tabindex", "-1");
      find("#rate-talk").focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.refused("reveal", error);
    }
  }

  // ---- answers ----
  collect() {
    const form = find("#rate-form"), fields = new FormData(form);
    const criteria = {};
    for (const group of form.querySelectorAll(".rate-levels input[value='1']")) {
      const name = group.name.replace(/-(left|right)$/, "");
      const [left, right] = ["left", "right"].map((side) => Number(fields.get(`${name}-${side}`)) || null);
      if (left || right) criteria[name] = [left, right];
    }
    const marks = [...app().querySelectorAll(".rate-mark")]
      .filter((mark) => mark.value)
      .map((mark) => ({ side: mark.dataset.side, step: Number(mark.dataset.step), mark: mark.value }));
    const overall = fields.get("overall");
    return { overall: overall === null ? null : Number(overall), criteria, note: fields.get("note"), marks };
  }

  restore(draft) {
    const form = find("#rate-form");
    if (!form || !draft) return;
    const choose = (name, value) => {
      const field = form.querySelector(`input[name="${name}"][value="${value}"]`);
      if (field) field.checked = true;
    };
    choose("overall", draft.overall);
    for (const [name, [left, right]] of Object.entries(draft.criteria ?? {})) {
      choose(`${name}-left`, left);
      choose(`${name}-right`, right);
    }
    form.elements.note.value = draft.note ?? "";
    if (draft.note) find(".rate-note").open = true;
    for (const { side, step, mark } of draft.marks ?? []) {
      const field = find(`.rate-mark[data-side="${side}"][data-step="${step}"]`);
      if (field) field.value = mark;
      this.showMark(field);
    }
  }

  showMark(field) {
    if (field) field.closest(".rate-step").dataset.mark = field.value;
  }

  // ---- drafts ----
  changed() {
    find("#rate-missing").textContent = "";
    this.keep(this.answer.token, this.collect());
    this.say("", "ok");
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.saveDraft(), TYPING);
  }

  keep(token, draft) {
    this.pending = { token, draft };
    store(sessionStorage, DRAFT + token, draft);
    find("#rate-draft").textContent = "…";
  }

  drop(token) {
    if (this.pending?.token === token) this.pending = null;
    store(sessionStorage, DRAFT + token, null);
  }

  // A page that is closed within a moment of the last change: it still sends it.
  leave() {
    if (this.pending) this.send("draft", this.pending, { keepalive: true }).catch(() => {});
  }

  // Ends once all that was changed is acknowledged, or refused. There is one at a time.
  saveDraft() {
    clearTimeout(this.typing);
    this.drafting ??= this.sendDrafts().finally(() => (this.drafting = null));
    return this.drafting;
  }

  async sendDrafts() {
    for (let wait = FIRST_WAIT; this.pending; ) {
      const sent = this.pending;
      // What is said is only of the item in sight: a reply may come long after it was left.
      const newest = () => this.pending === sent;
      const inSight = () => newest() && this.answer?.token === sent.token && find("#rate-form");
      try {
        await this.send("draft", sent);
        if (inSight()) {
          this.say("");
          find("#rate-draft").textContent = "draft saved";
        }
        if (newest()) this.drop(sent.token);
      } catch (error) {
        if (!(error instanceof Refused)) {
          if (inSight()) this.say(AGAIN, "bad");
          if (newest()) await this.pause(wait);
          wait = Math.min(2 * wait, LONGEST_WAIT);
          continue;
        }
        const seen = inSight();
        if (newest()) this.pending = null;
        if (!seen) continue;
        find("#rate-draft").textContent = "";
        if (this.busy) continue; // what the act is answered says it
        if (error.code === "who" || MOVED_ON.includes(error.code)) this.refused("draft", error);
        else this.say("Not saved", "bad");
      }
    }
  }
}
