"""Registry of named heads."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from metaflax import base
from metaflax.heads._balanced import balanced
from metaflax.heads._centred import centred_logistic_regression, centred_prototypes
from metaflax.heads._choice import linear_choice, ridge_choice
from metaflax.heads._cosine_prototypes import cosine_prototypes
from metaflax.heads._detected import detected
from metaflax.heads._gaussian import gaussian
from metaflax.heads._identity import identity
from metaflax.heads._label_propagation import label_propagation
from metaflax.heads._leopard import leopard
from metaflax.heads._linear import linear
from metaflax.heads._logistic_regression import logistic_regression
from metaflax.heads._matching import matching
from metaflax.heads._nearest import nearest
from metaflax.heads._prototypes import label_prototypes, prototypes
from metaflax.heads._regression import linear_regression, ridge_regression
from metaflax.heads._relation import relation
from metaflax.heads._ridge import ridge
from metaflax.heads._soft_k_means import soft_k_means
from metaflax.heads._span import span
from metaflax.heads._zeros import zeros


class HeadSettings(Protocol):
    """Settings of heads, a subset of those of `config.AlgorithmConfig`."""

    @property
    def temperature(self) -> float:
        """Initial value of a learned temperature."""
        ...

    @property
    def strength(self) -> float:
        """Initial value of a learned regularisation strength."""
        ...


HeadBuilder: TypeAlias = Callable[[int, int, HeadSettings], base.Head]
"""`head = build(num_features, num_classes, settings)`."""

HEADS: dict[str, HeadBuilder] = {
    "linear": lambda d, n, settings: linear(d, n),
    "prototypes": lambda d, n, settings: prototypes(
        n, temperature=settings.temperature
    ),
    "label_prototypes": lambda d, n, settings: label_prototypes(
        n, temperature=settings.temperature
    ),
    "zeros": lambda d, n, settings: zeros(d, n),
    "cosine_prototypes": lambda d, n, settings: cosine_prototypes(
        n, temperature=settings.temperature
    ),
    "matching": lambda d, n, settings: matching(n, temperature=settings.temperature),
    "nearest": lambda d, n, settings: nearest(n, temperature=settings.temperature),
    "relation": lambda d, n, settings: relation(d, n),
    # Balanced, since classes are seldom as frequent among a user's labels as among the
    # texts to predict; it changes nothing if classes have equally many texts.
    "ridge": lambda d, n, settings: balanced(ridge(n, strength=settings.strength), n),
    "unbalanced_ridge": lambda d, n, settings: ridge(n, strength=settings.strength),
    "logistic_regression": lambda d, n, settings: balanced(
        logistic_regression(n, strength=settings.strength), n
    ),
    "unbalanced_logistic_regression": lambda d, n, settings: logistic_regression(
        n, strength=settings.strength
    ),
    "centred_prototypes": lambda d, n, settings: centred_prototypes(
        n, temperature=settings.temperature
    ),
    "centred_logistic_regression": lambda d, n, settings: balanced(
        centred_logistic_regression(n, strength=settings.strength), n
    ),
    "gaussian": lambda d, n, settings: gaussian(
        n, temperature=settings.temperature, strength=settings.strength
    ),
    "detected_prototypes": lambda d, n, settings: detected(
        prototypes(n, temperature=settings.temperature),
        d,
        n,
        strength=settings.strength,
    ),
    "soft_k_means": lambda d, n, settings: soft_k_means(
        n, temperature=settings.temperature
    ),
    "label_propagation": lambda d, n, settings: label_propagation(
        n, temperature=settings.temperature
    ),
    "leopard": lambda d, n, settings: leopard(d, n),
    "linear_regression": lambda d, n, settings: linear_regression(d),
    "ridge_regression": lambda d, n, settings: ridge_regression(
        strength=settings.strength
    ),
    "linear_choice": lambda d, n, settings: linear_choice(d),
    "ridge_choice": lambda d, n, settings: ridge_choice(d, strength=settings.strength),
    "span": lambda d, n, settings: span(d),
    "identity": lambda d, n, settings: identity(),
}
