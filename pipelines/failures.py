"""Telling an exhausted memory from other errors, and how much was used until then."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

GIB = 1 << 30
OOM_SIGNS = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
OOM_ADVICE = (
    "Lower batch_size (raise accumulation as much), lower max_length, turn on "
    "gradient_checkpointing, or load the base with quantization=nf4."
)


def is_out_of_memory(error: BaseException) -> bool:
    """By name, for torch may not be loaded and must not be for this."""
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    by_type = any(n.startswith("torch") and n.endswith(".OutOfMemoryError") for n in names)
    by_text = isinstance(error, RuntimeError) and any(
        sign in str(error).lower() for sign in OOM_SIGNS
    )
    return isinstance(error, MemoryError) or by_type or by_text


def peak_memory() -> int:
    """The most main memory that this process has held, in bytes."""
    # Linux hands `ru_maxrss` on to a program that a larger process starts; its own peak is here.
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.M)):
        return int(found[1]) * 1024
    # macOS gives bytes, everything else kilobytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_peak() -> int | None:
    """The most memory that torch has held on a GPU, in bytes; None where it uses none."""
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return None
        return int(torch.cuda.max_memory_allocated())
    except AttributeError:  # another thread is importing torch at this moment
        return None


def peak_words() -> str:
    """`peak 1.5 GiB of main memory`, and what was held on the GPU where there is one."""
    text = f"peak {peak_memory() / GIB:.1f} GiB of main memory"
    on_device = device_peak()
    return text if on_device is None else f"{text}, {on_device / GIB:.1f} GiB on the device"
