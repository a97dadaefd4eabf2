"""What was used when memory ran out."""

from pipelines.failures import device_peak, is_out_of_memory, peak_memory, peak_words


def test_the_peak_is_that_of_this_process():
    held = bytearray(64 << 20)
    assert peak_memory() > len(held)
    assert peak_words().startswith(f"peak {peak_memory() / 2**30:.1f} GiB of main memory")


def test_without_a_gpu_there_is_no_peak_of_one(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert device_peak() is None


def test_torch_own_error_counts_and_others_do_not():
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_the_peak_is_this_programs_own():
    """A small program that a large one starts doesn't have the large one's peak."""
    import subprocess
    import sys

    held = bytearray(600 << 20)
    asked = "from pipelines.failures import peak_memory; print(peak_memory())"
    small = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert int(small.stdout) < len(held) / 2


def test_a_torch_that_is_being_imported_has_no_peak(monkeypatch):
    """The recorder's thread asks while the stage's is half through `import torch`."""
    import sys
    import types

    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    assert device_peak() is None
