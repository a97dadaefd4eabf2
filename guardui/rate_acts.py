"""What an annotator can do, one function an act; each runs within one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from db import annotators, study_ratings, study_slots
from db.study_slots import Refused
from guardui import rate_asked as asked
from guardui import rate_service as service
from guardui.rate_service import Screen, Visit
from guardui.render_rate import conversation
from pipelines.schema import InputError

Body = Mapping[str, Any]
Act = Callable[[Visit, Body], Screen]
ONWARD = asked.Onward(go_on=True)


def state(visit: Visit, body: Body) -> Screen:
    """Where a page that was reloaded goes on: at the rated item it showed, else at the item that
    is the person's now, which is the one it showed unless somebody else has rated that."""
    place = asked.read(asked.Place, body)
    if place.token and visit.study.state == "open" and visit.person.state == "active":
        lease = study_slots.find_lease(visit.session, place.token, visit.person.id)
        if lease.done_at is not None and place.after:
            return service.rated(visit, lease)
    return service.present(visit, ONWARD)


def go_on(visit: Visit, body: Body) -> Screen:
    onward = asked.read(asked.Onward, body)
    return service.present(visit, onward, saved=not onward.go_on)


def consent(visit: Visit, body: Body) -> Screen:
    given = asked.read(asked.Consent, body)
    unknown = set(given.topics) - set(visit.design.topics)
    if unknown:
        raise InputError(f"topics: {len(unknown)} of them are no topic of this study")
    if visit.study.state == "open":
        person = annotators.consent(visit.session, visit.person.id, given.topics)
        visit = Visit(visit.session, visit.study, visit.design, person)
    return service.present(visit, ONWARD)


def reveal(visit: Visit, body: Body) -> Screen:
    token = asked.read(asked.Held, body).token
    lease = study_slots.reveal(
        visit.session, token, visit.person.id, lease_seconds=visit.lease_seconds
    )
    return Screen("", lambda: conversation(lease.prompt, lease.response), token)


def draft(visit: Visit, body: Body) -> Screen:
    given = asked.read(asked.Drafted, body)
    study_slots.save_draft(
        visit.session,
        given.token,
        visit.person.id,
        given.draft.model_dump(mode="json"),
        lease_seconds=visit.lease_seconds,
    )
    return Screen("", str, given.token, "Draft saved", saved=True)


def submit(visit: Visit, body: Body) -> Screen:
    given = asked.read(asked.Answer, body)
    stored = study_ratings.submit(
        visit.session,
        given.token,
        visit.person.id,
        given.overall,
        {name: list(levels) for name, levels in given.criteria.items() if name != "support"},
        given.note,
        [mark.model_dump() for mark in given.marks],
    )
    if stored.lease.shown_at is None and not stored.repeated:  # the page keeps what is filled in
        raise Refused("invalid", "show the conversation first (R)")
    wanted = service.wanted_criteria(visit.design, stored.lease)
    missing = [name for name in wanted if name not in given.criteria]
    if missing and not stored.repeated:  # nothing of it stays: the transaction ends with this
        raise InputError(f"{', '.join(missing)}: must be given for A and for B")
    message = "Saved before: your first answer counts" if stored.repeated else "Saved"
    if stored.lease.kind == "practice" or visit.design.reveal_verdicts:
        said = None if stored.repeated else given.overall
        return service.rated(visit, stored.lease, said=said, message=message)
    return service.present(visit, asked.Onward(), message=message, saved=True)


def support(visit: Visit, body: Body) -> Screen:
    given = asked.read(asked.Support, body)
    study_ratings.add_support(visit.session, given.token, visit.person.id, given.left, given.right)
    return service.present(visit, asked.Onward(), message="Saved", saved=True)


def revise(visit: Visit, body: Body) -> Screen:
    """A change of mind about the whole; all else is taken over from the answer before."""
    given = asked.read(asked.Second, body)
    lease = study_slots.find_lease(visit.session, given.token, visit.person.id)
    last = study_ratings.rating_of(visit.session, given.token, visit.person.id)
    if last is None:
        raise InputError("token: nothing was rated with it that could be changed")
    if last.overall != given.overall:
        study_ratings.revise(
            visit.session,
            given.token,
            visit.person.id,
            given.overall,
            last.criteria,
            last.note,
            last.marks,
        )
    return service.rated(visit, lease, message="Second opinion kept")


def skip(visit: Visit, body: Body) -> Screen:
    given = asked.read(asked.Skip, body)
    study_ratings.skip(visit.session, given.token, visit.person.id, given.reason, given.note)
    return service.present(visit, ONWARD, message="Skipped", saved=True)


def undo(visit: Visit, body: Body) -> Screen:
    """The person's last rating, to be looked at again and given a second opinion."""
    token = study_ratings.last_rated(visit.session, visit.study.id, visit.person.id)
    if token is None:
        raise InputError("There is no answer to edit yet.")
    lease = study_slots.find_lease(visit.session, token, visit.person.id)
    return service.rated(visit, lease, editing=True)


def stop(visit: Visit, body: Body) -> Screen:
    annotators.stop(visit.session, visit.person.id)
    return service.present(visit, ONWARD)


def resume(visit: Visit, body: Body) -> Screen:
    annotators.resume(visit.session, visit.person.id)
    return service.present(visit, ONWARD)


def withdraw(visit: Visit, body: Body) -> Screen:
    erase = asked.read(asked.Withdrawal, body).erase
    annotators.withdraw(visit.session, visit.person.id, erase)
    done = (
        "They are erased from the disk; files that were exported earlier keep them."
        if erase
        else "They stay stored, marked as withdrawn."
    )
    return service.present(visit, ONWARD, message=f"Withdrawn. {done}")


ACTS: dict[str, Act] = {
    "enter": state,
    "state": state,
    "consent": consent,
    "reveal": reveal,
    "draft": draft,
    "submit": submit,
    "support": support,
    "revise": revise,
    "skip": skip,
    "next": go_on,
    "undo": undo,
    "stop": stop,
    "resume": resume,
    "withdraw": withdraw,
}
