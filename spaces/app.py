"""GuardUI as a Hugging Face Space: the same page in demo mode, with Classify and Rate only.

A Space is a git repository of its own. What lies in this folder goes to its root, and the packages
`guardui/`, `pipelines/` and `db/` go beside it as they are, so they need no installation:

    README.md  requirements.txt  app.py  guardui/  pipelines/  db/

This folder has no `__init__.py` and is no package: there, `import spaces` must find the package of
that name from PyPI. Its being there proves nothing, so what runs where is told by the variables
that Hugging Face sets: `SPACE_ID` on every Space, `SPACES_ZERO_GPU` on those with borrowed GPUs.
The database stays on the container's own disk and starts anew with it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator

GPU_SECONDS = 60
"""Longest loan of a GPU for one moderation."""


def main() -> int:
    """Serves until interrupted; 2 where what was given can't work."""
    os.environ["GUARDUI_DEMO"] = "1"
    on_space = bool(os.environ.get("SPACE_ID"))
    if on_space:
        os.environ.setdefault("GUARDUI_HOST", "0.0.0.0")
        if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true", "yes"):
            moderate_on_borrowed_gpu()

    # After the GPU's package, which must come before all that may touch CUDA.
    from guardui.serve import serve
    from pipelines.schema import GuardUIError
    from pipelines.settings import get_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        serve(get_settings())
    except GuardUIError as error:
        print(f"{error}\n{error.advice or ''}".strip(), file=sys.stderr)  # noqa: T201
        return 2
    return 0


def moderate_on_borrowed_gpu() -> None:
    """Lets live moderation run where ZeroGPU lends a GPU: in a process of its own.

    Arguments travel there by pickle, so a moderator is named and opened there, once a process.
    """
    import spaces
    from pipelines.classify import Moderator, Progress, open_moderator
    from pipelines.settings import get_settings

    stream_here = Moderator.stream
    opened: dict[str, Moderator] = {}

    def moderate(
        name: str, prompt: str, response: str | None, max_new_tokens: int
    ) -> Iterator[Progress]:
        if name not in opened:
            opened[name] = open_moderator(name, get_settings(), device="cuda")
        yield from stream_here(opened[name], prompt, response, max_new_tokens=max_new_tokens)

    moderate_there = spaces.GPU(moderate, duration=GPU_SECONDS)

    def stream(
        self: Moderator,
        prompt: str,
        response: str | None = None,
        *,
        max_new_tokens: int = 1024,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress]:
        self.check(prompt, response)
        for progress in moderate_there(self.name, prompt, response, max_new_tokens):
            if should_stop():
                return
            yield progress

    Moderator.stream = stream  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
