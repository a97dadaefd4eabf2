"""The rows of studies before and after migration 0004, each told in the words of the other.

It belongs to that migration and changes no more than it does.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

QUESTION = "Whose reasoning is better?"
# What older studies did without having words for it.
LONGEST_QUESTION = 300
WHOLE = "the whole question was: "
DESIGN: dict[str, Any] = {
    "title": "",
    "guidelines": "",
    "consent": "",
    "criteria": [],
    "criteria_share": 0.0,
    "ratings_per_pair": 1,
    "overlap_share": 0.0,
    "overlap_ratings": 1,
    "attention_every": 0,
    "practice": False,
    "topics": [],
    "reveal_verdicts": False,
    "daily_cap": 0,
    "break_every": 25,
    "lease_minutes": 30.0,
    "target": 0.6,
    "stopping": "fixed",
    "enrolment": "invite",
    "seed": 0,
    "remarks": ["This study was made before studies had a design."],
}
PLACE = (
    *("annotator_id", "token", "leased_at", "lease_until", "shown_at", "done_at", "draft"),
    "drafted_at",
)
Row = Mapping[str, Any]
Made = dict[str, Any]
Tables = dict[str, list[Row]]
Acts = Mapping[tuple[int, str], Row]  # by (pair, name)
People = Mapping[tuple[int, str], int]  # by (study, name)


def newer(old: Mapping[str, Sequence[Row]]) -> Tables:
    """Each pair becomes an item with two traces, each name a person, each assignment a place."""
    new: Tables = defaultdict(list)
    shown = {(row["pair_id"], row["annotator"]): row for row in old["assignments"]}
    rated = {(row["pair_id"], row["annotator"]): row for row in old["ratings"]}
    people = add_people(new, old["study_pairs"], shown, rated)
    crowd = Counter(study for study, _ in people)
    contents = add_items(new, old["study_pairs"], crowd)
    for study in old["studies"]:
        add_study(new, study, contents[study["id"]], crowd[study["id"]])
    add_places(new, shown, rated, people)
    return new


def add_people(new: Tables, pairs: Sequence[Row], shown: Acts, rated: Acts) -> People:
    study_of = {pair["id"]: pair["study_id"] for pair in pairs}
    people: dict[tuple[int, str], int] = {}
    for (pair, name), row in sorted({**rated, **shown}.items(), key=lambda one: began(one[1])):
        if (study_of[pair], name) in people:
            continue
        person = people[study_of[pair], name] = len(people) + 1
        times = ("created_at", "joined_at", "practised_at")
        new["annotators"].append(
            {
                "id": person,
                "study_id": study_of[pair],
                # Nobody's: only a link that is made anew can be told from a name.
                "key_hash": secrets.token_hex(32),
                "state": "active",
                "excluded_topics": [],
                **dict.fromkeys(times, row["created_at"]),
                "consented_at": None,  # nobody asked them
                "ended_at": None,
            }
        )
        new["annotator_names"].append({"annotator_id": person, "name": name})
    return people


def began(row: Row) -> Any:
    return row["created_at"], row["id"]


def add_items(new: Tables, pairs: Sequence[Row], crowd: Mapping[int, int]) -> dict[int, list[Made]]:
    """Returns study -> its items as its hash is over them."""
    contents: dict[int, list[Made]] = defaultdict(list)
    for pair in pairs:
        study, wanted = pair["study_id"], max(1, crowd[pair["study_id"]])
        item = item_of(pair, len(contents[study]))
        traces: list[Made] = [
            {"arm": arm, "text": pair[side], "verdicts": {}, "right": None, "quality": None}
            for arm, side in enumerate(("first", "second"))
        ]
        contents[study].append(item | {"traces": traces, "pairs": [[0, 1, "", wanted]]})
        new["study_items"].append(item | {"id": pair["id"], "study_id": study})
        new["study_traces"] += [trace | {"item_id": pair["id"]} for trace in traces]
        both = {"first_arm": 0, "second_arm": 1, "stratum": "", "wanted": wanted}
        ids = {"id": pair["id"], "study_id": study, "item_id": pair["id"]}
        new["study_pairs"].append(both | ids)
    return contents


def add_study(new: Tables, study: Row, items: list[Made], people: int) -> None:
    arms = [{"name": name, "kind": "unknown", "reference": ""} for name in study["arms"]]
    asked = study["question"]
    design = DESIGN | {"question": asked[:LONGEST_QUESTION] or QUESTION}
    if len(asked) > LONGEST_QUESTION:
        design["remarks"] = [*DESIGN["remarks"], WHOLE + asked]
    design["ratings_per_pair"] = max(1, min(50, people))
    content = {"design": design, "arms": arms, "items": items}
    plain = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    new["studies"].append(
        {
            "id": study["id"],
            "name": study["name"],
            "state": "paused",  # whether it goes on, its researcher says
            "arms": arms,
            "design": design,
            "design_hash": hashlib.sha256(plain.encode()).hexdigest(),
            "job_id": None,
            "created_at": study["created_at"],
            "opened_at": study["created_at"],
            "closed_at": None,
            "close_reason": "",
        }
    )


def add_places(new: Tables, shown: Acts, rated: Acts, people: People) -> None:
    """A place for each person who saw a pair, and free ones up to `wanted`; the ratings in them."""
    seen: dict[int, list[str]] = defaultdict(list)
    for pair_id, name in {**shown, **rated}:
        seen[pair_id].append(name)
    for pair in new["study_pairs"]:
        names = seen[pair["id"]]
        for number in range(pair["wanted"]):
            place: Made = dict.fromkeys(PLACE) | {
                "id": len(new["study_slots"]) + 1,
                "study_id": pair["study_id"],
                "pair_id": pair["id"],
                "number": number,
                "kind": "regular",
                "left_first": number % 2 == 0,
                "with_criteria": False,
            }
            new["study_slots"].append(place)
            if number < len(names):
                key = (pair["id"], names[number])
                occupy(
                    place, people[pair["study_id"], names[number]], shown.get(key), rated.get(key)
                )
                if key in rated:
                    new["ratings"].append(rating_of(rated[key], place))


def occupy(place: Made, person: int, shown: Row | None, rated: Row | None) -> None:
    last = rated or shown or {}
    # A lease that is over: others may have the place if nobody rated.
    times = dict.fromkeys(("leased_at", "lease_until", "shown_at"), (shown or last)["created_at"])
    place.update(times, annotator_id=person, token=secrets.token_urlsafe(24))
    place["left_first"] = last["left_arm"] == 0
    place["done_at"] = rated["created_at"] if rated else None


def rating_of(old: Row, place: Row) -> Made:
    return {
        "id": old["id"],
        "study_id": place["study_id"],
        "pair_id": place["pair_id"],
        "slot_id": place["id"],
        "annotator_id": place["annotator_id"],
        "revision": 1,
        "submission": place["token"],
        "overall": old["score"],
        "criteria": {},
        "note": "",
        "marks": [],
        "seconds": old["seconds"],
        "late": False,
        "created_at": old["created_at"],
    }


def item_of(pair: Row, position: int) -> Made:
    return {
        "position": position,
        "kind": "main",
        "prompt": pair["prompt"],
        "response": pair["response"],
        "source": "",
        "row_id": "",
        "topic": "",
        "gold": {},
        "expected_arm": None,
        "feedback": "",
    }


def older(new: Mapping[str, Sequence[Row]]) -> Tables:
    """What the older tables have words for: studies of two arms, and first opinions."""
    old: Tables = defaultdict(list)
    kept = {row["id"]: row for row in new["studies"] if len(row["arms"]) == 2}
    items = {row["id"]: row for row in new["study_items"] if row["kind"] == "main"}
    texts = {(row["item_id"], row["arm"]): row["text"] for row in new["study_traces"]}
    for study in kept.values():
        question = study["design"].get("question", QUESTION)
        for remark in study["design"].get("remarks", []):
            if remark.startswith(WHOLE):
                question = remark.removeprefix(WHOLE)
        names = [arm["name"] for arm in study["arms"]]
        same = {key: study[key] for key in ("id", "name", "created_at")}
        old["studies"].append(same | {"question": question, "arms": names})
    pairs = {
        row["id"]: row
        for row in new["study_pairs"]
        if row["study_id"] in kept and row["item_id"] in items
    }
    for pair in pairs.values():
        item = items[pair["item_id"]]
        old["study_pairs"].append(
            {
                **{key: pair[key] for key in ("id", "study_id")},
                **{key: item[key] for key in ("prompt", "response")},
                "first": texts[item["id"], 0],
                "second": texts[item["id"], 1],
            }
        )
    who = names_of(new)
    sides = {}
    for slot in new["study_slots"]:
        if slot["pair_id"] not in pairs or slot["annotator_id"] is None:
            continue
        first_left = slot["left_first"] == (pairs[slot["pair_id"]]["first_arm"] == 0)
        sides[slot["id"]] = left = 0 if first_left else 1
        shown = {"pair_id": slot["pair_id"], "annotator": who[slot["annotator_id"]]}
        made = slot["leased_at"] or slot["done_at"]
        old["assignments"].append(shown | {"left_arm": left, "created_at": made})
    for row in new["ratings"]:
        if row["slot_id"] not in sides or row["revision"] != 1:
            continue
        told = {key: row[key] for key in ("id", "pair_id", "seconds", "created_at")}
        # Both bad had no word of its own: neither was better.
        told |= {"annotator": who[row["annotator_id"]], "score": row["overall"] or 3}
        old["ratings"].append(told | {"left_arm": sides[row["slot_id"]]})
    return old


def names_of(new: Mapping[str, Sequence[Row]]) -> dict[int, str]:
    """annotator id -> a name that nobody else in the study has, of at most 100 characters."""
    told = {row["annotator_id"]: row["name"][:80] for row in new["annotator_names"]}
    study_of = {row["id"]: row["study_id"] for row in new["annotators"]}
    count = Counter((study_of[person], name) for person, name in told.items())
    return {
        person: told[person]
        if person in told and count[study, told[person]] == 1
        else f"{told.get(person, 'person')} {person}"
        for person, study in study_of.items()
    }
