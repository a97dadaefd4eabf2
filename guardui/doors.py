"""How the page stands open: who is let in as what, and what is said about it at the start."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardui.access import Role, Visitor, public_may_classify
from guardui.identity import hub_account, on_space
from guardui.sessions import Sessions, cookie_of
from guardui.users import Users
from pipelines.schema import InputError
from pipelines.settings import Settings

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of itself, in plain words; `host` is where it thinks it goes to."""

    method: str
    host: str
    client: str
    secure: bool
    origin: str
    site: str
    navigates: bool
    cookie: str
    bearer: str

    @property
    def is_foreign(self) -> bool:
        """Whether a page of another origin sent it. A browser says so; other programs, which no
        foreign page can steer, say nothing."""
        if self.site in ("cross-site", "same-site"):
            return True
        return bool(self.origin) and self.origin.partition("://")[2].lower() != self.host


def asked(scope: Mapping[str, Any], settings: Settings) -> Asked:
    """Reads a request. What a proxy says counts only where the settings or a Space say that one
    stands in front: of what it has appended, the last entries, as many as there are proxies."""
    headers = {
        key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]
    }
    proxies = settings.proxy or int(on_space())
    host, client = headers.get("host", ""), (scope.get("client") or ("",))[0]
    secure = scope.get("scheme") == "https"
    if proxies:
        host = headers.get("x-forwarded-host", host).split(",")[-1].strip()
        hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
        client = hops[-min(proxies, len(hops))] if hops else client
        secure = headers.get("x-forwarded-proto", "").split(",")[-1].strip() == "https" or secure
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    return Asked(
        scope["method"],
        host.lower(),
        client,
        secure,
        headers.get("origin", ""),
        headers.get("sec-fetch-site", ""),
        headers.get("sec-fetch-mode") == "navigate" and scope["method"] in ("GET", "HEAD"),
        cookie_of(headers.get("cookie", "")),
        bearer.strip() if kind.lower() == "bearer" else "",
    )


class Doors:
    """Tells who comes in. `open` means that whoever reaches this page is at this machine."""

    def __init__(self, settings: Settings, host: str) -> None:
        self.settings, self.host = settings, host
        self.users = Users(settings.users_file)
        self.sessions = Sessions(settings, self.users)
        self.logins = bool(self.users)
        self.open = is_loopback(host) and not (settings.demo or settings.proxy or self.logins)
        self.hub_names = {
            one.strip().lower() for one in settings.researchers.split(",") if one.strip()
        }

    @property
    def has_researchers(self) -> bool:
        """Whether any visitor can be a researcher."""
        return self.open or self.logins or bool(self.hub_names and on_space())

    @property
    def outer_role(self) -> Role:
        """The least role that sees the page which isn't the researchers'."""
        closed = self.settings.public == "none" and not self.settings.demo
        return Role.ANNOTATOR if closed else Role.PUBLIC

    def check(self) -> None:
        """Raises InputError where others reach the page and nobody has a login."""
        if self.open or self.settings.demo or self.logins:
            return
        reason = "GUARDUI_PROXY is set" if is_loopback(self.host) else f"host={self.host}"
        raise InputError(
            f"{reason}: others would reach this page, and nobody has a login yet",
            advice="Make one with `guardui users add NAME`, or a link that makes one with "
            "`guardui users invite`. GUARDUI_DEMO=1 offers moderation and rating to everybody "
            "without a login. On 127.0.0.1, the default, no login is needed.",
        )

    def said(self) -> str:
        """One line for the start: who may come in."""
        if self.open:
            return "Open without a login, to this machine only."
        free = "Rate" if self.settings.public == "rate" else "nothing"
        if public_may_classify(self.settings):
            free = "Classify and Rate"
        line = f"Without a login people may use: {free}."
        if self.logins:
            line += f" {len(self.users.read().users)} may log in ({self.users.path})."
        if self.hub_names and on_space():
            line += f" Researchers by their Hub login: {', '.join(sorted(self.hub_names))}."
        return line

    def host_allowed(self, request: Asked) -> bool:
        """Where no login is asked for, a page that has its own name point here (DNS rebinding) is
        known by that name."""
        if not self.open:
            return True
        name = request.host.rpartition(":")[0] if request.host.count(":") == 1 else request.host
        name = name.partition("]")[0].strip("[]")
        return name in LOCAL_NAMES or name.endswith(".localhost") or name == self.host

    def visitor(self, request: Asked, session: Mapping[str, Any] | None) -> Visitor:
        """Who this is, by cookie, Hub login or place; keys are looked at before."""
        # A page of another origin can have a browser send what it holds of ours; that page isn't
        # the person. A link that somebody follows is.
        if not request.is_foreign or request.navigates:
            user = self.sessions.user(request.cookie) if request.cookie else None
            if user is not None:
                return Visitor(user.role, user.name, request.client)
            named = self._by_hub(session)
            if named is not None:
                return Visitor(named[1], named[0], request.client)
            if self.open:
                return Visitor(Role.RESEARCHER, "local", request.client, at_machine=True)
        return Visitor(Role.PUBLIC, "", request.client)

    def _by_hub(self, session: Mapping[str, Any] | None) -> tuple[str, Role] | None:
        account = hub_account(session) if on_space() else None
        if account is None or session is None:
            return None
        info = session["oauth_info"]
        if float(info.get("expires_at") or 0) < time.time():
            return None
        groups = (info.get("userinfo") or {}).get("orgs") or []
        names = {account[1].lower()}
        names |= {str(one.get("preferred_username") or one.get("name")).lower() for one in groups}
        return account[1], Role.RESEARCHER if names & self.hub_names else Role.PUBLIC
