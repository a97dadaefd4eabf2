"""A person's way through a study: who asks, what they may do, and which screen comes next.

Nothing is remembered between two requests but what the database holds, so a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from db import annotators, studies, study_attention, study_counts, study_ratings, study_slots
from db.models import Annotator, Study
from db.study_slots import Lease, Refused
from guardui import rate_asked as asked
from guardui import render_rate, render_rate_after, render_rate_entry
from guardui.identity import code_again, code_hash, hub_hash, new_code, on_space, study_of
from pipelines.schema import InputError
from pipelines.settings import Settings
from pipelines.studies.design import StudyDesign, title

UNKNOWN_CODE = (
    "This invite code is not known here. Check that the link was copied whole, or ask who sent it."
)


class NotKnown(Exception):
    """Nobody is known by what was shown: a wrong code, or no code at all."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request shows of who sends it: a code, or a Hub login (account, name) and a study."""

    code: str = ""
    account: tuple[str, str] | None = None
    study_id: int | None = None


@dataclass(frozen=True, slots=True)
class Screen:
    """What the browser is to show. `draw` makes the HTML once the transaction is over."""

    name: str
    draw: Callable[[], str]
    token: str | None = None
    message: str = ""
    saved: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visit:
    """A known person in a study, within one transaction."""

    session: Session
    study: Study
    design: StudyDesign
    person: Annotator

    @property
    def lease_seconds(self) -> float:
        return 60 * self.design.lease_minutes


def welcome(session: Session, caller: Caller) -> Screen:
    """How to get in, for whom nobody knows yet."""
    open_ones = [
        (study.id, title(study.id, study.design.get("title", "")))
        for study in studies.list_studies(session)
        if study.state == "open" and study.design.get("enrolment") == "open"
    ]
    name = caller.account[1] if caller.account else ""
    draw = partial(render_rate_entry.entry, open_ones, hub=on_space(), account=name)
    return Screen("entry", draw)


def find(session: Session, settings: Settings, caller: Caller) -> Visit | None:
    """Who a caller is; None for one who shows nothing. Raises NotKnown for a wrong code."""
    if caller.code:
        study_id = study_of(caller.code)
        if study_id is None:
            raise NotKnown(UNKNOWN_CODE)
        key = code_hash(settings, study_id, caller.code)
    elif caller.account and caller.study_id:
        study_id = caller.study_id
        key = hub_hash(settings, study_id, caller.account[0])
    else:
        return None
    study = studies.get_study(session, study_id)
    person = annotators.find(session, study_id, key) if study else None
    if study is None or person is None:
        raise NotKnown(UNKNOWN_CODE)
    return Visit(session, study, StudyDesign.model_validate(study.design), person)


def join(
    session: Session, settings: Settings, caller: Caller, body: Mapping[str, Any]
) -> tuple[Visit, str]:
    """Lets a person into a study that is open to everybody; returns them and their new code,
    which is empty for a Hub login. Raises InputError where the study isn't open to everybody."""
    wanted = asked.read(asked.Join, body)
    study = studies.get_study(session, wanted.study)
    if study is None or study.state != "open" or study.design.get("enrolment") != "open":
        raise InputError("study: it is not open to everybody; an invitation is needed")
    if caller.account:
        code, name = "", caller.account[1]
        key = hub_hash(settings, study.id, caller.account[0])
        person = annotators.find(session, study.id, key)
    else:
        name, nonce = " ".join(wanted.name.split()), wanted.nonce
        if not name:
            raise InputError("name: it is empty; any name will do")
        code = code_again(settings, study.id, nonce) if nonce else new_code(study.id)
        key = code_hash(settings, study.id, code)
        person = annotators.find(session, study.id, key) if nonce else None
    person = person or annotators.invite(session, study.id, key, name)
    return Visit(session, study, StudyDesign.model_validate(study.design), person), code


def progress(visit: Visit) -> dict[str, Any]:
    """The line over the screens. Attention items are counted in from the start, those to come
    too, or they could be told."""
    now = study_ratings.progress(visit.session, visit.study.id, visit.person.id)
    every = visit.design.attention_every
    come = study_attention.attention_to_come(visit.session, visit.person.id, every, now.wanted)
    done = now.done + now.attention_done
    return {
        "study": title(visit.study.id, visit.design.title),
        "done": done,
        "wanted": now.wanted + now.attention_done + come,
        "started": visit.person.consented_at is not None,
    }


def present(
    visit: Visit, onward: asked.Onward, *, message: str = "", saved: bool = False
) -> Screen:
    """The screen that comes next, after which the item on it is this person's for a while."""
    told = Screen("", str, message=message, saved=saved)
    state, person = visit.study.state, visit.person.state
    if person in ("withdrawn", "stopped"):
        return _plain(told, person)
    if state != "open":
        return _plain(told, state)
    if visit.person.consented_at is None:
        draw = partial(
            render_rate_entry.consent, title(visit.study.id, visit.design.title), visit.design
        )
        return replace(told, name="consent", draw=partial(draw, link=False))
    if onward.rest or (not onward.go_on and saved and _tired(visit)):
        return _plain(told, "break")
    lease = _lease(visit)
    if isinstance(lease, str):
        return _plain(told, lease)
    if visit.design.practice and lease.kind != "practice" and visit.person.practised_at is None:
        annotators.practised(visit.session, visit.person.id)
        if study_ratings.progress(visit.session, visit.study.id, visit.person.id).practice_done:
            return _plain(told, "ready")
    return replace(item(visit, lease), message=message, saved=saved)


def _plain(told: Screen, name: str) -> Screen:
    return replace(told, name=name, draw=partial(render_rate_after.plain, name))


def _tired(visit: Visit) -> bool:
    """Whether a break is to be suggested: only right after a main item, or it would be twice."""
    every = visit.design.break_every
    if not every or not study_counts.rated_main_last(visit.session, visit.person.id):
        return False
    today = study_ratings.progress(visit.session, visit.study.id, visit.person.id).today
    return today > 0 and today % every == 0


def _lease(visit: Visit) -> Lease | str:
    """The person's item, or the screen to show where there is none."""
    try:
        lease = study_slots.next_slot(
            visit.session,
            visit.study.id,
            visit.person.id,
            lease_seconds=visit.lease_seconds,
            attention_every=visit.design.attention_every,
            practice=visit.design.practice,
            daily_cap=visit.design.daily_cap,
        )
    except Refused as refused:
        if refused.reason != "cap":
            raise
        return "cap"
    if lease is None:
        waits = study_counts.others_have_some(visit.session, visit.study.id, visit.person.id)
        return "wait" if waits else "done"
    return lease


def item(visit: Visit, lease: Lease) -> Screen:
    """An item to be rated, with its draft; the conversation only if it was revealed before."""
    practice = lease.kind == "practice"
    talk = ""
    if lease.shown_at is not None:
        talk = render_rate.conversation(lease.prompt, lease.response)
    draw = partial(
        render_rate.item,
        f"{'Practice' if practice else 'Pair'} {lease.number_of}",
        _topic(visit, lease),
        visit.design.question,
        lease.left,
        lease.right,
        talk=talk,
        criteria=wanted_criteria(visit.design, lease),
    )
    name = "practice" if practice else "item"
    return Screen(name, draw, lease.token, more={"draft": lease.draft})


def _topic(visit: Visit, lease: Lease) -> str:
    """What is said of an item's topic: nothing where only some kinds of items have one to say."""
    told = set(visit.design.topics)
    if lease.topic not in told:
        return ""
    hidden = study_attention.attention_topics(visit.session, visit.study.id) - told
    return "" if hidden else lease.topic


def wanted_criteria(design: StudyDesign, lease: Lease) -> list[str]:
    """What is asked of each trace before the verdicts are shown."""
    return [name for name in design.criteria if name != "support"] if lease.with_criteria else []


def rated(
    visit: Visit,
    lease: Lease,
    *,
    said: int | None = None,
    editing: bool = False,
    message: str = "",
) -> Screen:
    """A rated item: what was expected (practice), or what both concluded. `said` is the answer
    where it is the first and was given just now."""
    has = False
    if said is None:
        rating = study_ratings.rating_of(visit.session, lease.token, visit.person.id)
        said = rating.overall if rating else 3
        has = rating is not None and "support" in rating.criteria
    pair = asdict(lease)
    told = Screen("after", str, lease.token, message, saved=True)
    if lease.kind == "practice":
        why, side = lease.feedback, lease.expected_side or ""
        draw = partial(render_rate_after.feedback, pair, said, side, why)
        return replace(told, name="feedback", draw=draw)
    verdicts = visit.design.reveal_verdicts
    asks = lease.with_criteria and "support" in visit.design.criteria
    draw_after = partial(
        render_rate_after.after,
        "Your last answer" if editing else "Saved",
        said,
        visit.design.question,
        pair,
        verdicts=verdicts,
        support=verdicts and asks and not has,
        editing=editing,
    )
    return replace(told, draw=draw_after)
