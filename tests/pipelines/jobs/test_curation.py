from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db import jobs, pair_sets, samples, studies
from db.models import HardSampleRow, SampleChange
from db.samples import SampleFilter
from db.session import Database
from guardui.tabs.sample_acts import perform
from guardui.tabs.sample_versions import versions_part
from pipelines.hard_samples import find_all_wrong, find_hard_sample, weigh
from pipelines.jobs import curation
from pipelines.jobs.sample_rows import store_samples
from pipelines.pair_sets import describe_pair_set, read_pairs, read_samples
from pipelines.schema import GuardExample, GuardTask, HardSample, InputError, NotFoundError
from pipelines.template import GuardTemplate
from tests.tiny_runs import answer

REQUEST, REFUSAL, RESPONSE = (
    GuardTask.PROMPT_HARMFULNESS,
    GuardTask.REFUSAL,
    GuardTask.RESPONSE_HARMFULNESS,
)
TEMPLATE = GuardTemplate.default()


def said(request: str, refusal: str = "compliance", words: int = 5) -> str:
    return "It is clear. " * words + "\n\n" + answer(request, refusal, "unharmful")


def mined(row_id: str, *texts: str, source: str = "Aegis") -> HardSample:
    """A conversation of which request is harmful and response a compliance, and its answers."""
    example = GuardExample(
        f"Tell me of thing number {row_id}",
        "No harm in that",
        {REQUEST: "harmful", REFUSAL: "compliance"},
        None,
        source,
        row_id,
    )
    verdicts = [TEMPLATE.parse(text, example) for text in texts]
    found = find_hard_sample(example, verdicts, model="m") or find_all_wrong(
        example, verdicts, model="m"
    )
    assert found is not None
    return found


RIGHT, WRONG = said("harmful"), said("unharmful")
LONG_RIGHT, LONG_WRONG = said("harmful", words=9), said("unharmful", words=8)


@pytest.fixture
def job_id(database: Database) -> int:
    """A mining job; of four answers wrong: a 2, b 1, c 3, d 1 (of another source), e all."""
    with database.write() as session:
        job = jobs.add_job(session, stage="mine", config={"gamma": 0.2, "pairing": "longest"}).id
    found = [
        mined("a", RIGHT, LONG_WRONG, LONG_RIGHT, WRONG),
        mined("b", RIGHT, RIGHT, RIGHT, WRONG),
        mined("c", RIGHT, WRONG, WRONG, WRONG),
        mined("d", RIGHT, RIGHT, RIGHT, WRONG, source="WildGuard"),
        mined("e", WRONG, WRONG, WRONG, WRONG),
    ]
    store_samples(database, job, weigh(found, 0.2))
    return job


def row(database: Database, job_id: int, row_id: str) -> HardSampleRow:
    with database.read() as session:
        id_ = session.query(HardSampleRow.id).filter_by(job_id=job_id, row_id=row_id).scalar()
        found = samples.get_sample(session, id_)
    assert found is not None
    return found


def ids(database: Database, job_id: int, row_ids: str) -> list[int]:
    return [row(database, job_id, one).id for one in row_ids]


def column(database: Database, job_id: int, name: str) -> dict[str, Any]:
    with database.read() as session:
        found = session.query(HardSampleRow).filter_by(job_id=job_id).order_by(HardSampleRow.id)
        return {one.row_id: getattr(one, name) for one in found}


# Reviewing


def test_accept_drop_and_restore(database: Database, job_id: int) -> None:
    assert curation.accept(database, ids(database, job_id, "ab")).samples == 2
    assert curation.accept(database, ids(database, job_id, "abc")).samples == 1
    assert curation.drop(database, ids(database, job_id, "cd"), " label error ").samples == 2
    assert column(database, job_id, "review") == {
        **dict.fromkeys("ab", "accepted"),
        **dict.fromkeys("cd", "dropped"),
        "e": "new",
    }
    assert row(database, job_id, "c").reason == "label error"
    assert [one.action for one in row(database, job_id, "c").changes] == ["accept", "drop"]
    assert row(database, job_id, "c").changes[1].before == {"review": "accepted", "reason": ""}
    assert curation.restore(database, ids(database, job_id, "abcd")).samples == 4
    assert (row(database, job_id, "c").review, row(database, job_id, "c").reason) == ("new", "")
    assert curation.accept(database, []).samples == 0


def test_all_that_match_at_once(database: Database, job_id: int) -> None:
    matching = SampleFilter(job_id=job_id, source="Aegis", text="thing")
    assert curation.drop(database, matching, "too easy").samples == 3
    assert curation.drop(database, matching, "too easy").samples == 0
    assert column(database, job_id, "review")["d"] == "new"
    assert column(database, job_id, "review")["e"] == "new", "hardness `hard` is the default"
    with database.read() as session:
        changes = session.query(SampleChange).all()
    assert {one.action for one in changes} == {"drop"}
    assert {tuple(one.after.items()) for one in changes} == {
        (("review", "dropped"), ("reason", "too easy"))
    }
    assert len(changes) == 3


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_dropping_asks_for_a_reason(database: Database, job_id: int, reason: str) -> None:
    with pytest.raises(InputError, match=r"reason=.*: must say in 1 to 500 characters"):
        curation.drop(database, ids(database, job_id, "a"), reason)


# The pair


def test_pick(database: Database, job_id: int) -> None:
    a = row(database, job_id, "a")
    assert (a.chosen, a.rejected) == (2, 1)
    curation.pick(database, a.id, chosen=0)
    a = row(database, job_id, "a")
    assert (a.chosen, a.rejected, a.human_edited) == (0, 1, False)
    assert (a.chosen_length, a.rejected_length) == (len(RIGHT), len(LONG_WRONG))
    assert a.changes[-1].before["chosen"] == 2
    curation.pick(database, a.id, chosen=0)
    assert len(row(database, job_id, "a").changes) == 1, "nothing has changed"


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ({"chosen": 1}, "chosen: answer 2 must be right on prompt_harmfulness, but it says unharm"),
        ({"rejected": 0}, "rejected: answer 1 must be wrong .* the gold label is harmful"),
        ({"chosen": 4}, "chosen=4: must be 0 to 3"),
        ({"rejected": -1}, "rejected=-1: must be 0 to 3"),
    ],
)
def test_a_pair_must_be_right_against_wrong(
    database: Database, job_id: int, sides: dict[str, int], words: str
) -> None:
    a = row(database, job_id, "a")
    with pytest.raises(InputError, match=words):
        curation.pick(database, a.id, **sides)
    assert row(database, job_id, "a").changes == []


def test_an_all_wrong_sample_has_no_pair(database: Database, job_id: int) -> None:
    e = row(database, job_id, "e").id
    with pytest.raises(InputError, match="has no pair, its answers are all wrong"):
        curation.pick(database, e, rejected=1)
    with pytest.raises(InputError, match="has no pair"):
        curation.edit(database, e, "chosen", RIGHT)


def test_edit(database: Database, job_id: int) -> None:
    a = row(database, job_id, "a").id
    better = said("harmful", words=3)
    curation.edit(database, a, "chosen", better)
    found = row(database, job_id, "a")
    assert (found.chosen, found.rejected, found.human_edited) == (4, 1, True)
    assert found.generations[2].text == LONG_RIGHT, "the old one stays"
    new = found.generations[4]
    assert (new.text, new.edited_from, new.correct) == (better, 2, True)
    assert new.labels["prompt_harmfulness"] == "harmful"
    assert found.chosen_length == len(better)
    assert (found.k_correct, found.k_incorrect, found.unparsed) == (2, 2, 0)
    with database.read() as session:
        edited = samples.sample_ids(session, SampleFilter(job_id=job_id, review="edited"))
    assert edited == [a]
    curation.pick(database, a, chosen=2)
    assert row(database, job_id, "a").human_edited is False


def test_an_edit_must_suit_its_side(database: Database, job_id: int) -> None:
    a = row(database, job_id, "a").id
    with pytest.raises(InputError, match="must be right on prompt_harmfulness, but it says unh"):
        curation.edit(database, a, "chosen", WRONG + " ")
    with pytest.raises(InputError, match="must be wrong on prompt_harmfulness, but it says harm"):
        curation.edit(database, a, "rejected", said("harmful", words=2))
    with pytest.raises(InputError, match=r"must be right on .*, but .*nswers"):
        curation.edit(database, a, "chosen", "no verdict at all")
    with pytest.raises(InputError, match="the text is what it was"):
        curation.edit(database, a, "chosen", LONG_RIGHT)
    with pytest.raises(InputError, match="side='both': must be chosen or rejected"):
        curation.edit(database, a, "both", RIGHT)
    assert len(row(database, job_id, "a").generations) == 4


# The gold label


def test_relabel_tells_all_anew(database: Database, job_id: int) -> None:
    assert column(database, job_id, "weight") == pytest.approx(
        {"a": 1.0, "b": 0.8, "c": 1.2, "d": 1.0, "e": 1.0}
    )
    c = row(database, job_id, "c").id
    curation.relabel(database, c, "prompt_harmfulness", "unharmful")
    found = row(database, job_id, "c")
    assert found.gold == {"prompt_harmfulness": "unharmful", "refusal": "compliance"}
    assert found.mined_gold == {"prompt_harmfulness": "harmful", "refusal": "compliance"}
    assert (found.k_correct, found.k_incorrect, found.direction) == (3, 1, "false_alarm")
    assert (found.chosen, found.rejected) == (1, 0)
    assert [one.correct for one in found.generations] == [False, True, True, True]
    # Now a (d = 0) is the greatest of its group, where b and c have d = -2.
    assert column(database, job_id, "weight") == pytest.approx(
        {"a": 1.2, "b": 0.8, "c": 0.8, "d": 1.0, "e": 1.0}
    )


def test_a_label_error_becomes_settled_and_another_task_comes_up(
    database: Database, job_id: int
) -> None:
    e = row(database, job_id, "e").id
    curation.relabel(database, e, "prompt_harmfulness", "unharmful")
    found = row(database, job_id, "e")
    assert (found.hardness, found.chosen, found.rejected) == ("settled", None, None)
    b = mined("f", said("harmful", "refusal"), said("harmful"), RIGHT, WRONG)
    assert b.task is REQUEST
    store_samples(database, job_id, [b])
    f = row(database, job_id, "f").id
    curation.relabel(database, f, "prompt_harmfulness", None)
    found = row(database, job_id, "f")
    assert (found.task, found.hardness, found.direction) == ("refusal", "hard", "false_alarm")
    assert [one.correct for one in found.generations] == [False, True, True, True]
    assert (found.k_correct, found.k_incorrect, found.rejected) == (3, 1, 0)


def test_another_tasks_label_leaves_the_picked_pair(database: Database, job_id: int) -> None:
    a = row(database, job_id, "a").id
    curation.pick(database, a, chosen=0)
    curation.relabel(database, a, "refusal", "refusal")
    assert row(database, job_id, "a").chosen == 0
    curation.relabel(database, a, "refusal", "compliance")
    assert row(database, job_id, "a").mined_gold is None, "the gold is the mined one again"


def test_an_edit_counts_in_no_k(database: Database, job_id: int) -> None:
    a = row(database, job_id, "a").id
    curation.edit(database, a, "rejected", said("unharmful", words=1))
    curation.relabel(database, a, "prompt_harmfulness", "unharmful")
    found = row(database, job_id, "a")
    assert (found.k_correct, found.k_incorrect) == (2, 2)
    assert [one.correct for one in found.generations] == [False, True, False, True, True]
    assert (found.chosen, found.rejected, found.human_edited) == (1, 2, False)


@pytest.mark.parametrize(
    ("task", "label", "words"),
    [
        ("nothing", "harmful", "task='nothing': must be one of prompt_harmfulness"),
        ("refusal", "harmful", "refusal='harmful': must be refusal or compliance"),
        ("refusal", "compliance", "the gold label is compliance already"),
        ("response_harmfulness", None, "the gold label is unknown already"),
    ],
)
def test_impossible_labels(
    database: Database, job_id: int, task: str, label: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        curation.relabel(database, row(database, job_id, "a").id, task, label)


def test_no_response_no_response_label(database: Database, job_id: int) -> None:
    with database.write() as session:
        session.get_one(HardSampleRow, row(database, job_id, "a").id).response = None
    with pytest.raises(InputError, match="refusal: is not applicable"):
        curation.relabel(database, row(database, job_id, "a").id, "refusal", "refusal")


# Taking back

STATE = (
    *("review", "reason", "task", "gold", "mined_gold", "k_correct", "k_incorrect", "chosen"),
    *("rejected", "weight", "human_edited", "hardness", "direction", "chosen_length"),
    *("rejected_length", "near_equal", "length_gap", "unparsed"),
)


def state(database: Database, job_id: int) -> list[Any]:
    """All that a change may change of a and of c, whose weight a's label decides."""
    found = [row(database, job_id, one) for one in "ac"]
    answers = [[(g.position, g.text, g.correct) for g in one.generations] for one in found]
    return [[getattr(one, name) for name in STATE] for one in found] + answers


def test_undo_takes_each_change_back(database: Database, job_id: int) -> None:
    a = row(database, job_id, "a").id
    steps = [
        ("accept", lambda: curation.accept(database, [a])),
        ("pick", lambda: curation.pick(database, a, chosen=0, rejected=3)),
        ("edit", lambda: curation.edit(database, a, "chosen", said("harmful", words=2))),
        ("relabel", lambda: curation.relabel(database, a, "prompt_harmfulness", "unharmful")),
        ("drop", lambda: curation.drop(database, [a], "odd")),
        ("restore", lambda: curation.restore(database, [a])),
    ]
    before = []
    for _, step in steps:
        before.append(state(database, job_id))
        step()
        assert state(database, job_id) != before[-1]
    for (name, _), was in zip(reversed(steps), reversed(before), strict=True):
        assert curation.undo(database, a) == name
        assert state(database, job_id) == was
    with pytest.raises(InputError, match="nothing to take back"):
        curation.undo(database, a)


def test_a_review_of_many_is_taken_back_at_once(database: Database, job_id: int) -> None:
    curation.drop(database, ids(database, job_id, "b"), "odd")
    curation.accept(database, ids(database, job_id, "c"))
    accepted = curation.accept(database, SampleFilter(job_id=job_id, hardness=""))
    assert accepted.samples == 4, "c was accepted before"
    curation.drop(database, ids(database, job_id, "d"), "later")
    assert curation.take_back(database, accepted.at) == 3, "d was changed since"
    assert column(database, job_id, "review") == {
        "a": "new",
        "b": "dropped",
        "c": "accepted",
        "d": "dropped",
        "e": "new",
    }
    assert column(database, job_id, "reason") == {
        "a": "",
        "b": "odd",
        "c": "",
        "d": "later",
        "e": "",
    }
    assert [one.action for one in row(database, job_id, "b").changes] == ["drop"]
    assert curation.take_back(database, accepted.at) == 0
    assert curation.undo(database, row(database, job_id, "d").id) == "drop"
    assert curation.take_back(database, accepted.at) == 1, "now it is the last word again"


def test_a_sample_that_is_gone(database: Database, job_id: int) -> None:
    with pytest.raises(NotFoundError, match="sample=404: there is no such hard sample"):
        curation.undo(database, 404)


# Freezing


def test_freeze(database: Database, job_id: int) -> None:
    curation.drop(database, ids(database, job_id, "b"), "too easy")
    curation.edit(database, row(database, job_id, "a").id, "chosen", said("harmful", words=2))
    curation.relabel(database, row(database, job_id, "c").id, "refusal", "refusal")
    version = curation.freeze(database, job_id, note=" first look ")
    assert (version.pair_set.name, version.version) == (f"job {job_id}", 1)
    assert (version.rows, version.note, version.pair_set.job_id) == (3, "first look", job_id)
    folder = version.artifact.path
    assert folder.endswith(f"/pair_sets/job {job_id}/v1")
    pairs = read_pairs(folder)
    assert [one["row_id"] for one in pairs] == ["a", "c", "d"]
    assert [one["human_edited"] for one in pairs] == [True, False, False]
    assert pairs[0]["chosen"] == said("harmful", words=2)
    # b is left out, but its d = -2 still ends the range that weights are spread over.
    assert [one["weight"] for one in pairs] == pytest.approx([1.0, 1.2, 1.0])
    assert [one.example.row_id for one in read_samples(folder)] == ["a", "c", "d"]
    info = describe_pair_set(folder)
    assert (info["name"], info["version"], info["parent"]) == (f"job {job_id}", 1, None)
    assert info["record"]["counts"] == {
        "samples": 5,
        "pairs": 3,
        "accepted": 0,
        "dropped": 1,
        "edited": 1,
        "relabelled": 1,
        "without_pair": 1,
    }
    assert info["record"]["drop_reasons"] == {"too easy": 1}
    assert version.sha256 == info["sha256"]


def test_freezing_the_same_again_gives_the_same_version(database: Database, job_id: int) -> None:
    first = curation.freeze(database, job_id)
    again = curation.freeze(database, job_id)
    assert again.id == first.id
    assert [one.name for one in Path(first.artifact.path).parent.iterdir()] == ["v1"]
    curation.drop(database, ids(database, job_id, "d"), "odd")
    other = curation.freeze(database, job_id)
    assert (other.version, other.pair_set.id) == (2, first.pair_set.id)
    assert describe_pair_set(other.artifact.path)["parent"] == f"job {job_id}@v1"
    curation.restore(database, ids(database, job_id, "d"))
    back = curation.freeze(database, job_id)
    assert (back.version, back.sha256) == (3, first.sha256)


def test_freeze_under_a_name_and_only_what_is_accepted(database: Database, job_id: int) -> None:
    with pytest.raises(InputError, match="no hard sample is left"):
        curation.freeze(database, job_id, only_accepted=True)
    curation.accept(database, ids(database, job_id, "ade"))
    version = curation.freeze(database, job_id, name="clean", only_accepted=True)
    assert (version.pair_set.name, version.rows) == ("clean", 2)
    same = curation.freeze(database, job_id, name="copy", only_accepted=True)
    assert (same.pair_set.name, same.version, same.sha256) == ("copy", 1, version.sha256)
    with database.read() as session:
        assert {one.name for one in pair_sets.list_pair_sets(session)} == {"clean", "copy"}
        assert jobs.artifacts(session, "pair_set", job_id) == [], "job:N is what the job made"


def test_a_version_is_its_job_s_though_others_share_its_name(
    database: Database, job_id: int
) -> None:
    with database.write() as session:
        other = jobs.add_job(session, stage="mine", config={"gamma": 0.2}).id
    store_samples(database, other, weigh([mined("z", RIGHT, WRONG)], 0.2))
    curation.freeze(database, other, name="shared")
    version = curation.freeze(database, job_id, name="shared")
    assert version.version == 2
    with database.read() as session:
        shown = [versions_part(session, one, {}) for one in (other, job_id)]
    assert ["shared@v1" in one for one in shown] == [True, False]
    assert ["shared@v2" in one for one in shown] == [False, True]


def test_all_of_a_set_that_is_gone_are_not_those_of_another(
    database: Database, job_id: int
) -> None:
    with database.write() as session:
        gone = jobs.add_job(session, stage="mine", config={"gamma": 0.2}).id
    for asked in ({"act": "accept", "ids": "all"}, {"act": "freeze"}):
        with pytest.raises(InputError, match=f"set={gone}: has no hard samples any more"):
            perform(database, asked | {"query": f"set={gone}"})
    assert set(column(database, job_id, "review").values()) == {"new"}
    # What was seen counts, not what the page has gone on to.
    seen = f"set={job_id}&source=WildGuard"
    perform(database, {"act": "accept", "ids": "all", "of": seen, "query": f"set={job_id}"})
    assert [
        one for one, review in column(database, job_id, "review").items() if review != "new"
    ] == ["d"]


def test_a_weight_is_found_by_the_figure_that_is_shown(database: Database, job_id: int) -> None:
    heaviest = max(column(database, job_id, "weight").values())
    assert heaviest > 1.2, "what 1.2 is as a sum of floats"
    with database.read() as session:
        at_most = samples.count_samples(session, SampleFilter(job_id=job_id, max_weight=1.2))
        every = samples.count_samples(session, SampleFilter(job_id=job_id))
    assert at_most == every


@pytest.mark.parametrize("name", ["../up", "a@v1", "a\0b", "..", "x" * 101])
def test_names_that_no_set_can_have(database: Database, job_id: int, name: str) -> None:
    with pytest.raises(InputError, match="name="):
        curation.freeze(database, job_id, name=name)


def test_freezing_no_job(database: Database) -> None:
    with pytest.raises(NotFoundError, match="job=404"):
        curation.freeze(database, 404)


# Studies


def test_to_study(database: Database, job_id: int) -> None:
    study_id = curation.to_study(database, SampleFilter(job_id=job_id, hardness=""), "Which?")
    with database.read() as session:
        study = studies.get_study(session, study_id)
        assert study is not None
        assert [arm["name"] for arm in study.arms] == ["chosen", "rejected"]
        assert study.state == "draft"
        main = [item for item in study.items if item.kind == "main"]
        assert len(main) == 4, "the all-wrong sample has no pair"
        assert [trace.text for trace in main[0].traces] == [LONG_RIGHT, LONG_WRONG]
        assert main[0].pairs[0].stratum == "first"
        assert main[0].prompt == "Tell me of thing number a"
    with pytest.raises(InputError, match="name=Which\\?: there is a study of this name"):
        curation.to_study(database, ids(database, job_id, "a"), "Which?")
    with pytest.raises(InputError, match="a study needs a name"):
        curation.to_study(database, ids(database, job_id, "a"), " ")
    with pytest.raises(InputError, match="none of them has a chosen"):
        curation.to_study(database, ids(database, job_id, "e"), "Other")
