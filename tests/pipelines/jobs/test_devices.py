"""Which device a job is leased, and what its process then sees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.jobs import devices
from pipelines.stages.base import StageConfig


class WithDevice(StageConfig):
    device: str = "auto"


Machine = Callable[[int], None]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """A machine with so many GPUs, as far as nvidia-smi tells."""

    def have(count: int) -> None:
        program = tmp_path / "nvidia-smi"
        lines = "".join(f"echo 'GPU {n}: NVIDIA H200 (UUID: GPU-{n})'\n" for n in range(count))
        program.write_text(f"#!/bin/sh\n{lines}")
        program.chmod(0o755)
        devices._count_nvidia.cache_clear()

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield have
    devices._count_nvidia.cache_clear()


@pytest.mark.parametrize(
    ("count", "wanted", "visible", "leased"),
    [
        (1, "auto", None, "cuda:0"),
        (1, "auto", "2", "cuda:2"),
        (1, "auto", "", "cpu"),
        (1, "auto", "-1", "cpu"),
        (4, "auto", None, "auto"),
        (4, "auto", "2,3", "auto"),
        (4, "auto", "3,-1,2", "cuda:3"),
        (1, "cpu", None, "cpu"),
        (1, "cuda", None, "cuda:0"),
        (4, "cuda:1", None, "cuda:1"),
        (4, "cuda:1", "2,3", "cuda:3"),
        (4, "cuda:5", "2,3", "cuda:5"),
        (1, "cuda", "GPU-8f14e45f-ceea-167a", "cuda:GPU-8f14e45f-ce"),
    ],
)
def test_lease_names_the_device_as_the_driver_counts(
    gpus: Machine,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    wanted: str,
    visible: str | None,
    leased: str,
) -> None:
    gpus(count)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.leased_device(WithDevice(device=wanted)) == leased


def test_all_visible_devices_are_known(gpus: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(3)
    assert devices.visible_devices() == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 0")
    assert devices.visible_devices() == ["cuda:2", "cuda:0"]
    assert devices.detect_device() == "cuda:2"


def test_a_stage_without_a_device_works_on_the_cpu() -> None:
    assert devices.leased_device(StageConfig()) == "cpu"


def test_no_nvidia_smi_means_cpu(gpus: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    devices._count_nvidia.cache_clear()
    assert devices.detect_device() == "cpu"


@pytest.mark.parametrize(
    ("leased", "visible", "seen"),
    [
        ("cuda:3", None, "3"),
        ("cuda:3", "2,3", "3"),
        ("cuda:GPU-8f14e45f-ce", "GPU-1,GPU-8f14e45f-ceea-167a", "GPU-8f14e45f-ceea-167a"),
        ("cpu", "2,3", "2,3"),
        ("cpu", None, None),
    ],
)
def test_a_process_sees_its_own_device_alone_and_later_all_again(
    monkeypatch: pytest.MonkeyPatch, leased: str, visible: str | None, seen: str | None
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with devices.only(leased):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_a_named_gpu_is_the_only_one_that_its_process_sees() -> None:
    assert devices.as_seen(WithDevice(device="cuda:3")).device == "cuda"
    assert devices.as_seen(WithDevice(device="auto")).device == "auto"
    assert devices.as_seen(StageConfig()) == StageConfig()
