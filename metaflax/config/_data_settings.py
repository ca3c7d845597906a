"""The texts of a run, and the episodes that are drawn from them."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import tyro

from metaflax.config._renamed import accepts_former_names
from metaflax.data.sources._label_texts import AS_WRITTEN, NO_NAMES

Count: TypeAlias = int | tuple[int, int]


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
