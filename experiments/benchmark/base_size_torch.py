"""The meta-gradients of the base-size benchmark in torch: Hugging Face's networks.

The fastest form of each: tasks one after the other, fused attention, no copy of weights
that do not adapt, logits of queries only, and the support set encoded once a task.
"""

from collections.abc import Callable
from typing import Any

import base_size_batches as batches
import torch
import transformers
from torch.nn import functional

SIDES = ("support", "query")


def prepare(
    work: batches.Work, num_steps: int
) -> tuple[Callable[[], tuple[Any, dict[str, Any]]], dict[str, Any]]:
    """Returns a function that computes loss and meta-gradient."""
    kinds = {"classes": _Classifier, "lora": _Lora, "metaicl": _InContext}
    program = kinds[work.kind](work)
    num_tasks = len(work.ids["query"])

    def step() -> tuple[Any, dict[str, Any]]:
        total = 0.0
        for parameter in program.trained.values():
            parameter.grad = None
        for task in range(num_tasks):
            total += program.add_gradient(task, num_steps, 1 / num_tasks) / num_tasks
        return total, {name: x.grad for name, x in program.trained.items()}

    return step, {}


class _Adapting:
    """First-order MAML: the query gradient where inner steps arrive.

    Weights are moved in place and moved back, which copies nothing that torch keeps.
    """

    trained: dict[str, Any]

    def loss(self, task: int, side: str) -> Any:
        raise NotImplementedError

    def add_gradient(self, task: int, num_steps: int, share: float) -> float:
        parameters = list(self.trained.values())
        start = [x.detach().clone() for x in parameters]
        for _ in range(num_steps):
            grads = torch.autograd.grad(self.loss(task, "support"), parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, grads, alpha=-batches.RATE)
        loss = self.loss(task, "query")
        (share * loss).backward()
        with torch.no_grad():
            torch._foreach_copy_(parameters, start)
        return loss.item()


class _Classifier(_Adapting):
    """A network with a linear layer on the mean of its last states."""

    def __init__(self, work: batches.Work):
        self.work = work
        if work.directory is None:
            config = transformers.BertConfig(hidden_act="gelu")
            self.model = transformers.BertModel(config, add_pooling_layer=False)
            weights = batches.bert_weights().items()
            self.model.load_state_dict({k: torch.tensor(x) for k, x in weights})
        else:
            self.model = transformers.AutoModel.from_pretrained(
                work.directory, add_pooling_layer=False, dtype=torch.float32
            )
        self.model.eval()
        head = batches.linear_head(self.model.config.hidden_size)
        self.kernel = torch.tensor(head["kernel"], requires_grad=True)
        self.bias = torch.tensor(head["bias"], requires_grad=True)
        self.trained = dict(self.model.named_parameters())
        self.trained |= {"head/kernel": self.kernel, "head/bias": self.bias}

    def loss(self, task: int, side: str) -> Any:
        ids, mask, labels = (
            torch.tensor(part[side][task]).long()
            for part in (self.work.ids, self.work.mask, self.work.labels)
        )
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        real = mask[..., None].to(states.dtype)
        features = (states * real).sum(1) / real.sum(1)
        return functional.cross_entropy(features @ self.kernel + self.bias, labels)


class _Lora(_Adapting):
    """Low-rank factors of peft in the queries and values of attention."""

    def __init__(self, work: batches.Work):
        import peft

        self.work = work
        config = peft.LoraConfig(
            r=batches.RANK, lora_alpha=batches.RANK, target_modules=["q_proj", "v_proj"]
        )
        self.model = peft.get_peft_model(_decoder(work), config).eval()
        layers = self.model.base_model.model.model.layers
        modules = [
            (f"layer_{i}/{name}", getattr(layer.self_attn, name))
            for i, layer in enumerate(layers)
            for name in ("q_proj", "v_proj")
        ]
        self.trained = {}
        for number, (name, module) in enumerate(modules):
            down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
            pair = batches.factors(down.shape[1], up.shape[0], number)
            with torch.no_grad():
                for weight, value in zip((down, up), pair, strict=True):
                    weight.copy_(torch.tensor(value).T)
            self.trained |= {f"{name}/down": down, f"{name}/up": up}

    def loss(self, task: int, side: str) -> Any:
        ids = torch.tensor(self.work.ids[side][task]).long()
        mask = torch.tensor(self.work.mask[side][task]).long()
        states = self.model.base_model.model.model(
            input_ids=ids[:, :-1], attention_mask=mask[:, 1:], use_cache=False
        ).last_hidden_state
        return _next_token_loss(self.model.base_model.model, states, ids, mask)


class _InContext:
    """Queries behind the keys and values of the support set, which is encoded once."""

    def __init__(self, work: batches.Work):
        self.work, self.model = work, _decoder(work)
        self.trained = dict(self.model.named_parameters())

    def add_gradient(self, task: int, num_steps: int, share: float) -> float:
        del num_steps
        ids, mask = (
            {s: torch.tensor(part[s][task]).long() for s in SIDES}
            for part in (self.work.ids, self.work.mask)
        )
        context = ids["support"][mask["support"] == 1][None]
        read = self.model.model(input_ids=context, use_cache=True).past_key_values
        number = len(ids["query"])
        read.batch_repeat_interleave(number)
        visible = torch.cat(
            [torch.ones(number, context.shape[1]).long(), mask["query"][:, 1:]], 1
        )
        states = self.model.model(
            input_ids=ids["query"][:, :-1],
            attention_mask=visible,
            past_key_values=read,
            use_cache=True,
        ).last_hidden_state
        loss = _next_token_loss(self.model, states, ids["query"], mask["query"])
        (share * loss).backward()
        return loss.item()


def _decoder(work: batches.Work) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        work.directory, dtype=torch.float32
    )
    return model.eval()


def _next_token_loss(model: Any, states: Any, ids: Any, mask: Any) -> Any:
    """The mean over all next tokens; logits are computed of these only."""
    real = mask[:, 1:] == 1
    logits = model.lm_head(states[real])
    return functional.cross_entropy(logits, ids[:, 1:][real])
