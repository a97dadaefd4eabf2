// The Compare tab: what a cell says on hover and on focus, choosing a row, and revealing its texts.
// Runs with `element`, `trigger` and `watch` of each of its parts.
const GAP = 8;
const tip = () => {
  let one = document.getElementById("cmp-tip");
  if (!one) {
    one = Object.assign(document.createElement("div"), { id: "cmp-tip", hidden: true });
    one.setAttribute("role", "tooltip");
    document.body.append(one);
  }
  return one;
};
const hide = () => { tip().hidden = true; };

const show = (cell) => {
  const one = tip();
  one.replaceChildren(...cell.dataset.tip.split("; ").map((line) =>
    Object.assign(document.createElement("div"), { textContent: line })));
  one.hidden = false;
  const at = cell.getBoundingClientRect(), box = one.getBoundingClientRect();
  const left = Math.min(Math.max(GAP, at.right - box.width), innerWidth - box.width - GAP);
  const above = at.top - box.height - GAP;
  one.style.left = `${Math.max(GAP, left)}px`;
  one.style.top = `${above > GAP ? above : at.bottom + GAP}px`;
};

const cellOf = (event) => event.target instanceof Element && event.target.closest("[data-tip]");
element.addEventListener("pointerover", (event) => {
  const cell = cellOf(event);
  if (cell) show(cell);
});
element.addEventListener("pointerout", (event) => {
  if (!cellOf(event)) return;
  const focused = document.activeElement;
  if (focused?.dataset?.tip && element.contains(focused)) show(focused);
  else hide();
});
element.addEventListener("focusin", (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  cell.closest("[data-cells]")?.querySelectorAll("[data-tip][tabindex='0']").forEach((one) => { one.tabIndex = -1; });
  cell.tabIndex = 0;
  show(cell);
});
element.addEventListener("focusout", hide);

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
element.addEventListener("keydown", (event) => {
  const cell = cellOf(event), move = MOVES[event.key];
  if (event.key === "Escape") hide();
  if (!cell || !move) return;
  event.preventDefault();
  const [down, right] = move;
  let row = cell.closest("tr"), place = cell.closest("td").cellIndex;
  // Cells without a value are passed over.
  for (;;) {
    row = down > 0 ? row.nextElementSibling : down < 0 ? row.previousElementSibling : row;
    place += right;
    const next = row?.cells[place];
    if (!next) return;
    const found = next.querySelector("[data-tip]");
    if (found) { found.focus(); return; }
  }
});

element.addEventListener("click", (event) => {
  const target = event.target.closest("[data-kind], [data-page], [data-open], [data-reveal], [data-more]");
  if (!target || target.disabled) return;
  const { kind, page, open } = target.dataset;
  if (kind) trigger("click", { ask: { kind, page: 1 } });
  else if (page) trigger("click", { ask: { page: Number(page) } });
  else if (open) trigger("click", { ask: { opened: open } });
  else if ("more" in target.dataset) {
    target.parentElement.querySelector("[data-rest]").hidden = false;
    target.remove();
  } else reveal(target.closest(".hs-root"));
});

const reveal = (root) => {
  const shown = root.dataset.shown !== "yes";
  root.dataset.shown = shown ? "yes" : "no";
  const button = root.querySelector(".hs-actions [data-reveal]");
  button.setAttribute("aria-pressed", shown);
  button.textContent = shown ? "Hide texts" : "Reveal texts";
};

// A row that was opened is read next: below the list on a narrow screen, beside it else.
watch("value", () => setTimeout(() => {
  hide();
  const title = element.querySelector(".hs-root h2");
  if (!title) return;
  title.focus({ preventScroll: true });
  if (innerWidth < 1000) element.scrollIntoView({ block: "start" });
}));
