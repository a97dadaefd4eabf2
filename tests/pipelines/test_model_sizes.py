"""Sizes of models: the table's against published counts, a folder's against torch."""

import pytest

from pipelines import model_sizes

# Parameters as the models' own pages state them, tied embeddings counted once.
PUBLISHED = {
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
}


@pytest.mark.parametrize("ref", PUBLISHED)
def test_the_table_counts_what_is_published(ref, home):
    size = model_sizes.find_size(ref)
    assert size.parameters == PUBLISHED[ref]


def test_every_base_of_a_preset_is_in_the_table(home):
    from pipelines.presets import RSFT

    bases = {preset["base_model"] for preset in RSFT.values()}
    assert len(bases) >= 5
    assert all(model_sizes.find_size(base) for base in bases)


def test_a_folder_is_counted_as_torch_counts_it(tiny_base, home):
    from transformers import AutoModelForCausalLM

    size = model_sizes.find_size(str(tiny_base))
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    assert size.parameters == sum(p.numel() for p in model.parameters())
    assert (size.layers, size.hidden, size.heads, size.kv_heads, size.head_dim) == (2, 32, 4, 2, 8)
    shapes = {name: (m.in_features, m.out_features) for name, m in projections(model)}
    assert size.projections() == shapes


def projections(model):
    layer = model.model.layers[0]
    return [*layer.self_attn.named_children(), *list(layer.mlp.named_children())[:3]]


def test_what_is_neither_here_nor_known_has_no_size(home):
    assert model_sizes.find_size("some/unknown-model") is None


def test_a_config_of_another_kind_has_no_size(tmp_path, home):
    (tmp_path / "config.json").write_text('{"model_type": "other"}')
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 4)
    assert model_sizes.find_size(str(tmp_path)) is None
