"""The meta-gradients of the base-size benchmark by metaflax."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

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


class _Program(NamedTuple):
    """Algorithm, parameters and tasks of a meta-gradient.

    Attributes:
      algorithm: the algorithm.
      params: initial parameters.
      tasks: leaves `[T, S, ...]` and `[T, Q, ...]`.
      named: `named(grads)`, gradients by the names and in the layout of torch.
      trains: the parameters that the outer loop learns.
    """

    algorithm: base.MetaAlgorithm
    params: Any
    tasks: base.Task
    named: Callable[[Any], dict[str, np.ndarray]]
    trains: Any = tree.everything


def prepare(
    work: batches.Work, num_steps: int, dtype: str
) -> tuple[Callable[[], tuple[Any, Any]], Callable, dict[str, Any]]:
    """Returns functions to compute and to name a meta-gradient, and its costs."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    build = _classifier if work.kind == "classes" else _language_model
    program = build(work, num_steps, dtype)
    fn = jax.jit(metaflax.value_and_grad(program.algorithm, trains=program.trains))
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), program.params)
    tasks = jax.tree.map(jnp.asarray, program.tasks)
    compiled, info = run.compile_it(fn, params, tasks, None)

    def step() -> tuple[Any, Any]:
        (loss, _), grads = jax.block_until_ready(compiled(params, tasks, None))
        return loss, grads

    return step, program.named, info


def _classifier(work: batches.Work, num_steps: int, dtype: str) -> _Program:
    """FOMAML on all weights, the head on the mean of the tokens."""
    common = {"pooling": "mean", "standardize": False, "dtype": dtype}
    if work.directory is None:
        config, params = workload.pretrained(batches.bert_weights())
        encoder, named = models.encoder(config, **common), workload.named_leaves
    else:
        loaded = models.load(work.directory)
        encoder = loaded.family.encoder(loaded.config, **common)
        params, named = loaded.params, functools.partial(_named_leaves, loaded)
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

    def all_named(grads: Any) -> dict[str, np.ndarray]:
        of_head = {f"head.{name}": np.asarray(x) for name, x in grads["head"].items()}
        return {**named(grads["encoder"]), **of_head}

    return _Program(algorithm, {"encoder": params, "head": head}, tasks, all_named)


def _language_model(work: batches.Work, num_steps: int, dtype: str) -> _Program:
    """FOMAML on low-rank factors, or learning in context with all weights."""
    loaded = models.load(work.directory)
    model = loaded.family.language_model(loaded.config, dtype=dtype)
    params = loaded.params
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
        return _Program(algorithm, params, tasks, _named_factors, LORA)
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

    def all_named(grads: Any) -> dict[str, np.ndarray]:
        return _named_leaves(loaded, grads["encoder"])

    return _Program(algorithm, {"encoder": params, "head": {}}, tasks, all_named)


def _named_leaves(loaded: Any, params: Any) -> dict[str, np.ndarray]:
    """Leaves under Hugging Face's names and in its layout."""
    return loaded.family.write(loaded.config, params, None, "mean", False).tensors


def _named_factors(grads: Any) -> dict[str, np.ndarray]:
    """Low-rank factors, numbered as `_places` lists them, in the layout of torch."""
    return {
        f"{number}.{name}": np.asarray(
            grads[layer]["attention"][module]["lora"][name]
        ).T
        for number, (layer, module) in enumerate(_places(grads))
        for name in ("down", "up")
    }


def _places(params: Any) -> list[tuple[str, str]]:
    """The layer and module of each pair of factors."""
    num_layers = sum(name.startswith("layer_") for name in params)
    layers = [f"layer_{number}" for number in range(num_layers)]
    return list(itertools.product(layers, ("query", "value")))


def _with_factors(params: Any) -> Any:
    """Low-rank factors in the queries and values of attention, layer after layer."""
    grown = models.with_lora(params, jax.random.key(0), rank=batches.RANK)
    for number, (layer, module) in enumerate(_places(grown)):
        dense = grown[layer]["attention"][module]
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
    """Prompts of the whole support set followed by one query."""
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
