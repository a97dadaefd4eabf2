"""`guardui study`: make preference studies, let people rate them, read and export what came."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from db import annotators, studies
from guardui import cli_output as show
from guardui import study_acts
from guardui.cli_base import Config, Json, Set, app, command_of, open_home, read_values
from guardui.cli_curves import write
from guardui.cli_group import print_wide
from guardui.render_study_people import as_csv
from guardui.render_study_power import needed, passing_words
from guardui.study_reports import records_of, report_of
from pipelines.jobs import queue
from pipelines.jobs.foreground import wait_for_turn
from pipelines.jobs.study_facts import facts_of
from pipelines.settings import get_settings
from pipelines.studies.document import FORMS as REPORT_FORMS
from pipelines.studies.document import facts_json, report_text
from pipelines.studies.words import design_words

study = typer.Typer(no_args_is_help=True, help="Preference studies: whose reasoning is better.")
app.add_typer(study, name="study")
command = command_of(study)

STAGE = "study"
Id = Annotated[int, typer.Argument(metavar="ID", help="The study's number.")]


@command
def create(
    arms: Annotated[
        list[str] | None,
        typer.Argument(help="Adapters, evaluations or predictions files, the main one first."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the study is called.")] = None,
    config: Config = None,
    assignments: Set = None,
    background: Annotated[
        bool, typer.Option("--background", help="Queue it and go on; it becomes a draft.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a study as a draft: the arms answer the same conversations."""
    from pipelines.jobs.worker import run_job

    database = open_home()
    values = read_values(config, assignments)
    values |= {"arms": list(arms)} if arms else {}
    values |= {"name": name} if name else {}
    if background:
        job_id = queue.submit(database, STAGE, values)
        told(as_json, {"job": job_id, "study": None}, f"job {job_id} makes the study")
        return
    job_id = queue.submit(database, STAGE, values, launcher="foreground")
    with show.quiet_libraries(), show.job_progress(as_json) as report:
        try:
            wait_for_turn(database, job_id, on_wait=lambda what: report("activity", {"text": what}))
            job = run_job(database, job_id, foreground=True, on_event=report)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    with database.read() as session:
        made = [one.id for one in studies.list_studies(session) if one.job_id == job_id]
    if not made:
        why = (job.failure or {}).get("message") or job.reason or job.state
        told(as_json, {"job": job_id, "study": None, "state": job.state, "reason": why}, "")
        show.err.print(Text(f"job {job_id} made no study: {why}"))
        raise typer.Exit(1)
    told(as_json, {"job": job_id, "study": made[0]}, f"study {made[0]} is a draft")


def told(as_json: bool, value: Any, sentence: str) -> None:
    """The outcome of a command, for machines or for people."""
    if as_json:
        show.print_json(value)
    elif sentence:
        show.out.print(Text(sentence))


@command_of(study, "list")
def list_studies(as_json: Json = False) -> None:
    """List the studies, the newest first."""
    with open_home().read() as session:
        found = [
            (facts_of(session, one), len(annotators.list_annotators(session, one.id)))
            for one in studies.list_studies(session)
        ]
    if as_json:
        show.print_json([facts_json(one) | {"people": people} for one, people in found])
        return
    if not found:
        show.out.print("No studies yet: try `guardui study create ARM ARM`.")
        return
    table = Table("Study", "Name", "State", "Arms", "Rated", "People", box=None, pad_edge=False)
    for one, people in found:
        table.add_row(
            f"{one.id}",
            Text(one.name),
            one.state,
            Text(", ".join(one.arm_names)),
            f"{one.rated:,}/{one.wanted:,}",
            f"{people}",
        )
    print_wide(table)


@command_of(study, "show")
def show_study(study_id: Id, as_json: Json = False) -> None:
    """Show a study's design in words, and its people by number."""
    records = records_of(open_home(), study_id)
    facts = records.facts
    people = [
        {"number": one.number, "code": one.code, "state": one.state, "ratings": one.ratings}
        for one in records.people
    ]
    if as_json:
        show.print_json(facts_json(facts) | {"people": people})
        return
    show.out.print(Text(f"{facts.name}: {facts.state}, {facts.rated:,} of {facts.wanted:,} rated"))
    for line in [*design_words(facts), *facts.design.remarks]:
        show.out.print(Text(f"- {line}"))
    if facts.design_hash:
        show.out.print(Text(f"sha256 {facts.design_hash}", style="dim"))
    for one in people:
        show.out.print(f"person {one['number']}: {one['state']}, {one['ratings']} ratings")


@command_of(study, "open")
def open_one(study_id: Id, as_json: Json = False) -> None:
    """Freeze a draft's design and let people rate it."""
    digest = study_acts.open_study(open_home(), study_id)
    told(
        as_json,
        {"id": study_id, "state": "open", "design_hash": digest},
        f"study {study_id} is open\nsha256 {digest}",
    )


@command
def pause(study_id: Id, as_json: Json = False) -> None:
    """Give nobody a pair until the study goes on."""
    study_acts.pause_study(open_home(), study_id)
    told(as_json, {"id": study_id, "state": "paused"}, f"study {study_id} is paused")


@command_of(study, "resume")
def resume_one(study_id: Id, as_json: Json = False) -> None:
    """Let a paused study go on."""
    study_acts.resume_study(open_home(), study_id)
    told(as_json, {"id": study_id, "state": "open"}, f"study {study_id} is open")


@command
def close(
    study_id: Id,
    reason: Annotated[str, typer.Option(help="Why it ends, for its record.")] = "",
    as_json: Json = False,
) -> None:
    """End a study for good."""
    study_acts.close_study(open_home(), study_id, reason)
    told(as_json, {"id": study_id, "state": "closed"}, f"study {study_id} is closed")


@command
def delete(study_id: Id, as_json: Json = False) -> None:
    """Delete a draft."""
    study_acts.delete_study(open_home(), study_id)
    told(as_json, {"id": study_id, "state": "deleted"}, f"study {study_id} is deleted")


@command
def invite(
    study_id: Id,
    people: Annotated[int, typer.Option(min=1, help="How many personal links.")] = 1,
    name: Annotated[
        list[str] | None, typer.Option(help="A person's name, as often as needed; kept apart.")
    ] = None,
    base: Annotated[str, typer.Option(help="The page's address, as people reach it.")] = "",
    to: Annotated[Path | None, typer.Option(help="Write the links to this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Make personal links; they are shown once, for only hashes are kept."""
    settings = get_settings()
    page = base or settings.rate_url or f"http://{settings.host}:{settings.port}"
    made = study_acts.invite(open_home(), settings, study_id, people, name or ())
    links = [(who, study_acts.link(page, code)) for who, code in made]
    if to is not None:
        write(to, as_csv(links).encode("utf-8"))
    if as_json:
        show.print_json([{"person": who, "link": address} for who, address in links])
        return
    for who, address in links:
        show.out.print(Text(f"{who}  {address}"))


@command
def forget(study_id: Id, as_json: Json = False) -> None:
    """Delete the names of a study's people; ratings and links stay."""
    count = study_acts.forget_names(open_home(), study_id)
    told(as_json, {"id": study_id, "names": count}, f"{count} names are forgotten")


@command
def power(
    rate: Annotated[float, typer.Option(help="The true win rate, over 0.5.")] = 0.6,
    power: Annotated[float, typer.Option(help="How surely it is to be found.")] = 0.8,
    ties: Annotated[float, typer.Option(help="Share of ratings that are ties.")] = 0.0,
    per_pair: Annotated[float, typer.Option(help="Ratings of a pair, in the mean.")] = 1.0,
    target: Annotated[
        float | None, typer.Option(help="What the study is to pass; else the true win rate.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How many ratings tell a win rate from 50%, and how often they pass the target."""
    found = needed(rate, power, ties, per_pair, target)
    value = {
        "rate": found.rate,
        "power": found.power,
        "decisive": found.decisive,
        "ratings": found.ratings,
        "pairs": found.pairs,
        "target": found.target,
        "passes_at_target": found.at_target,
        "passes_at_rate": found.at_rate,
        "rate_that_passes": found.passing_rate,
    }
    told(
        as_json,
        value,
        f"{found.decisive:,} decisive ratings, {found.ratings:,} with ties, {found.pairs:,} pairs "
        f"tell {rate:.4g} from 0.5.\n{passing_words(found)}",
    )


@command
def report(
    study_id: Id,
    form: Annotated[str | None, typer.Option(help=f"One of {', '.join(REPORT_FORMS)}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Report on a study: win rate, intervals, agreement, people by number."""
    records = records_of(open_home(look_after=False), study_id)
    text = report_text(records, report_of(records), _form(form, out, as_json))
    if out is None:
        typer.echo(text, nl=False)
        return
    write(out, text.encode("utf-8"))
    told(as_json, {"id": study_id, "file": str(out)}, f"wrote {out}")


def _form(form: str | None, out: Path | None, as_json: bool) -> str:
    """What is asked for, or what the file's name says, or Markdown."""
    if form is not None or out is None:
        return form or ("json" if as_json else "markdown")
    return next((one for one, end in REPORT_FORMS.items() if end == out.suffix.lower()), "markdown")
