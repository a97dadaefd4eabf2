from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.jobs import devices
from pipelines.stages.base import StageConfig


class WithDevice(StageConfig):
    device: str = "auto"


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with a GPU, as far as nvidia-smi tells."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    devices._has_nvidia.cache_clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("nvidia")
@pytest.mark.parametrize(
    ("wanted", "visible", "leased"),
    [
        ("auto", None, "cuda:0"),
        ("auto", "2,3", "cuda:2"),
        ("auto", "", "cpu"),
        ("auto", "-1", "cpu"),
        ("cpu", None, "cpu"),
        ("cuda", None, "cuda:0"),
        ("cuda:1", None, "cuda:1"),
        ("cuda:1", "2,3", "cuda:3"),
        ("cuda:5", "2,3", "cuda:5"),
        ("cuda", "GPU-8f14e45f-ceea-167a", "cuda:GPU-8f14e45f-ce"),
    ],
)
def test_lease_names_the_device_as_the_driver_counts(
    monkeypatch: pytest.MonkeyPatch, wanted: str, visible: str | None, leased: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.leased_device(WithDevice(device=wanted)) == leased


def test_a_stage_without_a_device_works_on_the_cpu() -> None:
    assert devices.leased_device(StageConfig()) == "cpu"


def test_no_nvidia_smi_means_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    devices._has_nvidia.cache_clear()
    assert devices.detect_device() == "cpu"
    devices._has_nvidia.cache_clear()
