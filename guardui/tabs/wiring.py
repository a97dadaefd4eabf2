"""What the tabs' listeners share: their settings, picking a row, and errors said to people."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import gradio as gr

from guardui.render import fault_note, note
from pipelines.schema import GuardUIError

logger = logging.getLogger(__name__)

# Listeners are no API: the few endpoints that are stand in guardui/api.py.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 8}
# A toast can only be sent to a listener that is in the queue.
SAYING: dict[str, Any] = PRIVATE | {"show_progress": "hidden"}
# Those that answer at once go past the queue and show no progress.
QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "queue": False,
    "show_progress": "hidden",
}


def html(value: Any = None, **options: Any) -> gr.HTML:
    """An HTML part without Gradio's prose styles and without its click event, unless asked."""
    return gr.HTML(value, **{"js_on_load": None, "apply_default_css": False, **options})


def dropdown(part: tuple[Any, Any], had: Any) -> gr.Dropdown:
    """(choices, value) as an update of a list that stood at `had` when its listener was called.

    A value that is the same isn't sent: where a timer's answer comes after a newer choice, it
    would put the old one back.
    """
    choices, value = part
    return gr.Dropdown(choices=list(choices), **({} if value == had else {"value": value}))


# A click on a row, or on the button in it, tells the listener which row it was.
PICK_ROW = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-pick]');
  if (row) trigger('click', {id: Number(row.dataset.pick)});
});
"""


class told:
    """A block whose errors are told to the person: a toast, and `note` to show where it happened.

    The page's outer edge: what is no GuardUIError is logged with its traceback.
    """

    note = ""

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> told:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, GuardUIError):
            self.note = fault_note(error)
            gr.Warning(_short(str(error)), title=self.title)
            return True
        if isinstance(error, Exception) and not isinstance(error, gr.Error):
            logger.error("%s", self.title, exc_info=error)
            self.note = note("bad", "Something went wrong", ["The server's log has the details."])
            gr.Warning("Something went wrong; the server's log has the details.", title=self.title)
            return True
        return False


def _short(text: str, limit: int = 220) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
