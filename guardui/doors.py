"""How the page stands open: who is let in as what, and what is said about it at the start."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from guardui.access import Role, Visitor, public_may_classify
from guardui.identity import hub_account, on_space
from guardui.sessions import Sessions, cookie_of
from guardui.users import Users
from pipelines.schema import InputError
from pipelines.settings import Settings

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
OF_PROXIES = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "via")


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
    forwarded: bool
    """Whether a proxy says that the request is somebody else's."""

    @property
    def is_foreign(self) -> bool:
        """Whether a page of another origin sent it. A browser says so; other programs, which no
        foreign page can steer, say nothing."""
        if self.site in ("cross-site", "same-site"):
            return True
        return bool(self.origin) and self.origin.partition("://")[2].lower() != self.host


def client_key(address: str) -> str:
    """What a client is counted by: an IPv4 address, or the /64 of an IPv6 one, of which whoever
    has one has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


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
        client_key(client),
        secure,
        headers.get("origin", ""),
        headers.get("sec-fetch-site", ""),
        headers.get("sec-fetch-mode") == "navigate" and scope["method"] in ("GET", "HEAD"),
        cookie_of(headers.get("cookie", "")),
        bearer.strip() if kind.lower() == "bearer" else "",
        any(name in headers for name in OF_PROXIES),
    )


class Doors:
    """Tells who comes in. `open` means that whoever reaches this page is at this machine."""

    def __init__(self, settings: Settings, host: str) -> None:
        self.settings, self.host = settings, host
        self.users = Users(settings.users_file)
        self.sessions = Sessions(settings, self.users)
        self.logins = self.users.has_researcher
        self.open = is_loopback(host) and not (settings.demo or settings.proxy or self.logins)
        self._met: set[tuple[str, float]] = set()
        self._lock = Lock()
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
        """Raises InputError where others reach the page and no researcher can log in."""
        if self.settings.demo or self.has_researchers:
            return
        reason = "GUARDUI_PROXY is set" if is_loopback(self.host) else f"host={self.host}"
        raise InputError(
            f"{reason}: others would reach this page, and no researcher has a login yet",
            advice="Make one with `guardui users add NAME`, or a link that makes one with "
            "`guardui users invite --role researcher`. GUARDUI_DEMO=1 offers moderation and "
            "rating to everybody without a login. On 127.0.0.1, the default, no login is needed.",
        )

    def said(self) -> str:
        """One line for the start: who may come in."""
        if self.open:
            waiting = self.users.read().users
            more = " Logins count once a researcher has one." if waiting else ""
            return f"Open without a login, to this machine only.{more}"
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

    def first_seen(self, visitor: Visitor, session: Mapping[str, Any] | None) -> bool:
        """Whether a researcher's Hub login is met for the first time since the start. Others stay
        unnamed: of who rates only a hash is kept."""
        account = hub_account(session) if visitor.role is Role.RESEARCHER and on_space() else None
        if account is None or session is None or account[1] != visitor.name:
            return False
        login, present = (visitor.name, _expiry(session)), time.time()
        with self._lock:
            self._met = {one for one in self._met if one[1] > present}
            fresh = login not in self._met
            self._met.add(login)
        return fresh

    def _by_hub(self, session: Mapping[str, Any] | None) -> tuple[str, Role] | None:
        account = hub_account(session) if on_space() else None
        if account is None or session is None:
            return None
        info = session["oauth_info"]
        if _expiry(session) < time.time():
            return None
        groups = (info.get("userinfo") or {}).get("orgs") or []
        names = {account[1].lower()}
        # An organisation's `name` is free text that its owner chose; this is its address.
        names |= {str(one.get("preferred_username") or "").lower() for one in groups}
        names.discard("")
        return account[1], Role.RESEARCHER if names & self.hub_names else Role.PUBLIC


def _expiry(session: Mapping[str, Any]) -> float:
    return float(session["oauth_info"].get("expires_at") or 0)
