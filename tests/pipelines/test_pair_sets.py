"""Pair sets frozen, read, tampered with, compared, and as older versions wrote them."""

import json
import os
import stat

import pytest

from pipelines.demo_base import sha256
from pipelines.pair_rows import PAIR_FIELDS, sample_from, sample_row
from pipelines.pair_sets import (
    describe_pair_set,
    diff_pair_sets,
    read_pairs,
    read_samples,
    read_template,
    write_pair_set,
)
from pipelines.pair_weights import pair_weights, read_ranges
from pipelines.pair_writing import fresh_folder
from pipelines.schema import DataError, InputError, NotFoundError
from tests.hard_cases import TEMPLATE, all_wrong, hard
from tests.tiny_runs import make_pairs, pair_rows


@pytest.fixture
def samples():
    return [
        hard("a", right=3, wrong=1, model="jobs/1/adapter", source="x"),
        hard("b", right=1, wrong=3, model="jobs/1/adapter", source="x"),
        hard("c", right=2, wrong=2, model="jobs/2/adapter", source="x", response="Sure \u2028 😀"),
        all_wrong("d", model="jobs/2/adapter", source="x"),
    ]


def written(folder, samples, **options):
    write_pair_set(folder, samples, TEMPLATE, **options)
    return str(folder)


def test_a_set_is_read_as_it_was_written(samples, tmp_path):
    folder = tmp_path / "set"
    info = write_pair_set(folder, samples, TEMPLATE, record={"rows": 9}, human_edited={"b"})
    rows = read_pairs(str(folder))
    assert [row["row_id"] for row in rows] == ["a", "b", "c"]
    assert [row["weight"] for row in rows] == pytest.approx([0.8, 1.2, 1.0])
    assert [row["human_edited"] for row in rows] == [False, True, False]
    first = rows[0]
    assert tuple(first) == PAIR_FIELDS
    assert (first["model"], first["source"]) == ("jobs/1/adapter", "x")
    assert first["sampling"] == {"seed": 42, "temperature": 0.7, "k": 4}
    assert (first["chosen_index"], first["rejected_index"]) == (2, 3)
    assert first["chosen"] == samples[0].generations[2].text
    assert rows[2]["response"] == "Sure \u2028 😀"
    assert info == describe_pair_set(str(folder))
    assert (info["format"], info["rows"], info["record"]) == (1, 3, {"rows": 9})
    assert info["sha256"] == sha256(folder / "pairs.jsonl")
    assert read_template(str(folder)) == TEMPLATE


def test_samples_come_back_whole(samples, tmp_path):
    found = read_samples(written(tmp_path / "set", samples))
    assert [one.weight for one in found] == pytest.approx([0.8, 1.2, 1.0, 1.0])
    for one, before in zip(found, samples, strict=True):
        assert one.example == before.example
        assert one.generations == before.generations
        assert (one.chosen, one.rejected, one.model) == (
            before.chosen,
            before.rejected,
            before.model,
        )


def test_a_sample_survives_json_with_reasoning_that_is_not_the_texts_beginning():
    (sample,) = [hard("a", reasoning="elsewhere")]
    assert sample_from(json.loads(json.dumps(sample_row(sample)))) == sample


def test_every_file_is_read_only_and_the_folder_takes_no_second_set(samples, tmp_path):
    folder = tmp_path / "pairs"
    written(folder, samples)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(
        ("pairs.jsonl", "samples.jsonl", "guard_template.json", "pair_set.json"), 0o444
    )
    with pytest.raises(InputError, match="holds a frozen pair set; a new version needs its own"):
        write_pair_set(folder, samples, TEMPLATE)
    assert fresh_folder(tmp_path) == tmp_path / "pairs-2"
    assert fresh_folder(tmp_path, "other") == tmp_path / "other"


@pytest.mark.parametrize(
    ("file", "read"), [("pairs.jsonl", read_pairs), ("samples.jsonl", read_samples)]
)
def test_changed_content_is_refused_with_words(samples, tmp_path, file, read):
    folder = tmp_path / "set"
    written(folder, samples)
    path = folder / file
    os.chmod(path, 0o644)
    path.write_text(path.read_text("utf-8").replace("How a?", "How A?"), "utf-8")
    with pytest.raises(DataError, match=f"{file} was changed after the set was frozen") as caught:
        read(str(folder))
    assert "freeze a new version" in str(caught.value)


def test_a_pair_set_json_of_another_format_is_refused(samples, tmp_path):
    folder = tmp_path / "set"
    written(folder, samples)
    for content, told in (
        ('{"format": 2, "sha256": ""}', "format=2, must be 1"),
        ("{", "can't be"),
    ):
        os.chmod(folder / "pair_set.json", 0o644)
        (folder / "pair_set.json").write_text(content)
        with pytest.raises(DataError, match=told):
            read_pairs(str(folder))


def test_a_broken_samples_file_names_its_row(samples, tmp_path):
    folder = make_pairs(tmp_path / "older")
    (folder / "samples.jsonl").write_text('{"row_id": "a"}\n')
    with pytest.raises(DataError, match=r"samples.jsonl:1: not a hard sample \(KeyError"):
        read_samples(str(folder))


def test_older_folders_are_read(tmp_path):
    folder = make_pairs(tmp_path / "older", 4)
    (folder / "mining_info.json").write_text('{"config": {"gamma": 0.5}, "rows": 9}')
    assert read_pairs(str(folder)) == pair_rows(4)
    info = describe_pair_set(str(folder))
    assert (info["format"], info["rows"], info["weighting"], info["gamma"]) == (0, 4, "pooled", 0.5)
    assert info["sha256"] == sha256(folder / "pairs.jsonl")
    with pytest.raises(DataError, match="has pairs alone"):
        read_samples(str(folder))


def test_a_missing_set_is_named(tmp_path):
    for read in (read_pairs, read_samples, describe_pair_set):
        with pytest.raises(NotFoundError, match=f"pairs={tmp_path}: no such pair set"):
            read(str(tmp_path))


def test_a_diff_tells_rows_and_fields(samples, tmp_path):
    before = written(tmp_path / "a", samples)
    longer = hard("b", right=1, wrong=3, model="jobs/1/adapter", source="x", extra="More. ")
    added = hard("e", right=1, wrong=1, model="jobs/9/adapter", source="z")
    after = written(tmp_path / "b", [samples[0], longer, added])
    found = diff_pair_sets(before, after)
    assert (found.added, found.removed, found.unchanged) == (["e"], ["c"], 1)
    assert found.changed == {"b": ["chosen", "rejected"]}
    same = diff_pair_sets(before, before)
    assert (same.added, same.removed, same.changed, same.unchanged) == ([], [], {}, 3)


def test_rows_without_an_id_are_known_by_their_conversation(tmp_path):
    a, b = make_pairs(tmp_path / "a", 3), make_pairs(tmp_path / "b", 2)
    found = diff_pair_sets(str(a), str(b))
    assert (len(found.removed), found.added, found.unchanged) == (1, [], 2)


# Weights of rows that were read


def test_weights_of_rows_are_those_of_the_set_at_its_gamma(samples, tmp_path):
    ref = written(tmp_path / "set", samples, gamma=0.5)
    rows, ranges = read_pairs(ref), read_ranges(describe_pair_set(ref))
    stored = [row["weight"] for row in rows]
    assert stored == pytest.approx([0.5, 1.5, 1.0])
    assert pair_weights(rows, "stored", 0.1) == stored
    assert pair_weights(rows, "paper", 0.5, ranges) == stored
    assert pair_weights(rows, "paper", 0.2, ranges) == pytest.approx([0.8, 1.2, 1.0])
    assert pair_weights(rows, "pooled", 0.2) == pytest.approx([0.8, 1.2, 1.0])
    assert pair_weights(rows, "uniform", 0.2) == [1.0] * 3


def test_ranges_that_were_given_are_kept_for_any_gamma(samples, tmp_path):
    wide = {("jobs/1/adapter", "x"): (-2, 6)}
    ref = written(tmp_path / "set", samples, ranges=wide)
    assert [row["weight"] for row in read_pairs(ref)] == pytest.approx([0.8, 1.0, 1.0])
    ranges = read_ranges(describe_pair_set(ref))
    assert ranges == wide | {("jobs/2/adapter", "x"): (0, 0)}
    assert pair_weights(read_pairs(ref), "paper", 0.5, ranges) == pytest.approx([0.5, 1.0, 1.0])


def test_stored_weights_that_are_missing_are_told(tmp_path):
    with pytest.raises(InputError, match="weighting=stored: 2 pairs have no weight"):
        pair_weights(pair_rows(2), "stored", 0.2)
