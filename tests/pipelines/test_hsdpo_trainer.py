"""The HS-DPO loss against the formula, computed by hand from the model's logits."""

import math

import pytest
import torch
import torch.nn.functional as F

from pipelines import base_models

BETA, RHO = 0.3, 2.0
TEXTS = [
    ("Human user: hello", "Request: harmful", "Request: unharmful and more"),
    ("Human user: hello hello", "Response: unharmful", "Response: harmful"),
    ("Human", "Completion: refusal", "Completion: compliance, said at length"),
    ("Human user: a longer one by far", "Request: None", "None"),
]
WEIGHTS = [0.8, 1.2, 1.0, 0.9]


@pytest.fixture(scope="module")
def adapter(tiny_base, tmp_path_factory):
    """A trained-looking adapter: random weights instead of LoRA's zeros."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    folder = tmp_path_factory.mktemp("adapter")
    get_peft_model(base_models.load_model(tiny_base), config).save_pretrained(folder)
    return folder


def rows(tokenizer):
    return [
        {
            "prompt_ids": tokenizer(prompt)["input_ids"],
            "chosen_ids": tokenizer(chosen)["input_ids"],
            "rejected_ids": tokenizer(rejected)["input_ids"],
            "weight": weight,
        }
        for (prompt, chosen, rejected), weight in zip(TEXTS, WEIGHTS, strict=True)
    ]


def load(tiny_base, adapter, trainable=True):
    from peft import PeftModel

    model = base_models.load_model(tiny_base)
    return PeftModel.from_pretrained(model, adapter, is_trainable=trainable)


def shift(model):
    """Moves the trained adapter away from its reference."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".default." in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def logp(model, prompt_ids, answer_ids):
    """log pi(answer | prompt), summed over the answer's tokens, without any padding."""
    ids = torch.tensor([prompt_ids + answer_ids])
    logits = F.log_softmax(model(input_ids=ids).logits[0, :-1].float(), dim=-1)
    picked = logits.gather(1, ids[0, 1:, None])[:, 0]
    return picked[len(prompt_ids) - 1 :].sum().item()


def closed_form(policy, reference, batch):
    """The loss and its two terms for a batch of rows, in plain Python."""
    dpo, sft = [], []
    for row in batch:
        sides = [row["prompt_ids"], row["chosen_ids"]], [row["prompt_ids"], row["rejected_ids"]]
        chosen, rejected = (logp(policy, *side) for side in sides)
        ref_chosen, ref_rejected = (logp(reference, *side) for side in sides)
        margin = BETA * ((chosen - ref_chosen) - (rejected - ref_rejected))
        dpo.append(row["weight"] * math.log1p(math.exp(-margin)))
        sft.append(-chosen / len(row["chosen_ids"]))
    mean_dpo, mean_sft = sum(dpo) / len(dpo), sum(sft) / len(sft)
    return mean_dpo + RHO * mean_sft, mean_dpo, mean_sft


@pytest.mark.parametrize("precompute", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_loss_equals_the_closed_form(tiny_base, adapter, tmp_path, batch_size, precompute):
    from datasets import Dataset
    from trl import DPOConfig

    from pipelines.hsdpo_trainer import HSDPOTrainer, WeightedPreferenceCollator

    tokenizer = base_models.load_tokenizer(tiny_base)
    data = rows(tokenizer)
    trainer = HSDPOTrainer(
        rho=RHO,
        model=load(tiny_base, adapter),
        args=DPOConfig(
            str(tmp_path),
            per_device_train_batch_size=batch_size,
            beta=BETA,
            precompute_ref_log_probs=precompute,
            train_sampling_strategy="sequential",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(data),
        data_collator=WeightedPreferenceCollator(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
    )
    shift(trainer.model)
    policy = load(tiny_base, adapter, trainable=False)
    shift(policy)
    reference = load(tiny_base, adapter, trainable=False)
    for number, batch in enumerate(trainer.get_train_dataloader()):
        part = data[number * batch_size : (number + 1) * batch_size]
        with torch.no_grad():
            loss = trainer.compute_loss(trainer.model, batch).item()
            expected, dpo, sft = closed_form(policy, reference, part)
        recorded = trainer._metrics["train"]
        assert loss == pytest.approx(expected, abs=1e-5)
        assert recorded["loss/dpo"][-1] == pytest.approx(dpo, abs=1e-5)
        assert recorded["loss/sft"][-1] == pytest.approx(sft, abs=1e-5)
    assert number + 1 == len(data) // batch_size


def test_weights_move_the_gradient(tiny_base, adapter):
    """A pair of weight 0 adds nothing to the preference term."""
    from pipelines.hsdpo_trainer import hsdpo_loss

    chosen = torch.tensor([-3.0, -5.0], requires_grad=True)
    others = [torch.tensor([-4.0, -4.0]), torch.tensor([-3.5, -4.5]), torch.tensor([-4.0, -4.0])]
    lengths, weights = torch.tensor([2, 4]), torch.tensor([1.0, 0.0])
    loss, _, _ = hsdpo_loss(chosen, *others, lengths, weights, beta=0.5, rho=0.0)
    loss.backward()
    assert chosen.grad[0] < 0
    assert chosen.grad[1] == 0
