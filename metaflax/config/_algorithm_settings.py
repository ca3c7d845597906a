"""The meta-learning algorithm of a run."""

import dataclasses
from typing import Annotated, Literal, TypeAlias

import tyro

from metaflax.config._renamed import accepts_former_names

EntityTyping: TypeAlias = Literal["words", "spans"]


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
    entity_typing: EntityTyping = "words"
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
