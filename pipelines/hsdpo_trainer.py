"""The HS-DPO loss on top of TRL's DPOTrainer. Imported only where training happens."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.utils import is_peft_model
from trl import DPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import use_adapter


def hsdpo_loss(
    chosen_logps: torch.Tensor,
    rejected_logps: torch.Tensor,
    ref_chosen_logps: torch.Tensor,
    ref_rejected_logps: torch.Tensor,
    chosen_lengths: torch.Tensor,
    weights: torch.Tensor,
    *,
    beta: float,
    rho: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """B pairs' summed log-probabilities (B,) in nats -> (loss, DPO term, SFT term), scalars.

    L = mean_i[-alpha_i log sigmoid(beta (delta_chosen - delta_rejected))]
        + rho mean_i[-log pi(chosen_i) / |chosen_i|], as in GuardReasoner (arXiv 2501.18492).
    """
    margin = (chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps)
    dpo = (-weights * F.logsigmoid(beta * margin)).mean()
    sft = (-chosen_logps / chosen_lengths).mean()
    return dpo + rho * sft, dpo, sft


class WeightedPreferenceCollator(DataCollatorForPreference):
    """TRL's preference collator, keeping each pair's weight as `weights` (B,)."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        batch["weights"] = torch.tensor([example["weight"] for example in examples])
        return batch


class HSDPOTrainer(DPOTrainer):
    """DPOTrainer with a weight a pair and a length-normalised SFT term.

    Rows carry `prompt_ids`, `chosen_ids`, `rejected_ids` and `weight`. The reference is what the
    parent makes it: the `ref` copy of a trained adapter, or the `ref_model` of a full fine-tune.
    """

    def __init__(self, *args: Any, rho: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rho = rho

    def _prepare_dataset(self, dataset: Any, *_args: Any, **_kwargs: Any) -> Any:
        return dataset  # tokenised already, with the prompt that the guard template renders

    def _set_signature_columns_if_needed(self) -> None:
        # The parent's list would drop the weights without a word.
        super()._set_signature_columns_if_needed()
        if "weight" not in self._signature_columns:
            self._signature_columns.append("weight")

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        kept = {name: value for name, value in inputs.items() if name != "weights"}
        return super().compute_ref_log_probs(model, kept)

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        mask = inputs["completion_mask"]
        labels = inputs["input_ids"].masked_fill(mask == 0, -100)
        forward = {
            "input_ids": inputs["input_ids"],
            "attention_mask": inputs["attention_mask"],
            "use_cache": False,
            "labels": labels,
            "fused_lm_head": True,
        }
        outputs = model(**forward)
        chosen, rejected = outputs.log_probs.sum(dim=1).chunk(2)
        if self.precompute_ref_logps:
            ref_chosen, ref_rejected = inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
        else:
            with (
                torch.no_grad(),
                disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs),
                self._as_reference(),
            ):
                reference = self.model if self.ref_model is None else self.ref_model
                logps = reference(**forward).log_probs.sum(dim=1)
            ref_chosen, ref_rejected = logps.chunk(2)
        loss, dpo, sft = hsdpo_loss(
            chosen,
            rejected,
            ref_chosen,
            ref_rejected,
            mask[:, 1:].sum(dim=1).chunk(2)[0],
            inputs["weights"].to(chosen),
            beta=self.beta,
            rho=self.rho,
        )
        self._record(dpo, sft, chosen - ref_chosen, rejected - ref_rejected)
        return (loss, outputs) if return_outputs else loss

    def _as_reference(self) -> Any:
        """A context in which a PEFT model answers as the reference does."""
        if self.ref_model is not None or not is_peft_model(self.model):
            return nullcontext()
        model = self.accelerator.unwrap_model(self.model)
        return use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None)

    def _record(
        self, dpo: torch.Tensor, sft: torch.Tensor, chosen: torch.Tensor, rejected: torch.Tensor
    ) -> None:
        """Keeps this batch's numbers for the next log; rewards are beta times the log-ratios."""
        rewards = [self.beta * ratios.detach() for ratios in (chosen, rejected)]
        values = {
            "loss/dpo": dpo.detach(),
            "loss/sft": sft.detach(),
            "rewards/chosen": rewards[0],
            "rewards/rejected": rewards[1],
            "rewards/margins": rewards[0] - rewards[1],
            "rewards/accuracies": (rewards[0] > rewards[1]).float(),
        }
        metrics = self._metrics["train" if self.model.training else "eval"]
        for name, value in values.items():
            metrics[name].append(self.accelerator.gather(value).mean().item())
