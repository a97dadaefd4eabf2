"""Serving the page: what `python app.py` and `guardui serve` both do."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.schema import InputError
from pipelines.settings import Settings

logger = logging.getLogger(__name__)


def log_to_terminal() -> None:
    """What the app says of itself, without the chatter of what it is made of."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("alembic", "httpx", "httpx2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def serve(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    """Opens the database, looks after the jobs, and answers until interrupted.

    Raises InputError where the port is taken. Jobs live in processes of their own: they go on
    when this ends, and the next start takes them up again.
    """
    host, port = host or settings.host, port or settings.port
    check_port(host, port)
    # Gradio reads these when it is imported; neither is to be called from here.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Gradio asks matplotlib for its backend at each request; undecided, it loads all of pyplot.
    os.environ.setdefault("MPLBACKEND", "agg")

    # Who a proxy says a request is from is for the gate to believe, or not.
    os.environ["FORWARDED_ALLOW_IPS"] = ""

    with _unseen("mcp"):
        import gradio  # noqa: F401

    from db.session import open_database
    from guardui.doors import Doors
    from guardui.house import build_house
    from pipelines.jobs.backup import keeping
    from pipelines.jobs.supervisor import Supervisor

    doors = Doors(settings, host)
    doors.check()
    with keeping(settings) as saved:
        database = open_database(settings.database_url)
        supervisor = Supervisor(database)
        if doors.has_researchers:
            supervisor.start()  # the public launches nothing; a researcher's page may run beside it
        try:
            house = build_house(database, settings, doors, saved)
            logger.info("GuardUI answers at http://%s:%d", host, port)
            logger.info("%s", doors.said())
            try:
                house.page.launch(server_name=host, server_port=port, **house.options)
            finally:
                house.live.close()
        finally:
            supervisor.stop()
            database.dispose()


@contextmanager
def _unseen(module: str) -> Iterator[None]:
    """Inside, this library is as if it weren't installed. Gradio takes in all of MCP's where it
    can, for a server of its own: 24 MB and a second, of which nothing here is used."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def check_port(host: str, port: int) -> None:
    """Raises InputError where nothing can listen at this address and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise InputError(f"port={port}: not permitted, must be 1024 or more") from None
        except OSError as error:
            if error.errno == 98 or "in use" in str(error):
                raise InputError(
                    f"port={port}: already in use, another program listens at {host}:{port}",
                    advice="Stop that program, or name another port: --port or GUARDUI_PORT.",
                ) from None
            raise InputError(f"host={host}: can't be listened at ({error.strerror})") from None
