"""Which paths of the served app are for whom. What has no rule here is refused.

A test asks for a rule of every route that the app has, Gradio's own among them: a new version of
Gradio that brings new ones fails it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from guardui.access import Role

KB, MB = 1_000, 1_000_000
ANY_SCOPE = "any"
"""A key of any scope passes; the listener that it calls asks for the scope."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The least role for a path; None lets nobody through. `scope` is what an API key needs,
    `body` the most bytes that may be sent, by role where a researcher may send more."""

    least: Role | None
    scope: str = ""
    body: int = 64 * KB
    researchers_body: int = 0
    moderation: bool = False
    """Asks, beside the role, whether people without a login may moderate at all."""

    def most(self, role: Role) -> int:
        """The most bytes that this role may send."""
        return max(self.body, self.researchers_body if role is Role.RESEARCHER else 0)


PUBLIC, ANNOTATOR, RESEARCHER = Role.PUBLIC, Role.ANNOTATOR, Role.RESEARCHER
NOBODY = Rule(None)
READS, WRITES, BOTH = ("GET", "HEAD"), ("POST",), ("GET", "HEAD", "POST")

_page = Rule(PUBLIC, ANY_SCOPE)
_listener = Rule(PUBLIC, ANY_SCOPE, body=1 * MB, researchers_body=64 * MB)
_own = Rule(PUBLIC, body=8 * KB)
_download = Rule(RESEARCHER, "jobs")
_moderation = Rule(PUBLIC, "moderate", body=4 * MB, moderation=True)

# (methods, path as a pattern, rule); the first that matches counts.
TABLE: list[tuple[tuple[str, ...], str, Rule]] = [
    # Ours: coming and going, ratings, moderation for programs, files to take along.
    (BOTH, "/(login|logout|join)", _own),
    (WRITES, "/rate/api/[a-z_]+", Rule(PUBLIC)),
    (READS, "/healthz", Rule(PUBLIC, ANY_SCOPE)),
    (READS, "/metrics", Rule(RESEARCHER, ANY_SCOPE)),
    (READS, "/(v1/)?openapi.json|/(v1/)?docs", Rule(PUBLIC, ANY_SCOPE)),
    (READS, "/v1/models", _moderation),
    (WRITES, "/v1/(moderations|guard)|/beta/litellm_basic_guardrail_api", _moderation),
    (("GET", "HEAD", "POST", "DELETE"), "/mcp/?", _moderation),
    (READS, "/(pair-sets/.+|(jobs|groups|studies)/[0-9]+/.+|compare/report.[a-z]+)", _download),
    # Gradio's login with the Hub, which is there on a Space.
    (READS, "/login/(huggingface|callback)", Rule(PUBLIC)),
    # Gradio's page and what it is made of: the same files for everybody.
    (READS, "/|/config/?|/theme.css|/robots.txt|/manifest.json|/favicon.ico", _page),
    (READS, "/(static|assets|svelte)/.+|/pwa_icon(/.*)?", _page),
    (READS, "/gradio_api/(info/?|theme.css|app_id/?|startup-events|openapi.json)", _page),
    (READS, "/gradio_api/(user|login_check)/?|/gradio_api/heartbeat/[^/]+", _page),
    # Gradio's listeners. The page that is asked says which it has, and checks again.
    (WRITES, "/gradio_api/queue/join", _listener),
    (READS, "/gradio_api/queue/(data|status)", _page),
    (WRITES, "/gradio_api/(run|api|call|call/v2)/[^/]+/?", _listener),
    (READS, "/gradio_api/call/(v2/)?[^/]+/[^/]+", _page),
    (WRITES, "/gradio_api/(cancel|reset/?)", Rule(PUBLIC, ANY_SCOPE)),
    # Files: only researchers send any, or fetch what was sent.
    (WRITES, "/gradio_api/upload/?", Rule(RESEARCHER, body=2_000 * MB)),
    (READS, "/gradio_api/upload_progress", Rule(RESEARCHER)),
    (READS, "/gradio_api/file=.*", Rule(RESEARCHER)),
    # Parts of Gradio that nothing here uses: proxies, streams, monitoring, editing by a model.
    (READS, "/gradio_api/(proxy=|file/|stream/|dev/reload|custom_component/).*", NOBODY),
    (READS, "/gradio_api/(token|deep_link)/?", NOBODY),
    (BOTH, "/gradio_api/(runs|run-history|vibe|undo-vibe|profiling|component_server).*", NOBODY),
    (WRITES, "/gradio_api/(stream/.+|process_recording/?)|/login/", NOBODY),
    (READS, "/monitoring(/.*)?|/docs/oauth2-redirect|/redoc", NOBODY),
]  # fmt: skip


@cache
def _compiled() -> list[tuple[tuple[str, ...], re.Pattern[str], Rule]]:
    return [(methods, re.compile(pattern), rule) for methods, pattern, rule in TABLE]


def rule_for(method: str, path: str) -> Rule | None:
    """The rule of a request; None where there is none, which refuses it too."""
    for methods, pattern, rule in _compiled():
        if method in methods and pattern.fullmatch(path):
            return rule
    return None


GRADIO = re.compile(
    r"/|/config/?|/theme.css|/manifest.json|/(static|assets|svelte|pwa_icon)(/.*)?|/gradio_api/.*"
)


def is_gradios(path: str) -> bool:
    """Whether the page answers this path, and not one of our routes; the login with the Hub
    belongs to the one page that is served to all."""
    return GRADIO.fullmatch(path) is not None
