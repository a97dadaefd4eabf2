// The Studies tab: turning the pages of a study's items. Runs with `element` and `trigger`.
element.addEventListener("click", (event) => {
  const to = event.target.closest("[data-item]");
  if (to && !to.disabled) trigger("click", { item: Number(to.dataset.item) });
});
