"""`guardui study`: make a preference study, and read what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import IntegrityError

from db import studies
from db.session import Database
from guardui import cli_output as show
from guardui.cli_base import Json, app, command_of, open_home
from pipelines.jobs.queue import resolve_reference
from pipelines.preference_stats import win_rate
from pipelines.schema import InputError, NotFoundError
from pipelines.settings import get_settings
from pipelines.studies import pairs_from_adapters, pairs_from_predictions

study = typer.Typer(no_args_is_help=True, help="Make preference studies and read their results.")
app.add_typer(study, name="study")
command = command_of(study)

Limit = Annotated[int, typer.Option(min=1, help="Most pairs, drawn at random.")]


@command
def create(
    name: str,
    first: Annotated[str, typer.Argument(help="Predictions file (.jsonl) or adapter.")],
    second: Annotated[str, typer.Argument(help="The other arm, of the same kind.")],
    dataset: Annotated[
        str, typer.Option(help="Rows that two adapters answer; not used for files.")
    ] = "starter",
    question: Annotated[str, typer.Option(help="What raters are asked.")] = (
        studies.DEFAULT_QUESTION
    ),
    limit: Limit = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a study of two arms: two files of predictions, or two adapters that answer now."""
    database = open_home()
    check_name(database, name)
    files = [arm.endswith(".jsonl") for arm in (first, second)]
    if files[0] != files[1]:
        raise InputError(f"arms={first}, {second}: must be two .jsonl files or two adapters")
    if files[0]:
        pairs = pairs_from_predictions(Path(first), Path(second), limit, seed)
    else:
        arms = [resolve_reference(database, "adapter", arm) for arm in (first, second)]
        with show.quiet_libraries(), show.job_progress(as_json) as report:
            pairs = pairs_from_adapters(
                arms[0],
                arms[1],
                dataset,
                get_settings(),
                limit=limit,
                seed=seed,
                progress=lambda what, _share: report("activity", {"text": what}),
            )
    try:
        with database.write() as session:
            made = studies.create(session, name, (first, second), pairs, question).id
    except ValueError as error:
        raise InputError(str(error)) from None
    except IntegrityError:
        raise InputError(f"name={name}: a study of this name exists already") from None
    if as_json:
        show.print_json({"id": made, "name": name, "pairs": len(pairs)})
    else:
        show.out.print(f"study {made}: {len(pairs)} pairs; rate them on the page's Rate tab")


@command
def report(study_id: int, as_json: Json = False) -> None:
    """Print a study's win rate with its interval."""
    found = read_report(open_home(), study_id)
    if as_json:
        show.print_json(found)
        return
    show.out.print(f"{found['name']}: {found['ratings']} ratings of {found['pairs']} pairs")
    if found["win_rate"] is None:
        return
    low, high = found["interval"]
    show.out.print(
        f"{found['arms'][0]} preferred over {found['arms'][1]}: {found['win_rate']:.1%} "
        f"(95% interval {low:.1%} to {high:.1%}, ties as halves)",
        markup=False,
    )


@command
def export(study_id: int) -> None:
    """Print every rating as a JSON line, told by arm: 5 means the first arm is much better."""
    database = open_home()
    read_report(database, study_id)
    with database.read() as session:
        rows = studies.results(session, study_id)
    for row in rows:
        show.print_json(
            {
                "pair": row.pair_id,
                "annotator": row.annotator,
                "score": row.score,
                "left_arm": row.left_arm,
                "seconds": row.seconds,
                "created_at": row.created_at.isoformat(),
            }
        )


def check_name(database: Database, name: str) -> None:
    """Raises InputError where a study has this name, before anything is generated for it."""
    with database.read() as session:
        if any(one.name == name for one in studies.list_studies(session)):
            raise InputError(f"name={name}: a study of this name exists already")


def read_report(database: Database, study_id: int) -> dict[str, Any]:
    """A study's figures. Raises NotFoundError where there is no such study."""
    with database.read() as session:
        found = studies.get_study(session, study_id)
        if found is None:
            raise NotFoundError(f"study={study_id}: there is no such study")
        scores = [row.score for row in studies.results(session, study_id)]
        _, pairs = studies.progress(session, study_id)
        facts = {"id": study_id, "name": found.name, "arms": found.arms, "pairs": pairs}
    if not scores:
        return facts | {"ratings": 0, "win_rate": None, "interval": None}
    rate = win_rate(scores)
    return facts | {
        "ratings": len(scores),
        "win_rate": rate.rate,
        "interval": [rate.interval.low, rate.interval.high],
    }
