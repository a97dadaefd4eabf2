"""The door: reads the settings and serves the page."""

from __future__ import annotations

import logging
import sys

from guardui.serve import serve
from pipelines.schema import GuardUIError
from pipelines.settings import get_settings


def main() -> int:
    """Serves until interrupted; 2 where what was given can't work."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        serve(get_settings())
    except GuardUIError as error:
        sys.stderr.write(f"{error}\n{error.advice or ''}".strip() + "\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
