"""What people preferred in a study is what HS-DPO trains on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from db.session import open_database
from guardui import study_acts
from guardui.study_reports import records_of, report_of
from pipelines.settings import Settings
from pipelines.stages import get_stage
from pipelines.stages.base import build_config
from pipelines.studies.export import export_study
from pipelines.studies.pairs import preferred_pairs
from tests.rated_studies import draft, rate
from tests.tiny_runs import Recorder


def test_preferred_traces_are_trained_on(
    tiny_adapter: Path, home: Settings, tmp_path: Path
) -> None:
    database = open_database(home.database_url)
    study = draft(database, items=6)
    study_acts.open_study(database, study)
    rate(database, home, study, people=("", ""))
    records = records_of(database, study)
    database.dispose()
    # Both arms are this adapter, whose template the pairs then carry.
    arms = tuple({"name": name, "reference": str(tiny_adapter)} for name in ("tuned", "plain"))
    records = replace(records, facts=replace(records.facts, arms=arms))
    export_study(records, report_of(records), "pairs", tmp_path / "pairs")
    stage, values = get_stage("hsdpo"), {"adapter": str(tiny_adapter), "device": "cpu"}
    values |= {"pairs": str(tmp_path / "pairs"), "weighting": "stored", "precision": "fp32"}
    config = build_config(stage, None, values | {"epochs": 1, "batch_size": 2})
    rows = preferred_pairs(records).rows
    assert f"{len(rows)} pairs" in stage.check(config)
    recorder = Recorder(tmp_path / "job")
    stage.run(config, recorder)
    assert len(recorder.rows) == math.ceil(len(rows) / 2)
    assert all(math.isfinite(values["loss"]) for _, values in recorder.rows)
