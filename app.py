"""The door: reads the settings and serves the page."""

from __future__ import annotations

import sys

from guardui.serve import log_to_terminal, serve
from pipelines.schema import GuardUIError
from pipelines.settings import get_settings


def main() -> int:
    """Serves until interrupted; 2 where what was given can't work."""
    log_to_terminal()
    try:
        serve(get_settings())
    except GuardUIError as error:
        sys.stderr.write(f"{error}\n{error.advice or ''}".strip() + "\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
