"""Output layers that score the choices of a text, each by the same vector."""

import jax
import jax.numpy as jnp

from metaflax import base, linalg
from metaflax.base import _units
from metaflax.heads._membership import counted
from metaflax.heads._regression import linear_template
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen

# Kind of targets of both heads.
_KINDS = frozenset({"choices"})


def choice_outputs(state, features):
    """Computes `features @ kernel + bias`, a score for each choice, `[U, N]`.

    A choice whose features are all zero is absent: encoders of choices make them so.
    """
    scores = (features @ state["kernel"])[..., 0] + state["bias"][None, :]  # [U, N]
    return _units.choice_outputs(scores, _present(features))


def linear_choice(
    num_features: int,
    *,
    kernel_init: jax.nn.initializers.Initializer | None = None,
) -> base.Head:
    """Linear layer that scores choices, whose initialisation the outer loop learns.

    The score means the same in every task, however many choices a text has, so that the
    outer loop learns to choose, and not only to adapt.

    Args:
      num_features: D.
      kernel_init: draws the kernel; by default normal with deviation 0.02, as BERT
        does.

    Returns:
      A `Head` for `choices`: its features are `[U, N, D]`, zero for choices that a text
      lacks, its targets numbers of choices `[U]`, and its state a `kernel` `[D, 1]` and
      a `bias` `[1]`, which does not change a choice.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.heads import linear_choice
      >>> head = linear_choice(2, kernel_init=jax.nn.initializers.ones)
      >>> state = head.fit(head.init(jax.random.key(0)), None, None, None)
      >>> features = jnp.array([[[1.0, 0.0], [2.0, 1.0], [0.0, 0.0]]])  # Two choices.
      >>> print(jax.nn.softmax(head.apply(state, features).logits).round(2))
      [[0.12 0.88 0.  ]]

    References:
      Radford et al., `Improving Language Understanding by Generative Pre-Training
      <https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf>`_,
      2018, section 3.3.
    """
    kernel_init = kernel_init or jax.nn.initializers.normal(0.02)

    def init(key):
        kernel = kernel_init(key, (num_features, 1), float)
        return {"kernel": kernel, "bias": jnp.zeros(1)}

    def fit(head_params, features, targets, weights):
        del features, targets, weights  # The start depends on none of them.
        return head_params

    template = linear_template(num_features)
    return base.Head(init, fit, choice_outputs, _KINDS, template, is_linear=True)


def ridge_choice(
    num_features: int,
    *,
    strength: float = 1.0,
    scale: float = 10.0,
    kernel_init: jax.nn.initializers.Initializer = jax.nn.initializers.zeros,
) -> base.Head:
    r"""Linear layer that scores choices, fitted by ridge regression, in closed form.

    .. math::

      k = \arg\min_k \sum_u w_u \sum_n
        \big((f_{un} - \bar f_u)^\top k - (y_{un} - 1 / N_u)\big)^2
        + \lambda |k - k_0|^2, \qquad \mathrm{score}(f) = \alpha f^\top k,

    where :math:`\bar f_u` is the mean over the :math:`N_u` choices of a text and
    :math:`y_{un}` is 1 for the right one: only differences between choices of one text
    count. The prior :math:`k_0` (`head/kernel`), :math:`\lambda` and :math:`\alpha` are
    learned; without support examples the layer is :math:`\alpha k_0`.

    Args:
      num_features: D.
      strength: initial value of :math:`\lambda`; its logarithm is `head/log_strength`.
      scale: initial value of :math:`\alpha`, `head/scale`.
      kernel_init: draws :math:`k_0`; zero by default.

    Returns:
      A `Head` for `choices`, as `linear_choice`.

    Raises:
      ValueError: if the strength is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import ridge_choice
      >>> head = ridge_choice(1, scale=1.0)
      >>> features = jnp.array([[[1.0], [3.0]]])
      >>> state = head.fit(head.init(None), features, jnp.array([1]), jnp.ones(1))
      >>> print(head.apply(state, features).logits.round(4))  # k = 1 / (2 + 1)
      [[0.3333 1.    ]]

    References:
      Bertinetto et al., `Meta-learning with differentiable closed-form solvers
      <https://arxiv.org/abs/1805.08136>`_, 2019; Denevi et al., `Learning-to-Learn
      Stochastic Gradient Descent with Biased Regularization
      <https://arxiv.org/abs/1903.10399>`_, 2019, for the prior.
    """
    check_positive("strength", strength)

    def init(key):
        return {
            "kernel": kernel_init(key, (num_features, 1), float),
            "log_strength": log(strength),
            "scale": jnp.asarray(scale, float),
        }

    def fit(head_params, features, targets, weights):
        dtype = features.dtype
        features = counted(features, weights)
        prior = head_params["kernel"].astype(dtype)  # [D, 1]
        centred, labels, counts = _compared(features, targets, weights)
        residuals = labels[:, None] - centred @ prior  # [U N, 1]
        strength = jnp.exp(widen(head_params["log_strength"]))
        change = linalg.ridge(centred, residuals, counts, strength)
        kernel = head_params["scale"].astype(dtype) * (prior + change)
        return {"kernel": kernel, "bias": jnp.zeros(1, dtype)}

    template = linear_template(num_features)
    return base.Head(init, fit, choice_outputs, _KINDS, template, is_linear=True)


def _present(features: jax.Array) -> jax.Array:
    return jnp.any(features != 0, axis=-1)  # [U, N]


def _compared(
    features: jax.Array, targets: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Subtracts the means over the choices of each text from features and labels.

    Returns:
      Features `[U N, D]`, labels `[U N]` and weights `[U N]`, 0 for absent choices.
    """
    dtype, num = features.dtype, features.shape[1]
    present = _present(features).astype(dtype)  # [U, N]
    total = jnp.maximum(jnp.sum(present, axis=1, keepdims=True), 1)  # [U, 1]
    mean = jnp.sum(features, axis=1) / total  # [U, D]; absent choices are zero.
    centred = (features - mean[:, None]) * present[..., None]
    gold = jax.nn.one_hot(targets, num, dtype=dtype)
    labels = (gold - 1 / total) * present
    counts = weights.astype(dtype)[:, None] * present
    return centred.reshape(-1, centred.shape[-1]), labels.ravel(), counts.ravel()
