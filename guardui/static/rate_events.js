// What is clicked, changed and pressed in the Rate tab. Follows rate_screens.js.
// A second press that was meant for the screen before, where pairs and answers follow each other.
const soon = (rater) => ["item", "practice", "after", "feedback"].includes(rater.answer?.screen)
  && performance.now() - rater.shownAt < DOUBLE;

const missing = (fields) => {
  const place = find("#rate-missing");
  const [first] = fields;
  if (!first) return false;
  const group = first.closest("fieldset");
  const criterion = first.closest(".rate-criterion")?.dataset.criterion;
  const side = group.querySelector("legend").firstChild.textContent;
  place.textContent = criterion ? `Still to be given: ${criterion} of ${side}` : "Choose an answer first";
  first.focus();
  return true;
};

// The first radio button of each group in which none is chosen.
const unanswered = (form) => [...form.querySelectorAll("fieldset")]
  .filter((group) => group.querySelector("input[type=radio]") && !group.querySelector("input:checked"))
  .map((group) => group.querySelector("input"));

const SENDING = {
  skip: (fields, rater) => ({ token: rater.answer.token, reason: fields.get("reason"), note: fields.get("note") }),
  withdraw: (fields) => ({ erase: fields.get("erase") === "on" }),
  consent: (fields) => ({ agreed: fields.get("agreed") === "on", topics: fields.getAll("topic") }),
  join: (fields) => ({ study: Number(fields.get("study")), name: fields.get("name") ?? "" }),
  revise: (fields, rater) => ({ token: rater.answer.token, overall: Number(fields.get("second")) }),
};

const submitted = (rater, form) => {
  if (soon(rater) || rater.busy) return;
  const token = rater.answer?.token;
  if (form.id === "rate-form") {
    // The question last: it is what is decided by all that stands before it.
    if (!missing(unanswered(form))) rater.act("submit", { token, ...rater.collect() });
  } else if (form.id === "rate-after") {
    if (missing(unanswered(form))) return;
    const fields = new FormData(form);
    if (!fields.has("support-left")) return void rater.act("next");
    const [left, right] = ["left", "right"].map((side) => Number(fields.get(`support-${side}`)));
    rater.act("support", { token, left, right });
  } else if (form.dataset.send === "enter") {
    const given = new FormData(form).get("code").trim();
    rater.act("enter", {}, { as: { code: given.match(/[?&#]rate=([\w-]+)/)?.[1] ?? given } });
  } else if (form.dataset.send === "revise" && !form.querySelector("input:checked")) {
    form.querySelector("input").focus();
  } else rater.act(form.dataset.send, SENDING[form.dataset.send](new FormData(form), rater));
};

const ask = (name, rater) => {
  if (name === "skip" && !find("#rate-form")) return;
  const box = document.getElementById(`rate-${name}`);
  if (rater.busy) return;
  box.querySelector("form")?.reset();
  const own = box.querySelector(".rate-own"), code = stored(localStorage, CODE);
  if (own) own.hidden = !code;
  if (own && code) own.querySelector("code").textContent = linkOf(code);
  if (name === "help") find("#rate-keys").checked = !stored(localStorage, KEYS_OFF);
  document.querySelectorAll(".rate-dialog[open]").forEach((other) => other.close());
  box.showModal();
};

const clicked = (rater, target) => {
  const on = (query) => target.closest(query);
  let hit;
  if (on("[data-reveal]")) rater.reveal();
  else if ((hit = on("[data-open]"))) ask(hit.dataset.open, rater);
  else if (on("[data-shut]")) on("dialog").close();
  else if (on("[data-forget]")) {
    rater.become(null);
    on("dialog").close();
    rater.act("enter");
  } else if (on("[data-again]")) rater.open();
  else if (on("[data-another]")) rater.act("enter", {}, { as: {} });
  else if ((hit = on("[data-act]"))) {
    const { act, go_on, rest } = hit.dataset;
    if (!soon(rater)) rater.act(act, { go_on: Boolean(go_on), rest: Boolean(rest) });
  }
};

// Where a layout has other signs on our keys, their place counts. A Latin letter means itself.
const PLACES = { KeyR: "r", KeyB: "b", KeyS: "s", KeyU: "u", ...Object.fromEntries(
  [1, 2, 3, 4, 5].map((value) => [`Digit${value}`, String(value)])) };
const meant = ({ key, code, shiftKey }, ours) => {
  const sign = key.length === 1 ? key.toLowerCase() : key;
  return sign in ours || shiftKey || /^[a-z]$/.test(sign) ? sign : PLACES[code];
};

const pressed = (rater, event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (event.defaultPrevented || stored(localStorage, KEYS_OFF) || !shown()) return;
  if (document.querySelector("dialog[open]")) return;
  const target = event.target instanceof Element ? event.target : document.body;
  if (target.closest("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])")) return;
  const form = find("#rate-form") ?? find("#rate-after"), only = find(".rate-plain [data-act]");
  const group = target.closest(".rate-levels"); // has levels of its own under the same keys
  const choose = (value) => () => {
    const within = group ?? find(":is(#rate-form, .rate-change[open]) .rate-overall");
    const field = within?.querySelector(`input[value="${value}"]`);
    field?.click();
    field?.focus({ preventScroll: true });
  };
  // Enter means what it means wherever something has it already: on a button, in a field.
  const own = target.closest("button, a, summary, input, [role=tab]");
  const ours = {
    r: () => rater.reveal(),
    b: choose(0),
    s: () => ask("skip", rater),
    u: () => find("#rate-form") && rater.act("undo"),
    "?": () => ask("help", rater),
    Enter: !own && (form ? () => form.requestSubmit() : only && (() => only.click())),
    ...Object.fromEntries([1, 2, 3, 4, 5].map((value) => [String(value), choose(value)])),
  };
  const doing = ours[meant(event, ours)];
  if (!doing) return;
  event.preventDefault();
  doing();
};

// The address says that this tab is in front, so that a reload comes back to it.
const writeAddress = () => {
  const url = new URL(location.href);
  if (shown()) url.searchParams.set("tab", "rate");
  else if (url.searchParams.get("tab") === "rate") url.searchParams.delete("tab");
  // A personal link's code, which people would share with it.
  url.searchParams.delete("rate");
  if (/[#&]rate=/.test(url.hash)) url.hash = "";
  if (url.href !== location.href) history.replaceState(history.state, "", url);
};

const brought = () => {
  const url = new URL(location.href);
  const code = new URLSearchParams(url.hash.slice(1)).get("rate") ?? url.searchParams.get("rate");
  writeAddress();
  return code;
};

// Another's link takes the place of one's own only when asked: that may be the only copy of it.
const arrive = (rater, code, options) => {
  const own = stored(localStorage, CODE);
  if (!code || !own || code === own) {
    if (code && !own) rater.become(code);
    return void rater.open(options);
  }
  if (rater.busy) return;
  ask("swap", rater);
  const box = find("#rate-swap");
  box.querySelector("[data-take]").onclick = () => {
    rater.become(code);
    box.close();
  };
  box.addEventListener("close", () => rater.open(options), { once: true });
};

const listen = (rater) => {
  const within = (event) => event.target instanceof Element && app()?.contains(event.target);
  document.addEventListener("click", (event) => {
    if (within(event)) clicked(rater, event.target);
    // The tab comes to the front after this click, and others write the address at once.
    else if (event.target.closest?.("#tabs > .tab-wrapper [role=tab]")) setTimeout(writeAddress, 50);
  });
  document.addEventListener("submit", (event) => {
    if (!within(event)) return;
    event.preventDefault();
    submitted(rater, event.target);
  });
  document.addEventListener("input", (event) => {
    if (!within(event)) return;
    if (event.target.id === "rate-keys") store(localStorage, KEYS_OFF, event.target.checked ? null : true);
    else if (event.target.closest(".rate-mark")) rater.showMark(event.target);
    if (event.target.closest("#rate-form, .rate-mark")) rater.changed();
    else if (event.target.closest("#rate-after")) find("#rate-missing").textContent = "";
  });
  document.addEventListener("keydown", (event) => pressed(rater, event));
  addEventListener("pagehide", () => rater.leave());
  addEventListener("hashchange", () => {
    const code = brought();
    if (code) arrive(rater, code, {});
  });
  addEventListener("online", () => rater.hurry());
  document.addEventListener("visibilitychange", () => document.hidden || rater.hurry());
};

const code = brought();
const firstTime = !window.guarduiRate;
window.guarduiRate ??= new Rater();
if (firstTime) listen(window.guarduiRate);
window.guarduiRate.busy = false;
// Not before somebody looks: an item is theirs for a while from when it is asked for.
const looks = new IntersectionObserver((entries) => {
  if (!entries.some((one) => one.isIntersecting)) return;
  looks.disconnect();
  writeAddress();
  arrive(window.guarduiRate, code, { focus: false });
});
looks.observe(app());
