"""What a machine has, with nvidia-smi, processes and cgroups played."""

import subprocess
from types import SimpleNamespace

import psutil
import pytest

from pipelines import machine

CARDS = "NVIDIA H200, 143771\nNVIDIA L4, 23034\n"


@pytest.fixture
def smi(monkeypatch):
    """Plays nvidia-smi: a function that sets what it says."""

    def play(text, code=0):
        machine._cards.cache_clear()
        monkeypatch.setattr(machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
        done = subprocess.CompletedProcess([], code, stdout=text, stderr="")
        monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: done)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield play
    machine._cards.cache_clear()


@pytest.fixture
def memory_free(monkeypatch, tmp_path):
    """8 GiB are free, nothing runs, there is no container."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 << 30))
    monkeypatch.setattr(psutil, "process_iter", lambda _: [])
    monkeypatch.setattr(machine, "CGROUP", tmp_path)


def test_auto_is_the_first_card(smi):
    smi(CARDS)
    found = machine.find_device("auto")
    assert (found.kind, found.name, found.memory) == ("cuda", "NVIDIA H200", 143771 << 20)
    assert machine.find_device("cuda:1").name == "NVIDIA L4"


def test_cuda_visible_devices_renumbers(smi, monkeypatch):
    smi(CARDS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert machine.find_device("cuda").name == "NVIDIA L4"
    assert machine.find_device("cuda:1").memory == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.find_device("auto").kind == "cpu"


def test_a_card_that_is_named_and_missing_has_no_memory(smi):
    smi("", code=9)
    found = machine.find_device("cuda")
    assert (found.is_gpu, found.memory) == (True, 0)
    assert machine.find_device("auto").kind == "cpu"


def test_the_processor_has_what_is_free(memory_free):
    assert machine.processor().memory == 8 << 30


def test_what_a_running_job_holds_will_be_free_when_it_has_ended(memory_free, monkeypatch):
    def process(*words):
        return SimpleNamespace(
            info={"cmdline": list(words), "memory_info": SimpleNamespace(rss=3 << 30)}
        )

    running = [process("python", "-m", machine.WORKER, "7"), process("vim")]
    running.append(SimpleNamespace(info={"cmdline": None, "memory_info": None}))
    monkeypatch.setattr(psutil, "process_iter", lambda _: running)
    assert machine.processor().memory == 11 << 30


def test_a_container_may_take_no_more_than_its_limit(memory_free, tmp_path):
    (tmp_path / "memory.max").write_text(f"{4 << 30}\n")
    (tmp_path / "memory.current").write_text(f"{3 << 30}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {1 << 30}\n")
    assert machine.processor().memory == 2 << 30
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.processor().memory == 8 << 30
