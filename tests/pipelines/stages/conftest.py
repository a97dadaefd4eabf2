"""What stages of a tiny model are given: an adapter, rows, and the fields of a quick training."""

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_runs import RSFT, make_adapter, make_pairs, write_rows


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_base, tmp_path_factory.mktemp("tiny-adapter"))


@pytest.fixture(scope="session")
def training_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("training-rows") / "rows.jsonl")


@pytest.fixture
def rsft_values(tiny_base: Path, training_rows: Path) -> dict[str, Any]:
    return RSFT | {"base_model": str(tiny_base), "dataset": str(training_rows)}


@pytest.fixture
def pair_values(tiny_adapter: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "adapter": str(tiny_adapter),
        "pairs": str(make_pairs(tmp_path / "pairs")),
        "learning_rate": 5e-3,
        "batch_size": 2,
        "precision": "fp32",
        "device": "cpu",
        "beta": 0.1,
    }
