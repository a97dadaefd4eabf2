// Keys of the Rate tab: 1 to 5 rate, R shows or hides the conversation.
if (!window.guarduiRateKeys) {
  window.guarduiRateKeys = true;
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest("input, textarea, select, [contenteditable]")) return;
    const scale = document.getElementById("rate-scale");
    if (!scale || scale.offsetParent === null) return; // another tab is open, or nothing to rate
    if (event.key === "r" || event.key === "R") {
      document.querySelector("#rate-conversation summary")?.click();
    } else if (/^[1-5]$/.test(event.key)) {
      document.getElementById(`rate-${event.key}`)?.click();
    }
  });
}
