"""The gate before a page that only says who it takes its visitor for: no Gradio, no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from limits.storage import MemoryStorage
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from db import api_keys
from db.audit import entries
from db.session import Database, open_database
from guardui import access
from guardui import login_routes as login_routes_module
from guardui.access import RateLimited, Role, Visitor, acting_as, current
from guardui.access_routes import researchers_only
from guardui.doors import Doors, asked, client_key
from guardui.gate import Gate
from guardui.gate_headers import BODY_SECONDS
from guardui.login_routes import login_routes
from guardui.sessions import COOKIE
from pipelines.schema import InputError
from pipelines.settings import Settings

PASSWORD = "correct horse"
Served = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real figures take a tenth of a second each."""
    from argon2 import PasswordHasher

    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("guardui.users.hasher", lambda: quick)


@pytest.fixture
def database(home: Settings) -> Iterator[Database]:
    opened = open_database(home.database_url)
    access.limiter.cache_clear()
    login_routes_module._known.clear()
    yield opened
    opened.dispose()


@pytest.fixture
def served(home: Settings, database: Database) -> Served:
    """A client of a gated app whose every path tells its visitor."""

    async def told(request: Request) -> Response:
        await request.body()
        visitor = current()
        return PlainTextResponse(f"{visitor.role} {visitor.name} {visitor.client}")

    @researchers_only
    def download(_request: Request) -> Response:
        return PlainTextResponse("curve")

    def serve(host: str = "127.0.0.1", **settings: object) -> TestClient:
        doors = Doors(home.model_copy(update=settings), host)
        routes = [
            *login_routes(database, doors),
            Route("/jobs/1/curves.csv", download),
            Route("/{path:path}", told, methods=["GET", "POST"]),
        ]
        gate = Middleware(Gate, doors=doors, database=database, full={})
        app = Starlette(routes=routes, middleware=[gate])
        return TestClient(app, base_url="http://localhost:7860", follow_redirects=False)

    return serve


def log_in(client: TestClient, name: str = "ada", password: str = PASSWORD) -> Response:
    return client.post("/login", data={"name": name, "password": password})


@pytest.fixture
def lab(served: Served, home: Settings) -> TestClient:
    """A page that others reach, where ada is a researcher and ben an annotator."""
    doors = Doors(home, "0.0.0.0")
    doors.users.add("ada", Role.RESEARCHER, PASSWORD)
    doors.users.add("ben", Role.ANNOTATOR, PASSWORD)
    return served("0.0.0.0", proxy=1)


# At the machine itself


def test_at_this_machine_nobody_logs_in(served: Served) -> None:
    assert served().get("/").text == "researcher local testclient"


@pytest.mark.parametrize("host", ["evil.com", "evil.com:7860", "localhost.evil.com", "", "[::2]:1"])
def test_a_name_that_was_rebound_to_this_machine_is_refused(served: Served, host: str) -> None:
    answer = served().get("/config", headers={"Host": host})
    assert answer.status_code == 421
    assert "this GuardUI answers on localhost only" in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7860", "[::1]:7860", "a.localhost:1"])
def test_this_machine_is_known_by_each_of_its_names(served: Served, host: str) -> None:
    assert served().get("/config", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_another_page_in_the_same_browser_is_nobody_here(
    served: Served, headers: dict[str, str]
) -> None:
    client = served()
    for method, path in (("POST", "/gradio_api/queue/join"), ("GET", "/config")):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "foreign"
    # A link that somebody follows is no attack.
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=followed).status_code == 200


# For others


@pytest.mark.parametrize(
    ("host", "settings"), [("0.0.0.0", {}), ("192.168.1.5", {}), ("127.0.0.1", {"proxy": 1})]
)
def test_an_address_that_others_reach_demands_a_login(
    home: Settings, host: str, settings: dict[str, int]
) -> None:
    closed = Doors(home.model_copy(update=settings), host)
    with pytest.raises(InputError, match="no researcher has a login yet") as refused:
        closed.check()
    assert "guardui users add" in str(refused.value.advice)
    Doors(home.model_copy(update={"demo": True}), host).check()
    Doors(home, "127.0.0.1").check()
    closed.users.invite(Role.ANNOTATOR)
    with pytest.raises(InputError, match="no researcher"):
        Doors(home.model_copy(update=settings), host).check()
    assert Doors(home, "127.0.0.1").open  # an annotator's invite locks nobody out
    closed.users.invite(Role.RESEARCHER)
    Doors(home.model_copy(update=settings), host).check()


def test_who_may_come_in_is_said(home: Settings) -> None:
    assert Doors(home, "127.0.0.1").said() == "Open without a login, to this machine only."
    doors = Doors(home, "0.0.0.0")
    doors.users.add("ada", Role.RESEARCHER, PASSWORD)
    assert "people may use: Rate. 1 may log in" in Doors(home, "0.0.0.0").said()
    # With a login the page asks for it everywhere: a proxy's requests come from here too.
    assert not Doors(home, "127.0.0.1").open


def test_roles_reach_what_is_theirs_and_no_more(lab: TestClient, database: Database) -> None:
    curve = "/jobs/1/curves.csv"
    assert lab.get("/").text.startswith("public")
    assert lab.get(curve).status_code == 401
    assert lab.post("/gradio_api/upload").status_code == 401
    assert lab.get("/gradio_api/file=/etc/passwd").status_code == 401
    assert log_in(lab, "ben").status_code == 303
    assert lab.get("/").text.startswith("annotator ben")
    assert lab.get(curve).status_code == 403
    assert lab.post("/gradio_api/upload").status_code == 403
    assert log_in(lab).status_code == 303
    assert lab.get("/").text.startswith("researcher ada")
    assert lab.get(curve).text == "curve"
    cookie = lab.cookies[COOKIE]
    assert lab.get("/logout").status_code == 200
    assert lab.get("/").text.startswith("researcher ada")  # a link alone logs nobody out
    assert lab.post("/logout").status_code == 303
    lab.cookies.set(COOKIE, cookie)
    assert lab.get("/").text.startswith("public")
    with database.read() as session:
        acts = [(row.act, row.actor) for row in entries(session)]
    assert acts == [("login.end", "ada"), ("login.begin", "ada"), ("login.begin", "ben")]


def test_a_route_asks_again_who_calls(served: Served) -> None:
    with acting_as(Visitor(Role.ANNOTATOR, "ben")):
        refused = researchers_only(lambda _request: PlainTextResponse("curve"))(
            Request({"type": "http"})
        )
    assert refused.status_code == 403


def test_without_a_login_people_are_led_to_it_and_back(served: Served, lab: TestClient) -> None:
    closed = served("0.0.0.0", public="none")
    visits = {"Sec-Fetch-Mode": "navigate"}
    answer = closed.get("/?tab=rate", headers=visits)
    assert answer.headers["location"] == "/login?next=%2F%3Ftab%3Drate"
    page = closed.get(answer.headers["location"])
    assert 'value="/?tab=rate"' in page.text
    given = {"name": "ben", "password": PASSWORD, "next": "/?tab=rate"}
    assert closed.post("/login", data=given).headers["location"] == "/?tab=rate"
    assert closed.get("/").text.startswith("annotator ben")
    assert closed.get("/config").status_code == 200


@pytest.mark.parametrize("place", ["//evil.com", "https://evil.com", "/\\evil.com", "/\r\nX: y"])
def test_a_login_leads_to_no_other_page(lab: TestClient, place: str) -> None:
    given = {"name": "ada", "password": PASSWORD, "next": place}
    assert lab.post("/login", data=given).headers["location"] == "/"


def test_guessing_is_slowed_by_address_and_by_name(lab: TestClient) -> None:
    hasty = {"X-Forwarded-For": "10.0.0.1"}
    wrong = {"name": "ada", "password": "a wrong guess"}
    codes = [lab.post("/login", data=wrong, headers=hasty).status_code for _ in range(12)]
    assert codes == [403] * 10 + [429] * 2
    right = {"name": "ada", "password": PASSWORD}
    slowed = lab.post("/login", data=right, headers=hasty)
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["retry-after"]) <= 300
    other = lab.post("/login", data=right, headers={"X-Forwarded-For": "10.0.0.2"})
    assert other.status_code == 303
    for number in range(3, 6):
        guesser = {"X-Forwarded-For": f"10.0.0.{number}"}
        codes += [lab.post("/login", data=wrong, headers=guesser).status_code for _ in range(10)]
    assert codes[-1] == 429  # 30 of one name; its owner still comes in from where they did
    for address, status in (("10.0.0.2", 303), ("10.0.0.9", 429)):
        again = lab.post("/login", data=right, headers={"X-Forwarded-For": address})
        assert again.status_code == status


def test_wrong_keys_are_counted_by_address(
    lab: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guardui.gate.WRONG_KEYS", 3)
    wrong = {"Authorization": "Bearer gu_wrong", "X-Forwarded-For": "10.0.0.1"}
    codes = [lab.get("/", headers=wrong).status_code for _ in range(5)]
    assert codes == [401] * 3 + [429] * 2
    assert lab.get("/", headers=wrong | {"X-Forwarded-For": "10.0.0.2"}).status_code == 401


def test_nobody_who_is_not_logged_in_writes_to_the_log(
    lab: TestClient, served: Served, database: Database
) -> None:
    assert lab.post("/logout").status_code == 303
    assert served("127.0.0.1", demo=True).post("/logout").status_code == 303
    with database.read() as session:
        assert list(entries(session)) == []


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_who_has_a_network_is_counted_as_one(address: str, counted: str) -> None:
    assert client_key(address) == counted


def test_counts_of_those_long_gone_are_dropped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "SWEEP", 1)
    storage = access.limiter().storage
    assert isinstance(storage, MemoryStorage)
    storage.events |= {f"gone {number}": [] for number in range(100)}
    access.count("requests", "here", 5)
    assert [key for key in storage.events if key.startswith("gone")] == []
    assert len(storage.events) == 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Via", "Forwarded"])
def test_a_page_without_logins_takes_nothing_from_a_proxy(served: Served, header: str) -> None:
    answer = served().get("/", headers={header: "1.2.3.4"})
    assert answer.status_code == 421
    assert "GUARDUI_PROXY" in answer.text
    assert "guardui users add" in answer.text


SPACE = {"SYSTEM": "spaces", "SPACE_ID": "me/space"}
HUB_LOGIN = {"OAUTH_CLIENT_ID": "id", "OAUTH_CLIENT_SECRET": "secret"}


def hub_session(login: str, hours: float = 1, **org: str) -> dict[str, Any]:
    account = {"sub": "7", "preferred_username": login, "orgs": [org] if org else []}
    return {"oauth_info": {"userinfo": account, "expires_at": time.time() + 3_600 * hours}}


@pytest.mark.parametrize(
    ("session", "role"),
    [
        (hub_session("Ada"), Role.RESEARCHER),
        (hub_session("eve"), Role.PUBLIC),
        (hub_session("eve", preferred_username="my-lab"), Role.RESEARCHER),
        (hub_session("eve", name="my-lab"), Role.PUBLIC),  # free text of its owner's choice
        (hub_session("eve", name="ada"), Role.PUBLIC),
        (hub_session("Ada", hours=-1), Role.PUBLIC),
        ({}, Role.PUBLIC),
    ],
)
def test_the_hub_names_the_researchers_of_a_space(
    home: Settings, monkeypatch: pytest.MonkeyPatch, session: dict[str, Any], role: Role
) -> None:
    for name, value in (SPACE | HUB_LOGIN).items():
        monkeypatch.setenv(name, value)
    doors = Doors(home.model_copy(update={"researchers": "ada, my-lab"}), "0.0.0.0")
    scope = {"method": "GET", "headers": [], "client": ("10.0.0.1", 1), "scheme": "https"}
    visitor = doors.visitor(asked(scope, doors.settings), session)
    assert visitor.role is role
    # What a researcher's login begins is written down once, and nobody else's name.
    seen = [doors.first_seen(visitor, session) for _ in range(2)]
    assert seen == [role is Role.RESEARCHER, False]
    foreign = scope | {"headers": [(b"sec-fetch-site", b"cross-site")]}
    assert doors.visitor(asked(foreign, doors.settings), session).role is Role.PUBLIC


@pytest.mark.parametrize("missing", [*SPACE, *HUB_LOGIN])
def test_a_login_that_gradio_would_mock_counts_nowhere(
    home: Settings, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name, value in (SPACE | HUB_LOGIN).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    doors = Doors(home.model_copy(update={"researchers": "ada"}), "0.0.0.0")
    scope = {"method": "GET", "headers": [], "client": ("10.0.0.1", 1), "scheme": "https"}
    visitor = doors.visitor(asked(scope, doors.settings), hub_session("ada"))
    assert visitor.role is Role.PUBLIC
    assert not doors.has_researchers


def test_text_in_the_login_is_shown_as_text(lab: TestClient) -> None:
    page = lab.post("/login", data={"name": '"><script>xss()</script>', "password": "x"})
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_an_invite_is_taken_up_by_a_form(lab: TestClient, home: Settings) -> None:
    secret = Doors(home, "0.0.0.0").users.invite(Role.RESEARCHER)
    assert "invited as researcher" in lab.get(f"/join?invite={secret}").text
    short = lab.post("/join", data={"invite": secret, "name": "cy", "password": "short"})
    assert (short.status_code, "10 to 200" in short.text) == (422, True)
    made = lab.post("/join", data={"invite": secret, "name": "cy", "password": PASSWORD})
    assert made.status_code == 303
    assert lab.get("/").text.startswith("researcher cy")
    assert lab.get(f"/join?invite={secret}").status_code == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.com"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_another_page_cannot_use_a_login(lab: TestClient, headers: dict[str, str]) -> None:
    log_in(lab)
    assert lab.get("/jobs/1/curves.csv", headers=headers).status_code == 401
    told = lab.post("/gradio_api/queue/join", headers=headers)
    assert told.text.startswith("public")
    for path in ("/login", "/logout", "/join"):
        assert lab.post(path, headers=headers).status_code == 403
    assert lab.get("/").text.startswith("researcher ada")


def test_what_a_proxy_says_counts_only_behind_one(served: Served, lab: TestClient) -> None:
    said = {"X-Forwarded-For": "6.6.6.6, 7.7.7.7", "X-Forwarded-Host": "guard.lab.org"}
    assert lab.get("/", headers=said).text == "public  7.7.7.7"
    assert served("0.0.0.0").get("/", headers=said).text == "public  testclient"
    assert lab.get("/", headers=said | {"Origin": "http://guard.lab.org"}).status_code == 200
    kept = log_in(lab).headers["set-cookie"]
    secure = lab.post(
        "/login",
        data={"name": "ada", "password": PASSWORD},
        headers={"X-Forwarded-Proto": "https"},
    )
    assert "Secure" not in kept
    assert "HttpOnly; SameSite=Lax; Secure" in secure.headers["set-cookie"]
    assert "strict-transport-security" in secure.headers


def test_a_key_opens_what_its_scopes_say(lab: TestClient, database: Database) -> None:
    def header(*scopes: str) -> dict[str, str]:
        with database.write() as session:
            _, text = api_keys.add(session, name="ci", scopes=scopes, made_by="ada")
        return {"Authorization": f"Bearer {text}"}

    moderating, launching = header("moderate"), header("jobs")
    assert lab.post("/v1/moderations", headers=moderating).status_code == 200
    assert lab.post("/v1/moderations").status_code == 401  # the public may only rate here
    assert lab.get("/jobs/1/curves.csv", headers=moderating).status_code == 403
    assert lab.get("/jobs/1/curves.csv", headers=launching).text == "curve"
    assert lab.post("/v1/moderations", headers=launching).status_code == 403
    assert lab.post("/gradio_api/upload", headers=launching).status_code == 403
    assert lab.get("/metrics", headers=moderating).status_code == 200
    unknown = lab.post("/v1/moderations", headers={"Authorization": "Bearer gu_wrong"})
    assert unknown.status_code == 401
    assert unknown.headers["www-authenticate"].startswith("Bearer")
    with database.write() as session:
        api_keys.revoke(session, 1)
    assert lab.post("/v1/moderations", headers=moderating).status_code == 401


def test_bodies_are_cut_off_by_size(lab: TestClient) -> None:
    assert lab.post("/rate/api/enter", content=b"x" * 60_000).status_code == 200
    assert lab.post("/rate/api/enter", content=b"x" * 70_000).status_code == 413
    pieces = (b"x" * 50_000 for _ in range(40))
    answer = lab.post("/gradio_api/queue/join", content=pieces)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "size")


def test_a_body_that_does_not_come_is_not_waited_for(
    lab: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from guardui.gate_headers import Body

    async def never() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr("guardui.gate_headers.BODY_SECONDS", 0.05)
    body = Body(never, 100)
    assert asyncio.run(body.receive()) == {"type": "http.disconnect"}
    assert body.fault is not None
    assert body.fault[0] == 408
    assert BODY_SECONDS <= 30


def test_too_many_requests_from_one_address_are_told_when_to_come_again(
    lab: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guardui.gate.MINUTELY", 3)
    codes = [lab.post("/rate/api/enter").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    refused = lab.post("/rate/api/enter")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert lab.post("/rate/api/enter", headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 200
    log_in(lab, "ada")
    assert lab.post("/rate/api/enter", headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 200


def test_moderations_are_counted_by_client_user_and_key(database: Database) -> None:
    guest, other = Visitor(Role.PUBLIC, client="1.1.1.1"), Visitor(Role.PUBLIC, client="2.2.2.2")
    for _ in range(access.MINUTELY[Role.PUBLIC]):
        access.check_rate(guest)
    with pytest.raises(RateLimited, match="at most 20 within 60 s") as refused:
        access.check_rate(guest)
    assert 0 < refused.value.retry_after <= 60
    access.check_rate(other)
    for _ in range(100):
        access.check_rate(Visitor(Role.RESEARCHER, "ada"))
        access.check_rate(Visitor(Role.PUBLIC, "key 1", key_id=1))


@pytest.mark.parametrize(
    "path", ["/nope", "/gradio_api/new_route", "/../etc/passwd", "/monitoring"]
)
def test_what_has_no_rule_is_refused_even_to_researchers(served: Served, path: str) -> None:
    assert served().get(path).status_code == 404


def test_every_answer_has_the_headers_that_browsers_heed(served: Served) -> None:
    for answer in (served().get("/"), served().get("/nope")):
        assert "connect-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
