"""The real client against a Hub on this machine: one commit, none twice, and refusals in words."""

import json
import logging
import time
from pathlib import Path

import pytest

from pipelines.base_models import read_adapter
from pipelines.hub_client import There, full_name, look, send
from pipelines.hub_pull import fetch
from pipelines.schema import HubError, InputError, ModelError
from pipelines.template import GuardTemplate
from tests.hub_server import READ_TOKEN, TOKEN, LocalHub

# The library's own way of sending files.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")


@pytest.fixture(scope="module")
def server():
    with LocalHub(part_size=1000) as hub:
        yield hub


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """The server without anything in it; whoever retries doesn't wait."""
    server.clear()
    server.point(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    return server


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "push"
    folder.mkdir()
    content = {
        "README.md": b"---\ntags: [guardui]\n---\nA card.\n",
        "adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "lab/base"}',
        "adapter_model.safetensors": bytes(range(256)) * 10,
        "other.safetensors": b"small",
        "pytorch_model.bin": b"a pickle",
        "guard_template.json": GuardTemplate.default().model_dump_json().encode(),
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in content}


def test_one_private_commit_and_none_twice(hub, files):
    sent = send(files, "ada/guard")
    repo = hub.repo("ada/guard")
    assert repo.private
    assert sent.changed
    assert sent.revision == repo.head.sha
    assert sent.url == f"{hub.endpoint}/ada/guard/tree/{repo.head.sha}"
    for name, path in files.items():
        assert hub.content("ada/guard", name) == path.read_bytes()
    assert len(hub.asked("PUT", "/lfs/")) == 5  # three parts, and two small files

    again = send(files, "ada/guard")
    assert (again.revision, again.changed) == (sent.revision, False)
    assert len(repo.commits) == 2
    assert len(hub.asked("POST", "/commit/")) == 1

    files["README.md"].write_text("---\ntags: [b]\n---\n")
    del files["adapter_model.safetensors"], files["other.safetensors"]
    newer = send(files, "ada/guard")
    assert newer.revision != sent.revision
    assert newer.removed == ("adapter_model.safetensors",)
    lines = [json.loads(line) for line in hub.asked("POST", "/commit/")[-1].body.splitlines()]
    assert [(line["key"], line["value"].get("path")) for line in lines] == [
        ("header", None),
        ("file", "README.md"),
        ("deletedFile", "adapter_model.safetensors"),
    ]
    assert lines[0]["value"]["parentCommit"] == sent.revision


THEIRS = ("model.safetensors", "v1/model.safetensors", "lora.safetensors", "data/more.parquet")


@pytest.mark.filterwarnings("ignore:It seems that you are about to commit a data file")
@pytest.mark.parametrize(
    ("tag", "kind"), [("guardui", "model"), ("mine", "model"), ("guardui", "dataset")]
)
def test_only_what_a_push_of_ours_left_is_taken_out(hub, files, tmp_path, tag, kind):
    """Weights at the top and the tables that we write; and those only beside a card of ours."""
    earlier = {"README.md": tmp_path / "card.md", "data/pairs.parquet": tmp_path / "table"}
    earlier |= dict.fromkeys(THEIRS, earlier["data/pairs.parquet"])
    earlier["README.md"].write_text(f"---\ntags: [{tag}]\n---\n")
    earlier["data/pairs.parquet"].write_bytes(b"PAR1")
    send(earlier, "ada/guard", kind)
    gone = {"model": "model.safetensors", "dataset": "data/pairs.parquet"}[kind]
    expected = (gone,) if tag == "guardui" else ()
    found = look(files, "guard", kind)
    assert found == There(private=True, removed=expected)
    assert len(hub.repo("ada/guard", kind).commits) == 2
    assert send(files, "ada/guard", kind).removed == expected
    left = set(hub.repo("ada/guard", kind).head.tree)
    assert {*earlier, *files} - left == set(expected)


def test_what_cannot_be_read_is_not_looked_at(hub, files):
    assert look(files, "ada/none") is None
    hub.fail("GET", "/api/models/", 503, 99)
    assert look(files, "ada/guard") is None


def test_a_public_push_leaves_a_private_repository_private(hub, files):
    hub.add_repo("ada/guard", private=True)
    assert send(files, "ada/guard", private=False).private
    assert not send(files, "ada/other", private=False).private


def test_a_name_alone_is_one_under_ones_own(hub, files):
    assert full_name("guard") == "ada/guard"
    assert send(files, "guard", "dataset", private=False).repo == "ada/guard"
    assert not hub.repo("ada/guard", "dataset").private
    with pytest.raises(InputError, match="must be NAME or OWNER/NAME"):
        full_name("a/b/c")


def test_a_public_repository_is_not_pushed_to_by_a_private_push(hub, files):
    hub.add_repo("ada/guard")
    with pytest.raises(HubError, match="exists and is public"):
        send(files, "ada/guard")
    assert not hub.asked("POST", "/preupload/")


@pytest.mark.parametrize(
    ("method", "part", "fault", "times"),
    [
        ("PUT", "/lfs/", 503, 2),
        ("PUT", "/lfs/", "drop", 2),
        ("POST", "/commit/", 502, 2),
        ("POST", "/commit/", "drop", 1),
        ("POST", "/preupload/", 500, 1),
    ],
)
def test_what_passes_is_tried_again(hub, files, method, part, fault, times):
    hub.fail(method, part, fault, times, after=100)
    assert send(files, "ada/guard").changed
    assert len(hub.repo("ada/guard").commits) == 2


def test_an_upload_that_breaks_goes_on_where_it_was(hub, files):
    large = files["adapter_model.safetensors"]
    hub.fail("PUT", "/2", 500, 99)  # the second part of the large file, for ever
    with pytest.raises(HubError, match="answered 500, the Hub failed") as caught:
        send(files, "ada/guard")
    assert "isn't sent a second time" in caught.value.advice
    assert len(hub.repo("ada/guard").commits) == 1  # nothing half-made
    hub.faults.clear()
    arrived = len(hub.asked("PUT", "/lfs/"))
    assert send(files, "ada/guard").changed
    assert hub.content("ada/guard", large.name) == large.read_bytes()
    small = [one for one in hub.asked("PUT", "/lfs/")[arrived:] if "signed" in one.path]
    assert len(small) <= 1  # what had arrived stayed


def test_a_commit_that_arrived_unheard_is_not_made_twice(hub, files, monkeypatch):
    """The connection went after the commit: what is there is looked at before the next try."""
    sent = send(files, "ada/guard")
    hub.fail("POST", "/commit/", "drop", 1)
    files["README.md"].write_text("---\ntags: [c]\n---\n")
    assert send(files, "ada/guard").revision != sent.revision
    assert len(hub.repo("ada/guard").commits) == 3


@pytest.mark.parametrize(
    ("method", "part", "status", "said", "advice"),
    [
        ("GET", "/whoami", 401, "token is missing or not valid", "HF_TOKEN"),
        ("POST", "/repos/create", 403, "may not write there", "write access"),
        ("POST", "/preupload/", 404, "no such owner", "OWNER/NAME"),
        ("POST", "/commit/", 409, "changed by somebody else", "Push again"),
        ("POST", "/commit/", 412, "changed by somebody else meanwhile", "Look at it"),
        ("PUT", "/lfs/", 413, "too large", "smaller"),
        ("POST", "/commit/", 503, "the Hub failed", "Push again"),
    ],
)
def test_refusals_are_named(hub, files, method, part, status, said, advice):
    hub.fail(method, part, status, 99)
    with pytest.raises(HubError, match=f"repo=ada/guard: the Hub answered {status}, ") as caught:
        send(files, full_name("ada/guard"))
    assert said in str(caught.value)
    assert advice in caught.value.advice


def test_who_may_only_read_is_told_so(hub, files):
    with pytest.raises(HubError, match="403, the token may not write there"):
        send(files, "ada/guard", token=READ_TOKEN)
    with pytest.raises(HubError, match="403"):
        send(files, "bob/guard")
    with pytest.raises(HubError, match="401"):
        send(files, "ada/guard", token="hf_nobodyKnowsThisOne")


@pytest.mark.parametrize("part", ["/repos/create", "/preupload/", "/lfs/"])
def test_too_many_requests_say_how_long_to_wait(hub, files, part):
    hub.fail("*", part, 429, headers={"Retry-After": "300"})
    with pytest.raises(HubError, match="429, too many requests: it asks to wait 5 minutes") as told:
        send(files, "ada/guard")
    assert "Wait 5 minutes, then push again" in told.value.advice
    assert send(files, "ada/guard").changed


def test_a_short_wait_is_waited(hub, files, caplog):
    hub.fail("PUT", "/lfs/", 429, headers={"Retry-After": "2"})
    assert send(files, "ada/guard").changed
    assert "asks to wait 2 s" in caplog.text


def test_signed_addresses_are_in_no_log_and_no_error(hub, files, caplog):
    """They let anybody write there; and no token goes to the host of large files."""
    caplog.set_level(logging.DEBUG, "httpx2")
    hub.fail("PUT", "/lfs/", 500, 99)
    with caplog.at_level(logging.INFO), pytest.raises(HubError) as caught:
        send(files, "ada/guard")
    assert "HTTP Error 500" in caplog.text
    assert "signed" not in caplog.text + str(caught.value)
    assert caught.value.__suppress_context__
    assert not any(one.authorization for one in hub.asked("PUT", "/lfs/"))
    assert all(one.authorization == f"Bearer {TOKEN}" for one in hub.asked("POST", "/api/models"))
    assert not any(TOKEN in one.path or TOKEN.encode() in one.body for one in hub.requests)


def test_a_hub_that_cannot_be_reached_is_named_at_once(hub, files, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(HubError, match=r"the Hub at http://127.0.0.1:9 can't be reached"):
        full_name("ada/guard")
    with pytest.raises(HubError, match="can't be reached") as caught:
        fetch("ada/guard")
    assert "then pull again" in caught.value.advice
    assert time.monotonic() - start < 5


def test_without_a_token_that_is_said(hub, files, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._auth.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    with pytest.raises(HubError, match="repo=ada/guard: no token is known"):
        full_name("ada/guard")


def test_without_a_xet_store_files_go_by_lfs(hub, files, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    assert send(files, "ada/guard").changed
    assert hub.asked("GET", "/xet-write-token/")
    assert hub.asked("PUT", "/lfs/")


def test_pulling_takes_safetensors_and_json_alone(hub, files):
    sent = send(files, "ada/guard")
    found = fetch("ada/guard")
    assert (found.revision, found.kind) == (sent.revision, "adapter")
    assert sorted(path.name for path in found.path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "guard_template.json",
    ]
    assert GuardTemplate.load(found.path) == GuardTemplate.default()
    files["README.md"].write_text("---\ntags: [d]\n---\n")
    send(files, "ada/guard")
    assert fetch("ada/guard", sent.revision).path == found.path


def test_what_cannot_be_pulled_is_named(hub, files):
    with pytest.raises(HubError, match="there is no such model, or it is private"):
        fetch("ada/none")
    with pytest.raises(InputError, match="must be OWNER/NAME"):
        fetch("guard")
    del files["guard_template.json"]
    send(files, "ada/guard")
    with pytest.raises(HubError, match="has no revision nope"):
        fetch("ada/guard", "nope")
    with pytest.raises(ModelError, match=r"no guard_template\.json"):
        fetch("ada/guard")
    files["adapter_config.json"].write_text('{"base_model_name_or_path": "/srv/models/base"}')
    send(files, "ada/elsewhere")
    with pytest.raises(ModelError, match="names the base model '/srv/models/base', must be a Hub"):
        fetch("ada/elsewhere")
    with pytest.raises(ModelError, match="ada/elsewhere: names the base model"):
        read_adapter("ada/elsewhere")
    only = {"pytorch_model.bin": files["pytorch_model.bin"]}
    send(only, "ada/pickled")
    with pytest.raises(ModelError, match="neither an adapter nor whole weights as safetensors"):
        fetch("ada/pickled")
