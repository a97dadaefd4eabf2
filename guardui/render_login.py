"""The pages of coming and going: log in, log out, take up an invite. They need no JavaScript."""

from __future__ import annotations

from functools import cache

from guardui.access import Role
from guardui.render import esc
from guardui.theme import STATIC, TOKENS
from guardui.users import SHORTEST

PASSWORD = (
    '<label for="password">Password</label><input id="password" name="password" type="password" '
)


@cache
def _style() -> str:
    light, dark = (
        "".join(f"--gu-{name}:{pair[at]};" for name, pair in TOKENS.items()) for at in (0, 1)
    )
    return (
        f":root{{{light}color-scheme:light dark}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    ) + (STATIC / "login.css").read_text(encoding="utf-8")


def _page(title: str, body: str, foot: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>{esc(title)} · GuardUI</title><style>{_style()}</style></head><body><main>"
        f'<p class="logo">GuardUI</p><div class="card">{body}</div>'
        f"{f'<p class=foot>{foot}</p>' if foot else ''}</main></body></html>"
    )


def _note(fault: str) -> str:
    return f'<p class="note" role="alert">{esc(fault)}</p>' if fault else ""


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{esc(value)}">'


def login_page(goes_to: str, fault: str = "", name: str = "", *, hub: bool, free: bool) -> str:
    """Name and password; `hub` offers the Hub's login, `free` a way on without one."""
    by_hub = (
        '<a class="button quiet" href="/login/huggingface?_target_url=/">'
        "Log in with Hugging Face</a>"
        if hub
        else ""
    )
    return _page(
        "Log in",
        "<h1>Log in</h1>"
        '<p class="lead">For researchers and annotators of this GuardUI.</p>'
        f'{_note(fault)}<form method="post" action="/login">{_hidden("next", goes_to)}'
        '<label for="name">Name</label>'
        f'<input id="name" name="name" value="{esc(name)}" autocomplete="username" maxlength="40" '
        f'autocapitalize="none" spellcheck="false" required{"" if name else " autofocus"}>'
        f'{PASSWORD}autocomplete="current-password" maxlength="200" required'
        f"{' autofocus' if name else ''}>"
        f"<button>Log in</button></form>{by_hub}",
        '<a href="/">Go on without a login</a>' if free else "",
    )


def join_page(secret: str, role: Role | None, fault: str = "", name: str = "") -> str:
    """Choosing a name and a password by an invite; without a role the link doesn't count."""
    if role is None:
        return _page(
            "Invite",
            "<h1>This link doesn't count</h1>"
            '<p class="lead">It was used, has expired, or never was an invite.</p>'
            '<p class="hint">Ask whoever sent it for a new one.</p>'
            '<a class="button" href="/login">Log in instead</a>',
        )
    return _page(
        "Join",
        f'<h1>Welcome</h1><p class="lead">You are invited as {esc(role)}. Choose how you log in.'
        f'</p>{_note(fault)}<form method="post" action="/join">{_hidden("invite", secret)}'
        '<label for="name">Name</label>'
        f'<input id="name" name="name" value="{esc(name)}" autocomplete="username" maxlength="40" '
        'autocapitalize="none" spellcheck="false" required autofocus>'
        '<p class="hint">Letters, digits, dots, dashes or @.</p>'
        f'{PASSWORD}autocomplete="new-password" minlength="{SHORTEST}" maxlength="200" required>'
        f'<p class="hint">At least {SHORTEST} characters.</p>'
        "<button>Make my login</button></form>",
    )


def logout_page(name: str) -> str:
    """Asks once, for a link alone must not log anybody out."""
    return _page(
        "Log out",
        f'<h1>Log out?</h1><p class="lead">You are logged in as {esc(name)}.</p>'
        '<form method="post" action="/logout"><button>Log out</button></form>'
        '<a class="button quiet" href="/">Stay</a>',
    )
