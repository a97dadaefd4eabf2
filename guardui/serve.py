"""Serving the page: what `python app.py` and `guardui serve` both do."""

from __future__ import annotations

import logging
import os
import socket

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

    from db.session import open_database
    from guardui.access import Role, role_of
    from guardui.api import health_route
    from guardui.compare_downloads import report_routes
    from guardui.group_downloads import group_routes
    from guardui.job_downloads import curve_routes
    from guardui.layout import build_page
    from guardui.rate_routes import rate_routes
    from guardui.study_downloads import study_routes
    from guardui.tabs.sample_versions import download_routes
    from guardui.theme import GuardTheme, head
    from pipelines.jobs.supervisor import Supervisor

    database = open_database(settings.database_url)
    supervisor = Supervisor(database)
    if role_of(settings) is Role.RESEARCHER:
        supervisor.start()  # the public launches nothing; a researcher's page may run beside it
    try:
        page = build_page(database, settings)
        page.queue(default_concurrency_limit=8, max_size=64)
        logger.info("GuardUI answers at http://%s:%d", host, port)
        page.launch(
            server_name=host,
            server_port=port,
            theme=GuardTheme(),
            head=head(),
            footer_links=[] if settings.demo else ["api"],
            # It would keep what people moderate in their browser's storage.
            run_history=False,
            ssr_mode=False,
            quiet=True,
            show_error=True,
            share=False,
            max_file_size="2gb",
            app_kwargs={
                "routes": [
                    health_route(database),
                    *download_routes(database, settings),
                    *curve_routes(database, settings),
                    *group_routes(database, settings),
                    *report_routes(database, settings),
                    *study_routes(database, settings),
                    *rate_routes(database, settings),
                ]
            },
        )
    finally:
        supervisor.stop()
        database.dispose()


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
