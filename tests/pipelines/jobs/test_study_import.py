"""A job's study becomes one draft, whoever finalises the job and how often."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from db import jobs, leases, studies
from db.models import Job, Study
from db.session import Database, open_database
from guardui import study_acts
from guardui.study_reports import records_of, report_of
from pipelines.jobs.launchers import identify
from pipelines.jobs.outcome import NewArtifact, Outcome
from pipelines.jobs.queue import job_dir, submit
from pipelines.jobs.references import resolve_reference
from pipelines.jobs.study_import import import_draft, make_draft
from pipelines.jobs.supervisor import reconcile
from pipelines.schema import InputError
from pipelines.settings import Settings, get_settings
from pipelines.stages import study as study_stage
from pipelines.stages.base import build_config
from pipelines.studies.artifact import ArmInfo, StudyInfo, read_study, write_study
from pipelines.studies.design import DesignFields, StudyDesign, design_hash
from pipelines.studies.document import FORMS, report_text
from pipelines.studies.export import FORMATS, export_study
from pipelines.studies.items import main_items
from pipelines.studies.known import PRACTICE, known_items
from tests.pipelines.studies.test_study_arms import evaluation, prediction, said
from tests.pipelines.studies.test_study_items import row
from tests.rated_studies import rate
from tests.tiny_runs import Recorder, write_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arms = [ArmInfo(name=name, kind="adapter", reference=f"/{name}") for name in ("new", "old")]
    items = main_items([row(1, True, False), row(2, True, True)], DesignFields(), 0, 0)
    info = StudyInfo(name="N" * 200, arms=arms, design=StudyDesign(remarks=["told"]))
    write_study(tmp_path / "study", info, [*known_items(PRACTICE, "practice"), *items])
    return tmp_path / "study"


def outcome(folder: Path, attempt: int = 0) -> Outcome:
    made = NewArtifact("study", "new against old", str(folder), "0" * 64, 1, {})
    return Outcome(attempt, "succeeded", artifacts=[made])


def drafts(database: Database) -> list[Study]:
    with database.read() as session:
        return studies.list_studies(session)


def test_a_succeeded_job_leaves_one_draft(
    database: Database, idle: list[int], folder: Path
) -> None:
    job_id = submit(database, "rsft", {})
    assert outcome(folder).record(database, job_id)
    assert not outcome(folder).record(database, job_id)
    (draft,) = drafts(database)
    assert (draft.name, draft.state, draft.job_id) == ("N" * 200, "draft", job_id)
    info, items = read_study(folder)
    with database.read() as session:
        content = studies.content_of(session, draft.id)
        assert content["design"] == info.design.model_dump(mode="json")
        assert content["arms"] == [arm.model_dump(mode="json") for arm in info.arms]
        told = [(one["kind"], one["prompt"], one["gold"]) for one in content["items"]]
        assert told == [(one.kind, one.prompt, one.gold) for one in items]
        assert content["items"][3]["traces"][1]["right"] is False
        assert content["items"][3]["pairs"] == [[0, 1, "first", items[3].pairs[0].wanted]]
        expected = [one["expected_arm"] for one in content["items"]]
        assert expected == [0, 1, 0, None, None]
        seen = design_hash(content)
    with database.write() as session:
        studies.open_study(session, draft.id, seen, 0, 0.5)
        assert import_draft(session, (info, items), job_id).id == draft.id, "it is there already"
        again = import_draft(session, (info, items), submit_other(session))
        assert again.name == "N" * 196 + " (2)"


def submit_other(session: Session) -> int:
    job = Job(stage="rsft", config={}, state="succeeded")
    session.add(job)
    session.flush()
    return job.id


def test_a_supervisor_makes_it_of_what_a_dead_worker_left(
    database: Database, idle: list[int], sleeper: subprocess.Popen[bytes], folder: Path
) -> None:
    job_id = submit(database, "rsft", {})
    process = identify(sleeper.pid)
    assert process is not None
    with database.write() as session:
        leases.claim(session, job_id, pid=process.pid, pid_created=0.0, boot_id=process.boot_id)
    directory = job_dir(get_settings(), job_id)
    directory.mkdir(parents=True)
    outcome(folder, attempt=1).save(directory)
    reconcile(database)
    reconcile(database)
    assert [one.job_id for one in drafts(database)] == [job_id]


def test_a_folder_that_was_changed_makes_none_and_the_job_has_succeeded(
    database: Database, idle: list[int], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "items.jsonl").write_text("{}\n")
    job_id = submit(database, "rsft", {})
    assert outcome(folder).record(database, job_id)
    assert drafts(database) == []
    assert "no draft can be made" in caplog.text
    with database.read() as session:
        found = jobs.get_job(session, job_id)
        assert found is not None
        assert found.state == "succeeded"
        (remark,) = jobs.events(session, job_id, kind="log")
    assert remark.data["text"].startswith("No draft could be made of the study new against old: ")
    assert remark.data["text"].endswith("Item: prompt: Field required")


def test_a_job_of_several_evaluations_is_named_with_one(
    database: Database, idle: list[int], tmp_path: Path
) -> None:
    job_id = submit(database, "rsft", {})
    made = [
        NewArtifact("evaluation", name, str(tmp_path), "0" * 64, 1, {"kind": kind})
        for name, kind in (
            ("R-SFT #1", "adapter"),
            ("HS-DPO #2", "adapter"),
            ("always", "baseline"),
        )
    ]
    Outcome(0, "succeeded", artifacts=made).record(database, job_id)
    with pytest.raises(InputError, match=r"made R-SFT #1, HS-DPO #2; name one as job:\d+#NAME"):
        resolve_reference(database, "arm", f"job:{job_id}")
    assert resolve_reference(database, "arm", f"job:{job_id}#HS-DPO #2") == tmp_path
    with pytest.raises(InputError, match="name one as"):
        resolve_reference(database, "arm", f"job:{job_id}#Nobody")
    assert resolve_reference(database, "evaluation", f"job:{job_id}") == tmp_path


def test_what_is_passed_on_of_a_study_names_no_place_of_this_machine(
    tmp_path: Path,
) -> None:
    home = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'guardui.db'}")
    database = open_database(home.database_url)
    prompts = [f"Tell me of {one}" for one in ("tea", "rain", "a kite", "chess")]
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": p, "label": "harmful"} for p in prompts])
    arms = []
    for arm in range(2):
        folder = tmp_path / f"evaluated{arm}"
        answers = [prediction(one, said(f"Trace {arm} of {one}", "harmful")) for one in prompts]
        told = {"dataset": f"{tmp_path}/taught.jsonl"}
        reference = f"{tmp_path}/gone/adapter{arm}"
        evaluation(folder, answers, name=f"Guard {arm}", reference=reference, training=told)
        arms.append(str(folder))
    apart = write_rows(tmp_path / "apart.jsonl", [{"prompt": "Of boats"}])
    values = {"arms": arms, "benchmarks": [str(rows)], "items": 4, "practice": False}
    values |= {"unknown_training_ok": True, "pairs_files": [str(apart)]}
    context = Recorder(tmp_path / "job")
    study_stage.STAGE.run(build_config(study_stage.STAGE, None, values), context)
    info, items = read_study(context.made[-1][1])
    assert "adapter0, which isn't here any more" in " ".join(info.design.remarks)
    assert str(tmp_path) not in info.design.model_dump_json()
    with database.write() as session:
        made = make_draft(session, info, items).id
    study_acts.open_study(database, made)
    rate(database, home, made)
    records = records_of(database, made)
    report = report_of(records)
    for form in FORMS:
        assert str(tmp_path) not in report_text(records, report, form), form
    passed_on = tmp_path / "out"
    for form in FORMATS:
        ending = f".{form}" if form in ("jsonl", "parquet") else ""
        export_study(records, report, form, passed_on / f"{form}{ending}")
    files = [one for one in passed_on.rglob("*") if one.is_file()]
    assert len(files) >= 8
    for file in files:
        assert str(tmp_path).encode() not in file.read_bytes(), file
    old = info.design.model_copy(update={"remarks": [f"of {tmp_path}/gone/adapter0, which isn't"]})
    older = replace(records, facts=replace(records.facts, design=old))
    assert str(tmp_path) not in report_text(older, report, "json")
    database.dispose()
