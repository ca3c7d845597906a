"""Registry of model families, and loading of checkpoints through it."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from metaflax import _registry
from metaflax.models.families._family import ModelFamily
from metaflax.models.families.albert._family import ALBERT
from metaflax.models.families.bert._family import BERT
from metaflax.models.families.deberta._family import DEBERTA
from metaflax.models.families.distilbert._family import DISTILBERT
from metaflax.models.families.electra._family import ELECTRA
from metaflax.models.families.encoder_decoder._family import ENCODER_DECODER
from metaflax.models.families.gpt2._family import GPT2
from metaflax.models.families.llama._family import LLAMA
from metaflax.models.families.modernbert._family import MODERNBERT
from metaflax.models.families.mpnet._family import MPNET
from metaflax.models.families.roberta._family import CAMEMBERT, ROBERTA, XLM_ROBERTA
from metaflax.models.families.t5._family import T5
from metaflax.models.layers._pooling import Encoder, Pooling
from metaflax.models.layers._stack import LayerLoop, Remat
from metaflax.models.pretrained import _files
from metaflax.models.pretrained._checkpoint import Pretrained

FAMILIES: dict[str, ModelFamily] = {
    name: family
    for family in (
        BERT,
        ROBERTA,
        XLM_ROBERTA,
        CAMEMBERT,
        DISTILBERT,
        MPNET,
        ELECTRA,
        ALBERT,
        MODERNBERT,
        DEBERTA,
        GPT2,
        LLAMA,
        ENCODER_DECODER,
        T5,
    )
    for name in (family.model_type, *family.aliases)
}
"""Model families by each `model_type` of their configurations."""


def named_family(name: str) -> ModelFamily:
    """Returns the family of a `model_type`, or of an import path.

    Args:
      name: a key of `FAMILIES`, or `package.module:attribute`.

    Raises:
      ValueError: if there is no such family.

    Examples:
      >>> named_family("bert").generative
      False
    """
    family = _registry.resolve("model family", FAMILIES, name)
    if not isinstance(family, ModelFamily):
        raise ValueError(f"{name} is no ModelFamily but a {type(family).__name__}.")
    if ":" in name:
        family = dataclasses.replace(family, import_path=name)
    return family


def family_of(path_or_name: str | Path, name: str | None = None) -> ModelFamily:
    """Returns the family of a checkpoint.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.
      name: name of the family, see `named_family`; None for what `config.json` names:
        an import path that `save` wrote there, or else its `model_type`.

    Raises:
      ValueError: if the files are not available, or there is no such family.
    """
    return _located(path_or_name, name)[1]


def _located(path_or_name: str | Path, name: str | None) -> tuple[Path, ModelFamily]:
    """Returns the directory of a checkpoint, and its family."""
    directory = _files.find(path_or_name)
    if name is not None:
        return directory, named_family(name)
    path = directory / "config.json"
    content = _files.read_json(path)
    import_path = _files.ours(content, path).get("family")
    if import_path is None:
        kind = str(content.get("model_type", BERT.model_type))
    else:
        kind = _trusted(import_path, path, Path(path_or_name).expanduser().is_dir())
    try:
        return directory, named_family(kind)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _trusted(import_path: Any, path: Path, is_local: bool) -> str:
    """Returns an import path that a configuration names, if it may be imported.

    Models of the hub, and code in the directory of a model, are not trusted.

    Raises:
      ValueError: with the path of the configuration.
    """
    package = str(import_path).partition(":")[0].partition(".")[0]
    if ":" not in str(import_path) or not package.isidentifier():
        raise ValueError(
            f"{path}: the family {import_path!r:.60} is no import path such as"
            " package.module:attribute."
        )
    beside = (path.parent / package, path.parent / f"{package}.py")
    if not is_local or any(file.exists() for file in beside):
        raise ValueError(
            f"{path}: names the family {import_path}, which is code that came with the"
            " model or with its name on the hub; if you trust it, give it as the"
            " model's family."
        )
    return str(import_path)


def load(path_or_name: str | Path, family: str | None = None) -> Pretrained:
    """Loads a checkpoint from a directory, or by its name on the Hugging Face hub.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.
      family: a `model_type` or an import path `package.module:attribute`; None for what
        the checkpoint names itself.

    Returns:
      The `Pretrained` model, whose `family` makes its network.

    Raises:
      ValueError: as `family_of` and `ModelFamily.load`.

    Examples:
      >>> import pathlib, tempfile
      >>> import jax
      >>> from metaflax import models, tree
      >>> config = models.BertConfig(
      ...     vocab_size=50,
      ...     hidden_size=8,
      ...     num_hidden_layers=1,
      ...     num_attention_heads=2,
      ...     intermediate_size=16,
      ... )
      >>> params = jax.jit(models.encoder(config).init)(jax.random.key(0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "tiny"
      ...     _ = path.with_name("vocab.txt").write_text("[UNK]")
      ...     models.save(path, config, params, tokenizer_from=folder)
      ...     loaded = models.load(path)
      >>> loaded.config == config, tree.paths(loaded.params) == tree.paths(params)
      (True, True)
    """
    directory, model_family = _located(path_or_name, family)
    return model_family.load(directory)


def load_masked_lm(path_or_name: str | Path, family: str | None = None) -> Pretrained:
    """Loads an encoder with the output layer of masked language modelling.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.
      family: as `load` takes it.

    Returns:
      The `Pretrained` model, whose parameters are `{"encoder": ..., "head": ...}`,
      without `head` where the checkpoint has none.

    Raises:
      ValueError: as `family_of` and `ModelFamily.load_masked_lm`.
    """
    directory, model_family = _located(path_or_name, family)
    return model_family.load_masked_lm(directory)


def save(directory: str | Path, config: Any, params: Any, **kwargs: Any) -> None:
    """Writes a directory that `load` reads, as `ModelFamily.save` does.

    Args:
      directory: directory to write, which must not exist or be empty.
      config: configuration of the network, of a class that a family of the package has.
      params: its parameters.
      **kwargs: as `ModelFamily.save` takes.

    Raises:
      ValueError: as `ModelFamily.save`.

    Examples:
      >>> import json, pathlib, tempfile
      >>> import jax
      >>> from metaflax import models
      >>> config = models.BertConfig(
      ...     vocab_size=50,
      ...     hidden_size=8,
      ...     num_hidden_layers=1,
      ...     num_attention_heads=2,
      ...     intermediate_size=16,
      ... )
      >>> params = jax.jit(models.encoder(config).init)(jax.random.key(0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "tiny"
      ...     _ = path.with_name("vocab.txt").write_text("[UNK]")
      ...     models.save(path, config, params, tokenizer_from=folder)
      ...     print(*sorted(file.name for file in path.iterdir()))
      ...     print(json.loads((path / "config.json").read_text())["model_type"])
      config.json model.safetensors vocab.txt
      bert
    """
    _family_of_config(config).save(directory, config, params, **kwargs)


def save_masked_lm(
    directory: str | Path, config: Any, params: Any, *, tokenizer_from: str | Path
) -> None:
    """Writes a directory that `load_masked_lm` reads, as `ModelFamily.save_masked_lm`.

    Args:
      directory: directory to write, which must not exist or be empty.
      config: configuration of the network, of a class that a family of the package has.
      params: `{"encoder": ..., "head": ...}`.
      tokenizer_from: the directory whose tokenizer files are copied.

    Raises:
      ValueError: as `ModelFamily.save_masked_lm`.
    """
    _family_of_config(config).save_masked_lm(
        directory, config, params, tokenizer_from=tokenizer_from
    )


def encoder(
    config: Any,
    *,
    pooling: Pooling = "mean",
    standardize: bool = False,
    dtype: Any = jnp.float32,
    layer_loop: LayerLoop = "auto",
    remat: Remat = "none",
) -> Encoder:
    r"""Builds an encoder whose hidden states are pooled to one vector for each text.

    Args:
      config: configuration of the network, of a class that a family of the package has.
      pooling: "mean", over the real tokens with the special ones; "first", the hidden
        state of the first token; "pooler", the output of the pretrained pooler;
        "entities", the concatenated hidden states at the two marks of a text
        (`Tokens.marks`), so that D is twice the network's; "tokens", no pooling: the
        hidden state of every token, arbitrary at padding.
      standardize: whether features :math:`x` become :math:`(x - \bar x) / (\sqrt D
        \sigma_x)`, which are centred and of unit length. Distances and inner
        products of such features mean the same whatever the pooling; a zero vector
        stays zero, with finite derivatives.
      dtype: dtype of computation, for instance `jnp.bfloat16`. Parameters keep theirs,
        float32 from `init`; softmax, norms and features are at least float32. For
        float64 throughout, parameters must be float64 too.
      layer_loop: "unroll" unrolls the layers; "scan" runs consecutive layers of equal
        shapes in one loop over a stacked copy of their parameters, so that compile
        time does not grow with their number; "auto" scans from 36 layers on, and
        wherever layers are rematerialised.
      remat: which activations are kept for the backward pass and not recomputed: all
        for "none"; the inputs and the products with weights for "dots", not attention,
        norms and activations; the inputs of layers alone for "layers", the memory of
        one layer's activations instead of all for about a third more time. Numbers
        stay the same.

    Returns:
      An `Encoder`, whose stages are the embeddings, each layer, and the pooling.

    Raises:
      ValueError: if the configuration is of no encoder of the package, `pooling`,
        `layer_loop` or `remat` is unknown, and from `apply` if texts are too long, the
        parameters hold no pooler to read, or the texts have no marks.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.models import encoder
      >>> import jax
      >>> from metaflax.models import BertConfig, Tokens
      >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2,
      ...                     num_hidden_layers=1, intermediate_size=16)
      >>> model = encoder(config, standardize=True)
      >>> params = model.init(jax.random.key(0))
      >>> ids = jnp.array([[1, 5, 2], [1, 2, 0]])
      >>> features = model.apply(params, Tokens(ids, None, ids > 0), None)
      >>> print(features.shape, jnp.linalg.norm(features, axis=1).round(4))
      (2, 8) [1. 1.]

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for Language
      Understanding <https://arxiv.org/abs/1810.04805>`_, 2019. The mean over tokens:
      Reimers and Gurevych, `Sentence-BERT <https://arxiv.org/abs/1908.10084>`_, 2019.
    """
    build = _family_of_config(config).encoder
    if build is None:
        raise ValueError(
            f"a {type(config).__name__} is of generative models; give one of an encoder"
        )
    return build(
        config,
        pooling=pooling,
        standardize=standardize,
        dtype=dtype,
        layer_loop=layer_loop,
        remat=remat,
    )


def _family_of_config(config: Any) -> ModelFamily:
    families = {family.config_class: family for family in FAMILIES.values()}
    if type(config) not in families:
        raise ValueError(
            f"no family has configurations of class {type(config).__name__}; call the"
            " methods of its ModelFamily."
        )
    return families[type(config)]
