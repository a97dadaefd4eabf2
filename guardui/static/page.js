// Theme choice, copy buttons and the marks that assistive technology needs. No dependencies.
(() => {
  const KEY = "guardui-theme";
  const url = new URL(location.href);
  const kept = localStorage.getItem(KEY);
  // The address wins over a kept choice, and that over the system.
  if (kept && !url.searchParams.has("__theme")) {
    url.searchParams.set("__theme", kept);
    history.replaceState(null, "", url);
    document.body.classList.toggle("dark", kept === "dark");
  }

  const toggleTheme = () => {
    const dark = document.body.classList.toggle("dark");
    const theme = dark ? "dark" : "light";
    localStorage.setItem(KEY, theme);
    const here = new URL(location.href);
    here.searchParams.set("__theme", theme);
    history.replaceState(null, "", here);
  };

  const copy = async (button) => {
    const source = button.closest("[data-copy-block]")?.querySelector("[data-copy-text]");
    if (!source) return;
    const text = source.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // On a page without TLS there is no clipboard: select the text, so that one key press copies it.
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      document.execCommand("copy");
    }
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1200);
  };

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    if (target.closest("[data-theme-toggle]")) toggleTheme();
    const copier = target.closest("[data-copy]");
    if (copier) copy(copier);
  });
})();
