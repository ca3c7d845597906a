"""The settings of a run, as frozen dataclasses."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import tyro

from metaflax.config._renamed import accepts_former_names

Count: TypeAlias = int | tuple[int, int]
Pooling: TypeAlias = Literal["mean", "first", "pooler", "entities", "tokens"]

# Task types that say something of every token.
ON_TOKENS = ("entities", "question_answering")
# Task types whose queries may hold nothing of what a task is about.
WITH_NONE = ("relations", "entities")
# Task types whose answers are texts that a language model says.
GENERATING = ("translation", "summarization", "dialogue", "language_modelling")

# Task types whose texts have variants: of the others a replaced word may be a part that
# is asked for, or what makes two texts a pair.
WITH_VARIANTS = ("classification", "multilabel_classification")


# Task types whose texts may stay on disk: those of one text and one label.
ON_DISK = ("classification",)


@accepts_former_names("model")
@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The pretrained model; of an encoder, how a text becomes one vector."""

    name: Annotated[str, tyro.conf.arg(name="model")] = "minilm"
    """Directory or hub name of a BERT; `minilm` is all-MiniLM-L6-v2, fetched by pip. Of
    a GPT-2 or an encoder-decoder for tasks that generate; `metaflax new` makes one."""
    pooling: Pooling = "mean"
    """Which hidden states make the vector; `entities` are those of relations, and
    `tokens` leaves every token its own."""
    standardize: bool = True
    """Whether vectors are centred and of unit length."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of computation; parameters are float32."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Whether layers are one loop, which compiles faster; auto: from 24 layers on."""
    remat: Literal["none", "dots", "layers"] = "none"
    """What runs again to save memory: all but weight products, or whole layers."""
    lora_rank: int = 0
    """Adds LoRA factors to queries and values, for `adapts` `*/lora`; 0 for none."""
    adapter_size: int = 0
    """Adds bottleneck adapters of this width to every layer; warpgrad needs them."""
    context_size: int = 0
    """Adds a context vector of this size to the embeddings; cavia needs one."""
    prefix_size: int = 0
    """Adds as many keys and values before all texts to every layer that says texts, for
    `adapts` `*/prefix`; 0 for none."""
    family: str | None = None
    """Model family: a `model_type`, or the import path `package.module:attribute` of a
    `ModelFamily`; by default what the model's config.json names."""


@accepts_former_names("data")
@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Labelled texts and how their classes are split."""

    path: Annotated[str, tyro.conf.arg(name="data")] = ""
    """JSONL, CSV, TSV or Parquet file or pattern of files, saved data set, hub name, or
    `scored-texts`."""
    task: Literal[
        "classification",
        "multilabel_classification",
        "pair_classification",
        "regression",
        "relations",
        "entities",
        "question_answering",
        "translation",
        "summarization",
        "dialogue",
        "language_modelling",
        "smlmt",
    ] = "classification"
    """Task type: a class a text, any number of labels, a class a pair, a number, the
    relation of two entities, the entities of a text, the answer in a context; or what
    is generated: a translation, a summary, the next turn, how a text goes on; or which
    word was masked in raw text, a sentence a line."""
    tagging: Literal["io", "bio"] = "io"
    """Classes that tell entities: one a type, or their first word apart."""
    text: str = "text"
    """Column of texts."""
    text_pair: str = "text_pair"
    """Column of second texts, where the task type reads pairs."""
    label: str = "label"
    """Column of labels, or of numbers."""
    target: str = "target"
    """Column of texts that are to be generated."""
    on_disk: bool = False
    """Whether texts stay on disk, however many there are, and meta-training reads them
    as it draws them; of classification. The first start makes an index, which is kept.
    Classes with fewer texts than an episode takes are left out."""
    unlabelled: Literal["error", "drop"] = "error"
    """What happens to a row whose list of labels is empty."""
    domain: str | None = None
    """Column of domains; each episode is drawn from one."""
    split_file: str | None = None
    """JSON with the names of train, valid and test classes (or domains)."""
    fold: str | None = None
    """Which fold of the split file."""
    split_names: Mapping[str, tuple[str, ...]] | None = None
    """The same names given here, by `train`, `valid` and `test`."""
    split_by: Literal["label", "domain"] = "label"
    """Whether classes or domains are disjoint."""
    split_seed: int = 0
    """Draws a split in halves and quarters where none is given."""
    more_train: str | None = None
    """Labelled texts, as `data`, that meta-training alone reads besides, such as
    `metaflax cluster` writes; none of their classes (or domains) is held out."""
    word_bands: tuple[int, ...] = (20, 100, 500, 2000)
    """Of smlmt, in how many sentences words occur: tasks are drawn from one of the
    bands between these numbers."""
    word_clusters: int = 0
    """Of smlmt: tasks are drawn from one of so many clusters of word embeddings, not of
    the bands; 0 for none."""
    variants: str | None = None
    """Column of lists of texts that meta-training may read in a text's place, such as
    the column `variants` that `metaflax augment` writes."""
    variant_rate: float = 0.5
    """How likely a text of meta-training that has variants is read as one of them."""
    max_length: int = 128
    """Most tokens of a text."""
    max_target_length: int = 64
    """Most tokens of a text that is generated."""
    on_long: Literal["error", "truncate"] = "truncate"
    """What happens to a longer one; truncated texts are counted and reported."""


@dataclasses.dataclass(frozen=True)
class EpisodeConfig:
    """Sizes of episodes: a number, or least and most."""

    way: Count = 5
    """Classes of a validation or test episode."""
    shot: Count = 5
    """Support examples a class; of numbers, questions and generated texts, in all."""
    queries: Count = 5
    """Query examples a class; of numbers, questions and generated texts, in all."""
    none_rate: float = 0.0
    """Share of queries that are of none of an episode's relations, or hold none of
    its entities."""
    train_way: Count | None = None
    """The same in meta-training, where it differs."""
    train_shot: Count | None = None
    """The same in meta-training, where it differs."""
    train_queries: Count | None = None
    """The same in meta-training, where it differs."""

    def training(self) -> "EpisodeConfig":
        """The sizes of meta-training's episodes."""
        return EpisodeConfig(
            way=self.way if self.train_way is None else self.train_way,
            shot=self.shot if self.train_shot is None else self.train_shot,
            queries=self.queries if self.train_queries is None else self.train_queries,
            none_rate=self.none_rate,
        )


@accepts_former_names("algorithm")
@dataclasses.dataclass(frozen=True)
class AlgorithmConfig:
    """The meta-learning algorithm."""

    name: Annotated[str, tyro.conf.arg(name="algorithm")] = "protonet"
    """A name in `metaflax.algorithms`, such as maml, protonet, leopard or frozen."""
    head: str | None = None
    """A name in `metaflax.heads`; by default what suits the algorithm."""
    temperature: float = 10.0
    """Where the learned factor of prototypes' squared distances begins."""
    strength: float = 1.0
    """Where the learned strength of regularised heads in closed form begins."""
    none_logit: float = 0.0
    """Where the learned logit begins of none of an episode's relations."""
    transitions: tuple[float, ...] = ()
    """Of entities: the probabilities of `tasks.AbstractTransitions`, all in a row."""
    null_threshold: float = 0.0
    """Of questions: how much the logit of no answer must exceed the best passage's."""
    adapts: tuple[str, ...] = ("*",)
    """Paths that inner steps change, such as `head` or `encoder/layer_5/*`."""
    inner_optimizer: str = "sgd"
    """Any optimizer of optax."""
    inner_learning_rate: float = 0.05
    """Its rate."""
    learned_rates: Literal["tensor", "layer", "parameter"] | None = None
    """What has an inner rate of its own that is learned, from that one on; None for
    nothing. Its rate of learning is `hyper_learning_rate`."""
    num_steps: int = 5
    """Inner steps."""
    eval_num_steps: int | None = None
    """Inner steps at validation and meta-test, where they differ."""
    micro_batch_size: int | None = None
    """Examples whose activations are held at once; gradients accumulate over a task's
    micro-batches. None for all."""
    proximal: float = 1.0
    """How strongly imaml draws what adapts to where it began."""
    label_smoothing: float = 0.0
    """Share of a target spread over the other classes."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """Whether rare classes count as much as common ones."""


@accepts_former_names("training")
@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The outer loop."""

    steps: int = 500
    """Outer steps at most."""
    tasks_per_step: int = 4
    """Episodes a step."""
    task_loop: Literal["auto", "scan", "vmap"] | int = "auto"
    """One task after another, all at once, or so many at once."""
    optimizer: str = "adamw"
    """Any optimizer of optax."""
    learning_rate: float = 2e-5
    """Its largest rate."""
    head_learning_rate: float | None = None
    """The same of parameters under `head`, where it differs."""
    hyper_learning_rate: float | None = None
    """The same of what an inner optimizer learns, its rates for instance."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the rate falls after warming up."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = 0.01
    """Of matrices."""
    clip_norm: float | None = 1.0
    """Largest norm of a meta-gradient."""
    trains: tuple[str, ...] = ("*",)
    """Paths that the outer loop changes; `!` takes away."""
    dropout: bool = True
    """Whether the network drops out while it trains."""
    eval_every: int = 50
    """Steps between validations, each of which saves a checkpoint."""
    valid_episodes: int = 200
    """Episodes of a validation, always the same."""
    patience: int | None = 5
    """Validations without improvement that end the run."""
    max_skipped_steps: int = 0
    """Steps in a row that are left out because their loss or gradient is not finite;
    one more ends the run. 0 for none."""
    interpolate: tuple[float, ...] = (1.0,)
    """Shares of the way from pretrained to trained weights, picked on validation."""
    seed: int = 0
    """Draws episodes, new parameters and dropout."""
    tensorboard: bool = False
    """Whether to write TensorBoard events too."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Meta-testing."""

    test_episodes: int = 600
    """Episodes of the test classes, before and after on the same ones."""
    test_seed: int = 1
    """Draws them."""
    batch_episodes: int = 10
    """Episodes scored in one call."""
    num_beams: int = 1
    """Texts that are pursued side by side to generate one; 1 for the likeliest word
    each time."""
    repetition_penalty: float = 1.0
    """Above 1, makes words less likely that a generated text has said before."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def check(config: Config) -> None:
    """Refuses settings that make no run.

    Raises:
      ValueError: naming the setting and what it may be.
    """
    if config.model.pooling == "pooler" and config.model.standardize:
        raise ValueError(
            "pooling 'pooler' cannot be standardized, since no Hugging Face classifier"
            " does so; set standardize to False."
        )
    training, evaluation = config.training, config.evaluation
    counts = {
        "steps": training.steps,
        "tasks_per_step": training.tasks_per_step,
        "eval_every": training.eval_every,
        "valid_episodes": training.valid_episodes,
        "test_episodes": evaluation.test_episodes,
        "batch_episodes": evaluation.batch_episodes,
        "num_beams": evaluation.num_beams,
        "max_target_length": config.data.max_target_length,
    }
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; give 1 or more.")
    if not evaluation.repetition_penalty > 0:
        raise ValueError(
            f"repetition_penalty is {evaluation.repetition_penalty}; give a number"
            " above 0, 1 for none."
        )
    if training.max_skipped_steps < 0:
        raise ValueError(
            f"max_skipped_steps is {training.max_skipped_steps}; give 0 or more."
        )
    on_tokens = config.data.task in ON_TOKENS
    if on_tokens != (config.model.pooling == "tokens"):
        raise ValueError(
            f"pooling is {config.model.pooling!r} and the task type"
            f" {config.data.task!r}; pooling 'tokens' goes with"
            f" {' and '.join(ON_TOKENS)}, and with these alone."
        )
    data = config.data
    of_labels = data.domain, data.split_file, data.split_names, data.more_train
    if data.task == "smlmt" and any(of_labels):
        raise ValueError(
            "smlmt splits the words of raw text by split_seed; leave out domain,"
            " split_file, split_names and more_train."
        )
    _check_variants(data)
    _check_on_disk(data)
    if config.episodes.none_rate and config.data.task not in WITH_NONE:
        raise ValueError(
            f"none_rate is {config.episodes.none_rate}, and only"
            f" {' and '.join(WITH_NONE)} have queries of no class; set it to 0."
        )


def _check_variants(data: DataConfig) -> None:
    if not 0 <= data.variant_rate <= 1:
        raise ValueError(f"variant_rate is {data.variant_rate}; give 0 to 1.")
    if data.variants is None:
        return
    if data.task not in WITH_VARIANTS:
        raise ValueError(
            f"variants are for {' and '.join(WITH_VARIANTS)}, whose texts stand alone"
            f" with their labels, and the task type is {data.task!r}; leave them out."
        )
    if data.path == "scored-texts":
        raise ValueError("scored-texts have no variants; leave them out.")


def _check_on_disk(data: DataConfig) -> None:
    if not data.on_disk:
        return
    if data.task not in ON_DISK:
        raise ValueError(
            f"on_disk is for {' and '.join(ON_DISK)}, and the task type is"
            f" {data.task!r}; leave it out."
        )
    if data.path == "scored-texts":
        raise ValueError(
            "scored-texts are few, and in no file of labels; leave on_disk out."
        )
    usual = DataConfig()
    for name in ("domain", "split_by", "unlabelled", "variants", "more_train"):
        if getattr(data, name) != getattr(usual, name):
            raise ValueError(
                f"{name} is {getattr(data, name)!r}, which does not go with on_disk;"
                " leave one of them out."
            )
