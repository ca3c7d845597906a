"""The programs that the accelerator's benchmark measures, on random weights."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import fused
import jax
import jax.numpy as jnp
import methods
import numpy as np
import run
import torch_peer
import workload

import metaflax
from metaflax import base, models

MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network and a batch of tasks.

    Attributes:
      layers: number of layers of the network.
      width: features of a token; the feed-forward part is four times as wide.
      heads: number of attention heads.
      vocabulary: rows of the word embedding.
      tasks: number of tasks of a batch.
      way: classes, with `shot` support and as many query texts each.
      shot: texts a class.
      length: tokens of the longest text; the shortest has half as many.
      steps: number of inner steps.
      product: size of the matrices whose product gives the peak.
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 30522
    tasks: int = 8
    way: int = 5
    shot: int = 5
    length: int = 64
    steps: int = 2
    product: int = 8192


class Row(NamedTuple):
    """A program that is measured.

    Attributes:
      program: `metaflax` or `torch`.
      method: `fomaml`, `maml` or `protonet`.
      loop: over tasks: `vmap` or `scan`; in torch `vmap` or `loop`.
      dtype: data type of matrix products.
      variant: `fused` attention, `mixed_mode` of MAML, `packed` tokens or
        `torch.compile`; empty for none.
    """

    program: str
    method: str
    loop: str
    dtype: str = "float32"
    variant: str = ""


class Work(NamedTuple):
    """Network, weights and batch that all programs compute on.

    Attributes:
      setting: sizes of the network and the batch.
      config: config of the network.
      encoder: random weights.
      head: random weights of a linear output layer.
      arrays: `ids`, `mask` `[T, S, L]` and `labels` `[T, S]` under `s/` and `q/`.
    """

    setting: Setting
    config: models.BertConfig
    encoder: Any
    head: Any
    arrays: dict[str, np.ndarray]

    def tasks(self, *, pack: bool) -> base.Task:
        """The batch of tasks, `[T, S, ...]` and `[T, Q, ...]`."""
        parts = []
        for side in "sq":
            ids, mask, labels = (self.arrays[f"{side}/{name}"] for name in NAMES)
            tokens = workload.tokens(ids, mask, pack=pack)
            weights = np.ones(labels.shape, np.float32)
            parts.append(base.Batch(tokens, labels, weights))
        return jax.tree.map(jnp.asarray, base.Task(*parts))

    @property
    def num_tokens(self) -> int:
        """Real tokens of a batch, each of which is counted once."""
        return int(self.arrays["s/mask"].sum() + self.arrays["q/mask"].sum())


NAMES = ("ids", "mask", "labels")


class Program(NamedTuple):
    """A prepared step.

    Attributes:
      step: runs one step, and waits for its end.
      named: `loss, gradients by name = named(result)`, of what a step returns.
      prepared: seconds that compilation took.
      mib: memory of a step in MiB; None where that is unknown.
    """

    step: Callable[[], Any]
    named: Callable[[Any], tuple[float, dict[str, np.ndarray]]]
    prepared: float
    mib: float | None


def make_work(setting: Setting) -> Work:
    """Random weights and tasks, the same in each run."""
    config = models.BertConfig(
        vocab_size=setting.vocabulary,
        hidden_size=setting.width,
        num_hidden_layers=setting.layers,
        num_attention_heads=setting.heads,
        intermediate_size=4 * setting.width,
        max_position_embeddings=setting.length,
    )
    encoder = jax.jit(models.encoder(config).init)(jax.random.key(0))
    rng = np.random.default_rng(0)
    kernel = 0.05 * rng.normal(size=(setting.width, setting.way))
    head = {"kernel": kernel.astype(np.float32), "bias": np.zeros(setting.way)}
    head = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), head)
    arrays = {}
    for side in "sq":
        shape = (setting.tasks, setting.way * setting.shot, setting.length)
        lengths = rng.integers(setting.length // 2, setting.length + 1, shape[:2])
        mask = (np.arange(setting.length) < lengths[..., None]).astype(np.int32)
        ids = rng.integers(1, setting.vocabulary, shape).astype(np.int32) * mask
        labels = np.tile(np.arange(shape[1]) % setting.way, (setting.tasks, 1))
        of_side = (ids, mask, labels.astype(np.int32))
        arrays |= {f"{side}/{n}": x for n, x in zip(NAMES, of_side, strict=True)}
    return Work(setting, config, encoder, head, arrays)


def meta_gradient(work: Work, row: Row) -> tuple[Any, Any, base.Task]:
    """The jitted meta-gradient of a row, parameters and tasks."""
    dtype = jnp.dtype(row.dtype)
    make = fused.encoder if row.variant == "fused" else models.encoder
    estimator = "mixed_mode" if row.variant == "mixed_mode" else "reverse"
    algorithm = methods.build(
        row.method,
        make(work.config, dtype=dtype),
        work.setting.way,
        num_steps=work.setting.steps,
        estimator=estimator,
    )
    algorithm = metaflax.compact_rows(algorithm, models.word_table())
    params = methods.params_of(algorithm, work.encoder, work.head)
    tasks = work.tasks(pack=row.variant == "packed")
    fn = jax.jit(metaflax.value_and_grad(algorithm, task_loop=row.loop))
    return fn, params, tasks


def step(work: Work, row: Row) -> Program:
    """A meta-gradient of metaflax, compiled."""
    fn, params, tasks = meta_gradient(work, row)
    compiled, info = run.compile_it(fn, params, tasks)
    memory: Any = compiled.memory_analysis()
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes
    taken += memory.temp_size_in_bytes

    def named(result):
        (loss, _), grads = result
        leaves = workload.named_leaves(grads["encoder"])
        if "kernel" in grads["head"]:
            leaves["head.weight"] = np.asarray(grads["head"]["kernel"]).T
            leaves["head.bias"] = np.asarray(grads["head"]["bias"])
        return float(loss), leaves

    return Program(
        lambda: jax.block_until_ready(compiled(params, tasks)),
        named,
        info["lower_s"] + info["compile_s"],
        taken / MIB,
    )


def torch_step(work: Work, row: Row) -> Program:
    """The same meta-gradient in torch, after its first step."""
    weights = workload.named_leaves(work.encoder)
    weights["head.weight"] = np.asarray(work.head["kernel"]).T
    weights["head.bias"] = np.asarray(work.head["bias"])
    arrays = {k: x.astype(np.int64) for k, x in work.arrays.items()}
    take = torch_peer.meta_gradient(
        torch_peer.tensors(weights),
        torch_peer.tensors(arrays),
        num_heads=work.config.num_attention_heads,
        num_steps=work.setting.steps,
        rate=methods.INNER_RATE,
        exact=row.method == "maml",
        at_once=row.loop == "vmap",
        half=row.dtype == "bfloat16",
        compiled=row.variant == "torch.compile",
    )
    start = time.perf_counter()
    take()
    prepared = time.perf_counter() - start
    torch_peer.start_of_memory()
    take()

    def named(result):
        loss, grads = result
        return float(loss), {k: x.float().cpu().numpy() for k, x in grads.items()}

    return Program(take, named, prepared, torch_peer.peak_mib())
