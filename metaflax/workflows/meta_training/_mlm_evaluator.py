"""A model of masked words as the outer loop sees it, and its scores."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, data, losses, models
from metaflax import config as config_lib
from metaflax.workflows.meta_training._mlm_batches import HiddenRows
from metaflax.workflows.runs._run import committed


class Network(NamedTuple):
    """A BERT to pretrain.

    Attributes:
      config: its sizes.
      params: where it begins, `{"encoder": ..., "head": ...}`.
      model: its functions.
      directory: where the tokenizer's files lie.
      tokenizer: of Hugging Face.
    """

    config: models.BertConfig
    params: Any
    model: models.MaskedLM
    directory: Path
    tokenizer: Any


def load_network(config: config_lib.PretrainConfig) -> Network:
    """Loads weights or draws new ones, and the tokenizer.

    Raises:
      ValueError: if they cannot be had, or have no mask.
    """
    chosen, key = config.network, jax.random.key(config.training.seed)
    source = data.fetch_minilm() if chosen.model == "minilm" else chosen.model
    if chosen.fresh:
        tokenizer = models.pretrained.tokenizer(source)
        directory = Path(tokenizer.name_or_path)
        sizes = models.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=chosen.hidden_size,
            num_hidden_layers=chosen.num_layers,
            num_attention_heads=chosen.num_heads,
            intermediate_size=chosen.intermediate_size,
            max_position_embeddings=max(config.text.length, 128),
        )
        params = None
    else:
        found = models.pretrained.load_masked_lm(source)
        sizes, directory, params = found.config, found.directory, found.params
        tokenizer = models.pretrained.tokenizer(directory)
    if tokenizer.mask_token_id is None:
        raise ValueError(f"{directory}: the tokenizer has no mask token; take another.")
    if config.text.length > sizes.max_position_embeddings:
        raise ValueError(
            f"length is {config.text.length}, and the model has"
            f" {sizes.max_position_embeddings} positions; lower it."
        )
    model = models.masked_lm(
        sizes,
        dtype=jnp.dtype(chosen.dtype),
        layer_loop=chosen.layer_loop,
        remat=chosen.remat,
    )
    if params is None:
        params = model.init(key)
    elif "head" not in params:
        params = {**params, "head": models.init_head(sizes, key)}
    return Network(sizes, committed(params), model, directory, tokenizer)


_loss = losses.per_token(losses.softmax_cross_entropy)


def as_algorithm(model: models.MaskedLM) -> base.MetaAlgorithm:
    """Pretraining as the outer loop sees it: a batch is a task's queries, no more."""

    def predict(params, adapted, inputs, key=None):
        del adapted  # There is nothing to adapt to.
        logits = model.apply(params, inputs, key)  # [S, P, V]
        return base.ClassOutputs(logits, jnp.ones(logits.shape[-1], bool))

    def loss(params, task, key=None, step=None):
        del step
        inputs, targets, weights = task.query
        value = _loss(predict(params, None, inputs, key), targets, weights)
        return value, base.MetaInfo(jnp.zeros(0), jax.lax.stop_gradient(value))

    def adapt(params, support, key=None):
        return {}, base.InnerInfo(jnp.zeros(0))

    return base.MetaAlgorithm(model.init, adapt, predict, loss)


class MaskedWordScorer:
    """Scores what a model says of the masked words of held-out rows.

    Args:
      model: whose parameters are scored.
      rows: the text.
      most: rows at most.
      size: rows in one call.
    """

    def __init__(self, model: models.MaskedLM, rows: HiddenRows, most: int, size: int):
        self._text = rows.valid.index.path
        self._batches = list(rows.held_out(most, size))

        @jax.jit
        def sums(params, batch):
            logits = model.apply(params, batch.inputs, None)  # [S, P, V]
            likelihood = jax.nn.log_softmax(logits)
            asked = jnp.maximum(batch.targets, 0)
            chosen = jnp.take_along_axis(likelihood, asked[:, :, None], axis=2)[:, :, 0]
            right = jnp.argmax(logits, axis=2) == asked
            counts = (batch.targets >= 0) * batch.weights[:, None]
            parts = (chosen, right, jnp.ones_like(chosen))
            return jnp.stack([jnp.sum(counts * x, axis=1) for x in parts])  # [3, S]

        self._sums = sums

    def by_row(self, params: Any) -> dict[str, np.ndarray]:
        """The log-likelihood of masked tokens and the share that is right, `[R]` each.

        The mean over rows is that over all their masked tokens, and so is its interval:
        each row stands for what the whole would be if it were moved as the row moves it
        (the ratio of two means, linearised).

        Raises:
          ValueError: if nothing of the text was masked.
        """
        found = [jax.device_get(self._sums(params, batch)) for batch in self._batches]
        *sums, counts = np.concatenate(found, axis=1).astype(np.float64)
        if not counts.any():
            raise ValueError(
                f"{self._text}: the held-out texts have no word to mask; raise"
                " held_out."
            )
        there = counts > 0  # Not what fills up the last batch.
        likelihood, right = (_units(x[there], counts[there]) for x in sums)
        return {"log_likelihood": likelihood, "accuracy": right}

    def mean(self, params: Any) -> dict[str, float]:
        """The mean over all masked tokens, and the perplexity."""
        means = {name: float(np.mean(x)) for name, x in self.by_row(params).items()}
        perplexity = float(np.exp(-means["log_likelihood"]))
        return {**means, "perplexity": perplexity}


def _units(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Numbers whose mean is the ratio of two sums, and their spread that of it."""
    ratio = sums.sum() / counts.sum()
    return ratio + (sums - ratio * counts) / counts.mean()


def save_network(
    target: Path, config: models.BertConfig, params: Any, tokenizer_from: Path
) -> None:
    """Writes the model, unless a run that came to its end before has done so."""
    if target.exists():
        return
    models.pretrained.save_masked_lm(
        target,
        config,
        jax.tree.map(np.asarray, params),
        tokenizer_from=tokenizer_from,
    )
