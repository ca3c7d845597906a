"""The command `adapt`."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

from rich.console import Console

from metaflax import workflows
from metaflax.cli.commands._machines import Flag
from metaflax.config._algorithm_settings import EntityTyping
from metaflax.config._given import given
from metaflax.config._model_settings import PairEncoding, Pooling


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of the support set (default: those of the run)."""

    text: str | None = None
    """Column of the input text (default: text)."""
    text_pair: str | None = None
    """Column of the second text, for task types on pairs (default: text_pair)."""
    label: str | None = None
    """Column of the label, the labels, or the number to predict (default: label)."""
    target: str | None = None
    """Column of the text to generate (default: target)."""
    unlabelled: Literal["error", "drop"] | None = None
    """Handling of rows with an empty list of labels (default: error)."""
    label_separator: str | None = None
    """Separator of several labels in one string, such as "|" (default: none)."""
    split: str | None = None
    """Split of a saved data set, hub data set or folder (default: the only one)."""
    encoding: str | None = None
    """Encoding of a text file, such as latin-1 (default: UTF-8, or what a byte order
    mark names)."""


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Model, algorithm and task type, without --run."""

    model: str | None = None
    """Directory or hub name of a pretrained model (default: minilm)."""
    algorithm: str | None = None
    """Adaptation, such as frozen, fine_tuning or, for generative models, in_context
    (default: frozen, and fine_tuning for answers to questions and generated texts)."""
    task: str | None = None
    """Task type of the support set (default: classification)."""
    template: str | None = None
    """Prompt template of a generative model, see `train --template` (default: the task
    type's with in_context, else none)."""
    head: str | None = None
    """Output layer, such as prototypes, ridge or logistic_regression, or auto, which
    chooses one by cross-validation on the support set, also with --run (default: below
    frozen weights auto for one class an input, and centred_prototypes for pairs in two
    towers; else the algorithm's)."""
    pooling: Pooling | None = None
    """Pooling of an encoder's hidden states (default: tokens for task types with
    targets of tokens, else that of a sentence-transformers folder, else mean)."""
    pair_encoding: PairEncoding | None = None
    """Encoding of pairs of texts: as one sequence, each text by itself (two_towers),
    both, or as a phrase within the first text; for relations, phrase encodes the names
    of the entities too (default: with a sentence-transformers folder two_towers for
    pairs of texts and, where it averages tokens, phrase for relations; else
    one_sequence)."""
    capitals: bool | None = None
    """Whether features of a word say that it begins with a capital, for entities
    (default: no)."""
    standardize: bool | None = None
    """Whether pooled features are centred and scaled to unit length (default: whether a
    sentence-transformers folder normalises its vectors; True for other models)."""
    max_length: int | None = None
    """Maximum tokens of an input text (default: that of a sentence-transformers folder,
    else 128)."""
    max_target_length: int | None = None
    """Maximum tokens of a generated text (default: 64)."""
    temperature: float | None = None
    """Scale of distances or cosines in heads such as prototypes (default: 10)."""
    strength: float | None = None
    """Regularisation strength of closed-form heads such as ridge (default: 1)."""
    inner_optimizer: str | None = None
    """Optimizer of algorithms with inner steps, such as sgd or adam (default: sgd)."""
    inner_learning_rate: float | None = None
    """Learning rate of that optimizer (default: 0.05)."""
    num_steps: int | None = None
    """Inner steps (default: 5)."""
    tagging: Literal["io", "bio"] | None = None
    """Tagging scheme of entities: one class per type (io), or the first word apart
    (bio) (default: io)."""
    transitions: tuple[float, ...] | None = None
    """Seven transition probabilities of entity tags, for Viterbi decoding (default:
    none)."""
    entity_typing: EntityTyping | None = None
    """Typing of entities: each word by itself (words), or neighbouring words of
    entities together (spans) (default: words)."""
    entity_threshold: float | None = None
    """Log-odds of being in an entity that a word must exceed, where spans are typed
    (default: 0)."""
    none_rate: float | None = None
    """A rate above 0 lets relations predict none of the above (default: 0)."""
    none_logit: float | None = None
    """Logit of none of the above, for relations (default: 0)."""
    null_threshold: float | None = None
    """Margin by which the logit of no answer must exceed that of the best answer
    (default: 0)."""


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Learn a new task from a few labelled texts and write a Hugging Face model."""

    EXAMPLES: ClassVar = (
        "metaflax adapt --support my_task.csv --out my_model",
        "metaflax adapt --run runs/intents --support my_task.csv --out my_model",
    )
    PAGE: ClassVar = "tutorials/first_classifier"

    support: Path
    """Labelled texts, the support set: a file, folder or data set, as for `train`."""
    out: Path
    """Directory to write, for `predict --model`."""
    run: Path | None = None
    """Meta-trained run directory (default: none, adapt a pretrained model)."""
    unlabelled_texts: Path | None = None
    """File of texts without labels, a text a line or in the columns and encoding of the
    support set, for heads that learn from such texts, soft_k_means and
    label_propagation (default: none)."""
    label_names: str | None = None
    """Names of classes as further support examples: as_written (names as words), a JSON
    file of a description by class, or none (default: the run's, or none)."""
    label_name_weight: float | None = None
    """Weight of the name of a class beside each of its support examples (default: the
    run's, or 1)."""
    keep_context: Flag = False
    """Keep the keys and values of the support set of a model that is adapted in context
    (metaicl), so that `predict` need not encode it again."""
    calibrate: Flag = False
    """Divide the likelihoods of classes and choices under a generative model by those
    for a text without content (contextual calibration), without --run."""
    columns: Columns = dataclasses.field(default_factory=Columns)
    pretrained: Pretrained = dataclasses.field(default_factory=Pretrained)

    def execute(self, console: Console) -> None:
        """Adapts and writes the model."""
        from metaflax.workflows.inference._pretrained_config import without_run
        from metaflax.workflows.learning._choosable_heads import refuse_strength

        settings = given(**vars(self.pretrained))
        if self.calibrate:
            settings["calibrate"] = True
        choose_head = _take_choice(settings)
        if self.run is not None and settings:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in settings)
            raise ValueError(
                f"{options} would change what the run was trained with; leave out"
                " --run, or these options."
            )
        if choose_head:
            refuse_strength(settings.get("strength"))
        workflows.adapt(
            self.support,
            self.out,
            console,
            run_dir=self.run,
            config=None if self.run else without_run(**settings),
            keep_context=self.keep_context,
            choose_head=choose_head,
            unlabelled_texts=self.unlabelled_texts,
            label_names=self.label_names,
            label_name_weight=self.label_name_weight,
            **given(**vars(self.columns)),
        )


def _take_choice(settings: dict[str, Any]) -> bool | None:
    """Removes the head `auto` from the settings, for `choose_head` of `adapt`.

    With a strength or a temperature, which belong to the default head, none is chosen.
    """
    from metaflax.workflows.learning._choosable_heads import AUTO

    if settings.get("head") == AUTO:
        del settings["head"]
        return True
    return False if settings.keys() & {"strength", "temperature"} else None
