"""An adapter that was trained on the tiny base, as far as a stage can tell."""

from pathlib import Path

import pytest

from tests.tiny_runs import make_adapter


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_base, tmp_path_factory.mktemp("tiny-adapter"))
