"""Pushes as jobs against a Hub on this machine: what goes, what is kept of it, and who may know
the token."""

import io
import json
import os
import time
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard

from db import audit, jobs
from db.models import ENDED
from db.session import open_database
from guardui.jobs_view import Selection, view
from guardui.render_push import preview_part
from guardui.tabs.job_push import start
from pipelines.base_models import read_adapter
from pipelines.hub_client import There
from pipelines.jobs import publishing, queue
from pipelines.jobs.pulling import pull
from pipelines.jobs.worker import run_job
from pipelines.pair_export import import_pairs
from pipelines.pair_sets import read_pairs
from pipelines.schema import HubError, InputError
from pipelines.settings import get_settings
from tests.hub_server import LocalHub
from tests.pushed import BASE, trained, write_adapter
from tests.rated_studies import draft, rate
from tests.tiny_runs import make_pairs

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")
PLANTED = "hf_plantedTOKENthatMustNotLeak123"


@pytest.fixture(scope="module")
def server():
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    server.clear()
    server.point(monkeypatch)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    return server


@pytest.fixture
def database(home):
    database = open_database(home.database_url)
    yield database
    database.dispose()


def run(database, **values):
    number = queue.submit(database, "push", values, launcher="foreground")
    return run_job(database, number)


def test_an_adapter_goes_with_a_card_of_its_record_and_is_kept_with_its_job(hub, database, home):
    training, made = trained(database, home.home)
    job = run(database, what=f"artifact:{made}", repo="ada/guard")
    assert job.state == "succeeded", job.failure
    repo = hub.repo("ada/guard")
    assert repo.private
    assert set(repo.head.tree) == {
        ".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors",
        "guard_template.json", "tokenizer.json", "training_curve.png", "training_info.json",
    }  # fmt: skip
    assert hub.content("ada/guard", "training_curve.png").startswith(b"\x89PNG")
    card = ModelCard(hub.content("ada/guard", "README.md").decode())
    assert card.data.base_model == BASE
    assert card.data.model_name == "guard"
    figures = {
        (one.dataset_name, one.metric_type): one.metric_value for one in card.data.eval_results
    }
    assert figures == {
        ("HarmBench/Prompt", "f1"): 0.571429,
        ("HarmBench/Prompt", "false_positive_rate"): 0.666667,
        ("HarmBench/Prompt", "parse_failure_rate"): 0.166667,
        ("XSTest", "f1"): 1.0,
        ("XSTest", "false_positive_rate"): 0.0,
        ("XSTest", "parse_failure_rate"): 0.0,
    }
    for said in (
        "| HarmBench/Prompt | prompt harmfulness | 6 | **57.1** |",
        "Parse failures: 1 of 10 answers (10.0%) held no verdict.",
        "XSTest: 1 of 4 rows have a prompt that it was trained on",
        "What was not: paraphrases",
        "![Training curve](training_curve.png)",
        "vllm serve lab/tiny-base --enable-lora",
        "guardui pull ada/guard",
        "AutoPeftModelForCausalLM",
    ):
        assert said in card.text, said
    assert "Other" not in card.text
    for path in repo.head.tree:
        assert str(home.home).encode() not in hub.content("ada/guard", path)

    assert _pushes(database, training) == _pushes(database, job.id)
    [kept] = _pushes(database, job.id)
    assert kept["revision"] == repo.head.sha
    with database.read() as session:
        [entry] = audit.entries(session, act="hub.push")
    assert entry.details["revision"] == repo.head.sha
    assert (entry.actor, entry.entrance) == ("local", "code")  # whoever launched it
    shown = view(database, home, Selection(training))
    assert shown["push"] is True
    assert f'<a href="{hub.endpoint}/ada/guard/tree/{repo.head.sha}"' in shown["headline"]

    again = run(database, what=f"job:{training}", repo="guard")
    assert again.state == "succeeded"
    assert len(repo.commits) == 2
    [kept] = _pushes(database, again.id)
    assert (kept["changed"], kept["revision"]) == (False, repo.head.sha)


def _pushes(database, job):
    return publishing.pushes_of(database, job)


def test_a_push_that_broke_is_resumed(hub, database, home):
    _, made = trained(database, home.home)
    hub.fail("POST", "/commit/", 500, 99)
    job = run(database, what=f"artifact:{made}", repo="ada/guard")
    assert job.state == "failed"
    assert job.failure["code"] == "hub"
    assert "the Hub answered 500, the Hub failed" in job.failure["message"]
    hub.faults.clear()
    sent = len(hub.asked("PUT", "/lfs/"))
    with audit.acting(audit.Actor("ada", "researcher", "page")):
        assert queue.resume(database, job.id, "foreground") == "queued"
    assert run_job(database, job.id).state == "succeeded"
    assert len(hub.asked("PUT", "/lfs/")) == sent  # nothing large went twice
    with database.read() as session:
        [entry] = audit.entries(session, act="hub.push")
    assert (entry.actor, entry.entrance) == ("ada", "page")


def test_a_pair_set_goes_as_a_dataset(hub, database, home, tmp_path):
    pairs = make_pairs(tmp_path / "pairs")
    for _ in range(2):
        assert run(database, what=str(pairs), repo="ada/pairs", public=True).state == "succeeded"
    repo = hub.repo("ada/pairs", "dataset")
    assert len(repo.commits) == 2
    assert not repo.private
    content = hub.content("ada/pairs", "data/pairs.parquet", "dataset")
    assert pq.read_table(io.BytesIO(content)).num_rows == 6
    card = hub.content("ada/pairs", "README.md", "dataset").decode()
    assert "**Content warning.**" in card
    assert "| `weight` | how much the pair counts" in card
    assert "| pairs | `6` |" in card
    (tmp_path / "back.parquet").write_bytes(content)
    import_pairs(tmp_path / "back.parquet", tmp_path / "back")
    back, there = read_pairs(str(tmp_path / "back")), read_pairs(str(pairs))
    assert [row["chosen"] for row in back] == [row["chosen"] for row in there]


def test_a_study_goes_without_names(hub, database, home):
    from guardui import study_acts

    study = draft(database, items=2)
    study_acts.open_study(database, study)
    rate(database, home, study, people=("Anna", ""))
    for _ in range(2):
        job = run(database, what=f"study:{study}", repo="ada/study")
        assert job.state == "succeeded", job.failure
    repo = hub.repo("ada/study", "dataset")
    assert repo.private
    assert len(repo.commits) == 2
    assert {"README.md", "data/ratings.parquet", "report.md"} <= set(repo.head.tree)
    everything = b"".join(hub.content("ada/study", path, "dataset") for path in repo.head.tree)
    assert b"Anna" not in everything
    assert run(database, what="study:99", repo="ada/study").state == "failed"


def test_a_preview_shows_every_file_and_sends_nothing(hub, database, home, tmp_path):
    _, made = trained(database, home.home)
    values = {"what": f"artifact:{made}", "repo": "ada/guard"}
    found = publishing.preview(database, values)
    assert next(name for name, _, _ in found.files) == "README.md"
    assert len(found.files) == 7
    assert all(size and what for _, size, what in found.files)
    html = preview_part(found)
    assert "An adapter goes to ada/guard, privately" in html
    assert "<code>adapter_model.safetensors</code></td><td>weights</td>" in html
    nasty = preview_part(replace(found, card="<script>x</script>"))
    assert "<script>" not in nasty
    assert "&lt;script&gt;x" in nasty
    written = publishing.write_push(database, values, tmp_path / "out")
    assert written == sorted(name for name, _, _ in found.files)
    assert {one.method for one in hub.requests} == {"GET"}
    assert found.there is None
    assert "The repository isn't there yet, or can't be read" in html
    there = There(private=True, removed=("model.safetensors",))
    shown = preview_part(replace(found, public=True, there=there))
    assert "which is private and stays so" in shown
    assert "removed by this one</strong><ul><li><code>model.safetensors</code>" in shown


def test_what_was_pulled_is_an_artifact_with_its_revision(hub, database, home):
    _, made = trained(database, home.home)
    run(database, what=f"artifact:{made}", repo="ada/guard")
    found = pull(database, "ada/guard")
    assert found == pull(database, "ada/guard")
    assert found["revision"] == hub.repo("ada/guard").head.sha
    with database.read() as session:
        artifact = jobs.get_artifact(session, found["artifact"])
    assert (artifact.kind, artifact.path) == ("adapter", found["path"])
    assert artifact.details["hub"] == {"repo": "ada/guard", "revision": found["revision"]}
    place = queue.resolve_reference(database, "adapter", f"artifact:{artifact.id}")
    assert read_adapter(place).base_model == BASE
    assert read_adapter("ada/guard").path == place


def test_a_token_that_was_handed_over_is_found_nowhere(
    hub, database, home, monkeypatch, tmp_path, capfd, caplog
):
    """One push through a real worker, one that the Hub refuses: then everything is read."""
    monkeypatch.delenv("HF_TOKEN")
    hub.users[PLANTED] = {"name": "eve", "orgs": [], "role": "write"}
    write_adapter(tmp_path / "adapter")
    values = {"what": str(tmp_path / "adapter"), "repo": "eve/guard"}
    with pytest.raises(InputError, match="token: none is known here"):
        start(database, values, " ")
    numbers = [start(database, values, f" {PLANTED}\n")]
    assert _ended(database, numbers[0]) == "succeeded"
    with monkeypatch.context() as here:  # the worker of the second one is this process
        here.setattr(publishing, "launch_local", lambda *_: os.getpid())
        numbers.append(publishing.submit_push(database, values | {"repo": "ada/guard"}, PLANTED))
        here.setenv("HF_TOKEN", PLANTED)
        assert run_job(database, numbers[1], foreground=True).state == "failed"
    with pytest.raises(InputError, match="started with a token of its own") as resumed:
        queue.resume(database, numbers[1])
    assert "Launch it again with a token" in resumed.value.advice
    assert hub.repo("eve/guard", "model").private
    with pytest.raises(InputError, match="looks like a token") as caught:
        queue.submit(database, "push", values | {"repo": PLANTED})
    with pytest.raises(InputError, match="token: must be one word") as other:
        publishing.submit_push(database, values, f"my {PLANTED}")
    pages = [json.dumps(view(database, home, Selection(number)), default=str) for number in numbers]
    database.dispose()  # what stands in the write-ahead log is read too

    said = [
        *pages,
        str(resumed.value),
        str(caught.value),
        str(other.value),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert not [text for text in said if PLANTED in text]
    assert "403, the token may not write there" in pages[1]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"guardui.db", "log.txt", "config.json", "outcome.json"} <= {one.name for one in files}
    assert not [path for path in files if PLANTED.encode() in path.read_bytes()]
    used = [one for one in hub.requests if PLANTED in one.authorization]
    assert used
    assert not [one for one in hub.requests if PLANTED in one.path or PLANTED.encode() in one.body]


def _ended(database, number: int) -> str:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with database.read() as session:
            job = jobs.get_job(session, number)
        if job.state in ENDED:
            return job.state
        _pause(0.1)
    raise AssertionError(f"job {number} is still {job.state}")


_pause = time.sleep  # the real one


def test_a_hub_that_refuses_a_pull_is_named(hub, database, home):
    hub.fail("GET", "/api/models/", 503, 99)
    with pytest.raises(HubError, match="repo=ada/guard: the Hub answered 503"):
        pull(database, "ada/guard")
    assert get_settings().home == home.home
