"""The meta-gradients of the base-size benchmark by metaflax."""

import itertools
from collections.abc import Callable
from typing import Any

import base_size_batches as batches
import jax
import jax.numpy as jnp
import methods
import numpy as np
import optax
import run
import workload

import metaflax
from metaflax import base, losses, models, tree

LORA = "*/lora"


def prepare(
    work: batches.Work, num_steps: int
) -> tuple[Callable[[], tuple[Any, dict[str, Any]]], dict[str, Any]]:
    """Returns a function that computes loss and meta-gradient, and what it took."""
    build = _classifier if work.kind == "classes" else _language_model
    algorithm, params, tasks, trains = build(work, num_steps)
    fn = jax.jit(metaflax.value_and_grad(algorithm, trains=trains))
    params, tasks = jax.tree.map(jnp.asarray, (params, tasks))
    compiled, info = run.compile_it(fn, params, tasks, None)

    def step() -> tuple[Any, dict[str, Any]]:
        (loss, _), grads = jax.block_until_ready(compiled(params, tasks, None))
        names = tree.paths(grads)
        return loss, dict(zip(names, jax.tree.leaves(grads), strict=True))

    return step, info


def _classifier(work: batches.Work, num_steps: int) -> tuple[Any, Any, base.Task, Any]:
    """FOMAML on all weights, the head on the mean of the tokens."""
    if work.directory is None:
        config, params = workload.pretrained(batches.bert_weights())
        encoder = models.encoder(config, pooling="mean", standardize=False)
    else:
        loaded = models.load(work.directory)
        encoder = loaded.family.encoder(
            loaded.config, pooling="mean", standardize=False
        )
        params = loaded.params
    algorithm = metaflax.compact_rows(
        methods.build("fomaml", encoder, batches.WAY, num_steps=num_steps),
        models.word_table(),
    )
    tasks = base.Task(
        *(
            base.Batch(
                workload.tokens(work.ids[side], work.mask[side], pack=True),
                work.labels[side],
                np.ones(work.labels[side].shape, np.float32),
            )
            for side in ("support", "query")
        )
    )
    head = batches.linear_head(encoder.num_features)
    return algorithm, {"encoder": params, "head": head}, tasks, tree.everything


def _language_model(
    work: batches.Work, num_steps: int
) -> tuple[Any, Any, base.Task, Any]:
    """FOMAML on low-rank factors, or learning in context with all weights."""
    loaded = models.load(work.directory)
    model, params = loaded.family.language_model(loaded.config), loaded.params
    loss, sides = losses.language_cross_entropy, ("support", "query")
    if work.kind == "lora":
        algorithm = metaflax.fomaml(
            model.apply,
            loss,
            model.init,
            optax.sgd(batches.RATE),
            adapts=LORA,
            num_steps=num_steps,
        )
        params = _with_factors(params)
        tasks = base.Task(*(_next_tokens(work, side) for side in sides))
        return algorithm, params, tasks, LORA
    if work.kind == "metaicl":
        size = batches.CONTEXT_TEXTS * (batches.LENGTH + 1)
        algorithm = metaflax.metaicl(model.in_context(size), loss, model.init)
        tasks = base.Task(*(_next_tokens(work, side) for side in sides))
    else:
        unread = base.InContext(
            read=lambda params, support, key: (),
            apply=lambda params, context, inputs, key: model.apply(params, inputs, key),
        )
        algorithm = metaflax.metaicl(unread, loss, model.init)
        query = _prompts(work)
        tasks = base.Task(query, query)
    return algorithm, {"encoder": params, "head": {}}, tasks, tree.everything


def _with_factors(params: Any) -> Any:
    """Low-rank factors in the queries and values of attention, layer after layer."""
    grown = models.with_lora(params, jax.random.key(0), rank=batches.RANK)
    num_layers = sum(name.startswith("layer_") for name in grown)
    places = itertools.product(range(num_layers), ("query", "value"))
    for number, (layer, module) in enumerate(places):
        dense = grown[f"layer_{layer}"]["attention"][module]
        pair = batches.factors(*dense["kernel"].shape, number)
        dense["lora"] = dict(zip(("down", "up"), pair, strict=True))
    return grown


def _next_tokens(work: batches.Work, side: str) -> base.Batch:
    ids, mask = work.ids[side], work.mask[side]
    targets = np.where(mask[..., 1:] == 1, ids[..., 1:], -1)
    # The last token of a text is a target only.
    return base.Batch(
        workload.tokens(ids[..., :-1], mask[..., 1:], pack=True),
        targets,
        np.ones(targets.shape[:2], np.float32),
    )


def _prompts(work: batches.Work) -> base.Batch:
    """Each query behind the whole support set, as one text."""
    rows = [prompts(work, task) for task in range(len(work.ids["query"]))]
    longest = max(len(ids) for row in rows for ids, _ in row)
    ids, targets = np.zeros((2, len(rows), len(rows[0]), longest), np.int32)
    mask = np.zeros_like(ids)
    targets[:] = -1
    for t, row in enumerate(rows):
        for q, (text, number) in enumerate(row):
            ids[t, q, : len(text)], mask[t, q, : len(text)] = text, 1
            targets[t, q, len(text) - number : len(text)] = text[-number:]
    return base.Batch(
        workload.tokens(ids[..., :-1], mask[..., 1:], pack=True),
        targets[..., 1:],
        np.ones(targets.shape[:2], np.float32),
    )


def prompts(work: batches.Work, task: int) -> list[tuple[np.ndarray, int]]:
    """Prompts of a task, each with the number of its target tokens."""
    real = {s: work.mask[s][task].astype(bool) for s in ("support", "query")}
    support = work.ids["support"][task][real["support"]]
    queries = zip(work.ids["query"][task], real["query"], strict=True)
    texts = (ids[kept] for ids, kept in queries)
    return [(np.concatenate([support, text]), len(text) - 1) for text in texts]
