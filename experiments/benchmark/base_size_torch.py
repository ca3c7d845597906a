"""The meta-gradients of the base-size benchmark in torch: Hugging Face's networks.

The fastest form of each: tasks one after the other, fused attention, no copy of weights
that do not adapt, logits of queries only, and the support set encoded once a task.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import base_size_batches as batches
import numpy as np
import torch
import transformers
from torch.nn import functional


class _Network(NamedTuple):
    """Trained parameters of a program, and its loss on a task.

    Attributes:
      trained: the parameters, by name.
      loss: `loss(task, side)`, side `support` or `query`.
    """

    trained: dict[str, Any]
    loss: Callable[[int, str], Any]


def prepare(
    work: batches.Work, num_steps: int, dtype: str
) -> tuple[Callable[[], tuple[Any, dict[str, Any]]], Callable, dict[str, Any]]:
    """Returns functions to compute loss and meta-gradient, and to convert to arrays.

    Raises:
      ValueError: if there is no such program in torch.
    """
    torch.set_default_dtype(getattr(torch, dtype))
    if work.kind == "metaicl":
        model = _decoder(work)
        trained, query_loss = dict(model.named_parameters()), _in_context(work, model)
    elif (network := {"classes": _classifier, "lora": _lora}.get(work.kind)) is None:
        raise ValueError(f"{work.kind} is measured in metaflax only.")
    else:
        trained, loss = network(work)
        query_loss = _adapting(trained, loss, num_steps)
    num_tasks = len(work.ids["query"])

    def step() -> tuple[Any, dict[str, Any]]:
        total = 0.0
        for parameter in trained.values():
            parameter.grad = None
        for task in range(num_tasks):
            with query_loss(task) as loss:
                (loss / num_tasks).backward()
                total += loss.item() / num_tasks
        return total, {name: x.grad for name, x in trained.items()}

    return step, _arrays, {}


def _arrays(grads: dict[str, Any]) -> dict[str, np.ndarray]:
    """Gradients as arrays, without parameters that the loss does not use."""
    return {name: x.numpy() for name, x in grads.items() if x is not None}


def _adapting(trained: dict[str, Any], loss: Any, num_steps: int) -> Any:
    """First-order MAML: `query_loss(task)`, a context with the adapted weights.

    Weights are moved in place and moved back, which copies nothing that torch keeps.
    """
    parameters = list(trained.values())

    @contextlib.contextmanager
    def query_loss(task: int) -> Iterator[Any]:
        start = [x.detach().clone() for x in parameters]
        for _ in range(num_steps):
            grads = torch.autograd.grad(loss(task, "support"), parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, grads, alpha=-batches.RATE)
        yield loss(task, "query")
        with torch.no_grad():
            torch._foreach_copy_(parameters, start)

    return query_loss


def _classifier(work: batches.Work) -> _Network:
    """A network with a linear layer on the mean of its last states."""
    if work.directory is None:
        config = transformers.BertConfig(hidden_act="gelu")
        model = transformers.BertModel(config, add_pooling_layer=False)
        weights = batches.bert_weights().items()
        model.load_state_dict({k: torch.tensor(x) for k, x in weights})
    else:
        model = transformers.AutoModel.from_pretrained(
            work.directory, add_pooling_layer=False, dtype=torch.get_default_dtype()
        )
    model.eval()
    head = {
        f"head.{name}": torch.tensor(
            x, dtype=torch.get_default_dtype(), requires_grad=True
        )
        for name, x in batches.linear_head(model.config.hidden_size).items()
    }

    def loss(task: int, side: str) -> Any:
        ids, mask, labels = (
            torch.tensor(part[side][task]).long()
            for part in (work.ids, work.mask, work.labels)
        )
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        real = mask[..., None].to(states.dtype)
        features = (states * real).sum(1) / real.sum(1)
        return functional.cross_entropy(
            features @ head["head.kernel"] + head["head.bias"], labels
        )

    return _Network({**dict(model.named_parameters()), **head}, loss)


def _lora(work: batches.Work) -> _Network:
    """Low-rank factors of peft in the queries and values of attention."""
    import peft

    config = peft.LoraConfig(
        r=batches.RANK, lora_alpha=batches.RANK, target_modules=["q_proj", "v_proj"]
    )
    model = peft.get_peft_model(_decoder(work), config).eval().base_model.model
    trained, modules = {}, itertools.product(model.model.layers, ("q_proj", "v_proj"))
    for number, (layer, name) in enumerate(modules):
        module = getattr(layer.self_attn, name)
        down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
        pair = batches.factors(down.shape[1], up.shape[0], number)
        with torch.no_grad():
            for weight, value in zip((down, up), pair, strict=True):
                weight.copy_(torch.tensor(value).T)
        trained |= {f"{number}.down": down, f"{number}.up": up}

    def loss(task: int, side: str) -> Any:
        ids, mask = _texts(work, side, task)
        states = model.model(
            input_ids=ids[:, :-1], attention_mask=mask[:, 1:], use_cache=False
        ).last_hidden_state
        return _next_token_loss(model, states, ids, mask)

    return _Network(trained, loss)


def _in_context(work: batches.Work, model: Any) -> Any:
    """Scores queries with the cached keys and values of the support set."""

    @contextlib.contextmanager
    def query_loss(task: int) -> Iterator[Any]:
        support, real = _texts(work, "support", task)
        ids, mask = _texts(work, "query", task)
        context = support[real == 1][None]
        read = model.model(input_ids=context, use_cache=True).past_key_values
        read.batch_repeat_interleave(len(ids))
        visible = torch.ones(len(ids), context.shape[1]).long()
        states = model.model(
            input_ids=ids[:, :-1],
            attention_mask=torch.cat([visible, mask[:, 1:]], 1),
            past_key_values=read,
            use_cache=True,
        ).last_hidden_state
        yield _next_token_loss(model, states, ids, mask)

    return query_loss


def _texts(work: batches.Work, side: str, task: int) -> tuple[Any, Any]:
    """Ids and mask of one side of a task."""
    ids, mask = (
        torch.tensor(part[side][task]).long() for part in (work.ids, work.mask)
    )
    return ids, mask


def _decoder(work: batches.Work) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        work.directory, dtype=torch.get_default_dtype()
    )
    return model.eval()


def _next_token_loss(model: Any, states: Any, ids: Any, mask: Any) -> Any:
    """Mean loss over all next tokens; logits are computed at these positions only."""
    real = mask[:, 1:] == 1
    logits = model.lm_head(states[real])
    return functional.cross_entropy(logits, ids[:, 1:][real])
