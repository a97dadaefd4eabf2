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
