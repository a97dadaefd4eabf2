"""GuardUI as a Hugging Face Space: Classify, Rate and Compare for everybody, all for its owner.

A Space is a git repository of its own. What lies in this folder goes to its root, and the packages
`guardui/`, `pipelines/` and `db/` go beside it as they are, so they need no installation:

    README.md  requirements.txt  app.py  guardui/  pipelines/  db/

`guardui space deploy` puts them there. This folder has no `__init__.py` and is no package: there,
`import spaces` must find the package of that name from PyPI. Its being there proves nothing, so
what runs where is told by the variables that Hugging Face sets: `SPACE_ID` and `SPACE_HOST` on
every Space, `SPACES_ZERO_GPU` on those with borrowed GPUs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pipelines.classify import Moderator, Progress
    from pipelines.schema import Verdict

GPU_SECONDS = 60
"""Longest loan of a GPU for one moderation."""


def main() -> int:
    """Serves until interrupted; 2 where what was given can't work."""
    os.environ["GUARDUI_DEMO"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the log is no terminal
    if os.environ.get("SPACE_ID"):
        os.environ.setdefault("GUARDUI_HOST", "0.0.0.0")
        if host := os.environ.get("SPACE_HOST"):
            os.environ.setdefault("GUARDUI_RATE_URL", f"https://{host}")
        if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true", "yes"):
            # Nothing may touch CUDA here: the loan is another process's.
            os.environ["GUARDUI_CLASSIFY_DEVICE"] = "cpu"
            moderate_on_borrowed_gpu()

    # After the GPU's package, which must come before all that may touch CUDA.
    from guardui.serve import log_to_terminal, serve
    from pipelines.schema import GuardUIError
    from pipelines.settings import get_settings

    log_to_terminal()
    # A Space that is restarted is told so: what isn't in the backup yet goes there.
    signal.signal(signal.SIGTERM, _end)
    try:
        serve(get_settings())
    except GuardUIError as error:
        sys.stderr.write(f"{error}\n{error.advice or ''}".strip() + "\n")
        return 2
    return 0


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


def moderate_on_borrowed_gpu() -> None:
    """Lets live moderation run where ZeroGPU lends a GPU: in a process of its own, one at a time.

    Arguments travel there by pickle, so a moderator is named and opened there, once a process. The
    one opened here reads templates and counts tokens, and never generates.
    """
    import spaces
    from pipelines.classify import Moderator, open_moderator
    from pipelines.settings import get_settings

    stream_there, fast_there = Moderator.stream, Moderator.fast
    opened: dict[str, Moderator] = {}

    def opened_there(name: str) -> Moderator:
        if name not in opened:
            opened[name] = open_moderator(name, get_settings(), device="cuda")
        return opened[name]

    def moderate(
        name: str, prompt: str, response: str | None, max_new_tokens: int, probabilities: bool
    ) -> Iterator[Progress]:
        yield from stream_there(
            opened_there(name),
            prompt,
            response,
            max_new_tokens=max_new_tokens,
            probabilities=probabilities,
        )

    def weigh(name: str, prompt: str, response: str | None) -> Verdict:
        return fast_there(opened_there(name), prompt, response)

    borrowed_stream = spaces.GPU(moderate, duration=GPU_SECONDS)
    borrowed_fast = spaces.GPU(weigh, duration=GPU_SECONDS)

    def stream(
        self: Moderator,
        prompt: str,
        response: str | None = None,
        *,
        max_new_tokens: int = 1024,
        should_stop: Callable[[], bool] = lambda: False,
        probabilities: bool = False,
    ) -> Iterator[Progress]:
        self.check(prompt, response)
        for progress in borrowed_stream(self.name, prompt, response, max_new_tokens, probabilities):
            if should_stop():
                return
            yield progress

    def fast(self: Moderator, prompt: str, response: str | None = None) -> Verdict:
        self.check(prompt, response)
        found: Verdict = borrowed_fast(self.name, prompt, response)
        return found

    def together(self: Moderator) -> None:
        """Each visitor borrows for themselves, so nothing is moderated together."""

    Moderator.stream = stream  # type: ignore[method-assign]
    Moderator.fast = fast  # type: ignore[method-assign]
    Moderator.together = together  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
