"""Masked language models as algorithms of the outer loop, and their scores."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, losses, models
from metaflax import config as config_lib
from metaflax.models.families._masked_lm import MaskedLM
from metaflax.models.families._registry import family_of, load_masked_lm
from metaflax.models.pretrained._files import find
from metaflax.models.pretrained._tokenizer import num_ids
from metaflax.workflows.meta_training._mlm_batches import MaskedRows
from metaflax.workflows.runs._load_model import locate_model
from metaflax.workflows.runs._run import commit_to_device


class Network(NamedTuple):
    """A masked language model to pretrain.

    Attributes:
      config: configuration of the network.
      params: initial parameters, `{"encoder": ..., "head": ...}`.
      model: functions of the network.
      directory: folder of the tokenizer's files.
      tokenizer: tokenizer with the interface of Hugging Face's.
      family: the family of the encoder.
    """

    config: Any
    params: Any
    model: MaskedLM
    directory: Path
    tokenizer: Any
    family: models.ModelFamily


def load_network(config: config_lib.PretrainConfig) -> Network:
    """Loads weights or draws new ones, and the tokenizer.

    Raises:
      ValueError: if they cannot be loaded, or the tokenizer has no mask token.
    """
    settings, key = config.network, jax.random.key(config.training.seed)
    source = locate_model(settings.model)
    if settings.fresh:
        directory = find(source)
        # A folder with a tokenizer alone has no configuration; the family is then BERT.
        described = (directory / "config.json").is_file()
        family = family_of(directory, None if described else "bert")
        tokenizer = family.tokenizer(directory)
        if family.new is None:
            raise ValueError(
                f"models of type {family.model_type!r} cannot be made new; set fresh to"
                " false."
            )
        network = family.new.config(
            models.families.Sizes(
                vocab_size=num_ids(tokenizer),
                width=settings.hidden_size,
                layers=settings.num_layers,
                heads=settings.num_heads,
                positions=max(config.text.length, 128),
                mlp_width=settings.intermediate_size,
            )
        )
        params = None
    else:
        pretrained = load_masked_lm(source)
        family = pretrained.family
        network, directory = pretrained.config, pretrained.directory
        params, tokenizer = pretrained.params, pretrained.tokenizer()
    if tokenizer.mask_token_id is None:
        raise ValueError(f"{directory}: the tokenizer has no mask token; take another.")
    positions = family.max_positions(network)
    if config.text.length > positions:
        raise ValueError(
            f"length is {config.text.length}, and the model has {positions} positions;"
            " lower it."
        )
    masked_lm = family.require_masked_lm()
    model = masked_lm.network(
        network,
        dtype=jnp.dtype(settings.dtype),
        layer_loop=settings.layer_loop,
        remat=settings.remat,
    )
    if params is None:
        params = model.init(key)
    elif "head" not in params:
        params = {**params, "head": masked_lm.init_head(network, key)}
    return Network(
        network, commit_to_device(params), model, directory, tokenizer, family
    )


_loss = losses.per_token(losses.softmax_cross_entropy)


def as_algorithm(model: MaskedLM) -> base.MetaAlgorithm:
    """Wraps a masked language model as an algorithm: a batch is a task's query set."""

    def predict(params, adapted, inputs, key=None):
        del adapted  # There is no support set.
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
    """Scores predictions of the masked words of held-out rows.

    Args:
      model: the masked language model.
      rows: the text.
      most: largest number of rows.
      size: number of rows per batch.
    """

    def __init__(self, model: MaskedLM, rows: MaskedRows, most: int, size: int):
        self._text = rows.valid.index.path
        self._batches = list(rows.held_out(most, size))

        @jax.jit
        def sums(params, batch):
            logits = model.apply(params, batch.inputs, None)  # [S, P, V]
            likelihood = jax.nn.log_softmax(logits)
            targets = jnp.maximum(batch.targets, 0)
            gold = jnp.take_along_axis(likelihood, targets[:, :, None], axis=2)[:, :, 0]
            correct = jnp.argmax(logits, axis=2) == targets
            counts = (batch.targets >= 0) * batch.weights[:, None]
            parts = (gold, correct, jnp.ones_like(gold))
            return jnp.stack([jnp.sum(counts * x, axis=1) for x in parts])  # [3, S]

        self._sums = sums

    def by_row(self, params: Any) -> dict[str, np.ndarray]:
        """Computes log-likelihood and accuracy of masked tokens, `[R]` each.

        The mean over rows equals the mean over all masked tokens; its interval is that
        of a ratio of two means, by linearisation.

        Raises:
          ValueError: if no token was masked.
        """
        batches = [jax.device_get(self._sums(params, batch)) for batch in self._batches]
        *sums, counts = np.concatenate(batches, axis=1).astype(np.float64)
        if not counts.any():
            raise ValueError(
                f"{self._text}: the held-out texts have no word to mask; raise"
                " held_out."
            )
        real = counts > 0  # Without the padding of the last batch.
        likelihood, accuracy = (_linearised(x[real], counts[real]) for x in sums)
        return {"log_likelihood": likelihood, "accuracy": accuracy}

    def mean(self, params: Any) -> dict[str, float]:
        """Computes means over all masked tokens, and the perplexity."""
        means = {name: float(np.mean(x)) for name, x in self.by_row(params).items()}
        perplexity = float(np.exp(-means["log_likelihood"]))
        return {**means, "perplexity": perplexity}


def _linearised(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns values whose mean and standard error are those of a ratio of sums."""
    ratio = sums.sum() / counts.sum()
    return ratio + (sums - ratio * counts) / counts.mean()


def save_network(target: Path, network: Network, params: Any) -> None:
    """Writes a masked language model, unless a finished run has written it."""
    if target.exists():
        return
    network.family.save_masked_lm(
        target,
        network.config,
        jax.tree.map(np.asarray, params),
        tokenizer_from=network.directory,
    )
