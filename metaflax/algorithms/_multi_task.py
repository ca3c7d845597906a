"""Pretraining of one classifier on all training classes, then fine-tuning."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, base, tree
from metaflax.algorithms._baselines import fine_tuning
from metaflax.algorithms._compose import check_num_steps
from metaflax.base._units import concatenate


def multi_task(
    encode_fn: base.ApplyFn,
    loss_fn: base.LossFn,
    init_fn: base.InitFn,
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer,
    *,
    head: base.Head,
    num_features: int,
    num_train_classes: int,
    adapts: tree.Where = tree.everything,
    num_steps: int = 20,
) -> base.MetaAlgorithm:
    r"""Pretrains a classifier on all training classes and fine-tunes it on a new task.

    The outer loop descends the loss of one linear layer over the classes of all
    tasks, support and query alike, without an inner loop. Adaptation is that of
    `fine_tuning`, with a new head.

    Args:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's parameters.
      inner_optimizer: fine-tunes, each step on the whole support set.
      head: head that initialises the output layer of a new task.
      num_features: D.
      num_train_classes: number of classes of all training tasks together; their targets
        are numbers among these, while those of a new task are numbers within that task.
      adapts: parameters to fine-tune.
      num_steps: number of steps K.

    Returns:
      A `MetaAlgorithm` on `{"encoder": ..., "head": {"joint": ..., "task": ...}}`.

    Raises:
      ValueError: if `num_steps` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import heads, losses
      >>> algorithm = metaflax.multi_task(
      ...     encode_fn=lambda w, x, key: w * x,
      ...     loss_fn=losses.softmax_cross_entropy,
      ...     init_fn=lambda key: jnp.ones(()),
      ...     inner_optimizer=optax.sgd(0.1),
      ...     head=heads.zeros(4, 2),
      ...     num_features=4,
      ...     num_train_classes=64,
      ... )
      >>> params = algorithm.init(jax.random.key(0))
      >>> support = metaflax.Batch(jnp.eye(2, 4), jnp.arange(2), jnp.ones(2))
      >>> adapted, _ = jax.jit(algorithm.adapt)(params, support)
      >>> params["head"]["joint"]["kernel"].shape, adapted["head"]["kernel"].shape
      ((4, 64), (4, 2))

    References:
      Chen et al., `A Closer Look at Few-shot Classification
      <https://arxiv.org/abs/1904.04232>`_, 2019: "Baseline".
    """
    check_num_steps("multi_task", num_steps)
    tuned = fine_tuning(
        encode_fn,
        loss_fn,
        init_fn,
        inner_optimizer,
        head=head,
        adapts=adapts,
        num_steps=num_steps,
    )

    def init(key: Any) -> Any:
        params: Any = tuned.init(key)
        joint_key = jax.random.fold_in(key, 1)
        kernel = 0.02 * jax.random.normal(joint_key, (num_features, num_train_classes))
        joint = {"kernel": kernel, "bias": jnp.zeros(num_train_classes)}
        return {**params, "head": {"joint": joint, "task": params["head"]}}

    def of_task(params):
        return {**params, "head": params["head"]["task"]}

    def adapt(params, support, key=None):
        return tuned.adapt(of_task(params), support, key)

    def resume(params, adapted, support, key=None):
        assert tuned.resume is not None  # It takes inner steps.
        return tuned.resume(of_task(params), adapted, support, key)

    def predict(params, adapted, inputs, key=None):
        return tuned.predict(of_task(params), adapted, inputs, key)

    def loss(params, task, key=None, step=None):
        del step
        support, query = map(_checks.finite_padding, task)
        inputs = concatenate(support.inputs, query.inputs)
        features = encode_fn(params["encoder"], inputs, key)
        joint = params["head"]["joint"]
        logits = features @ joint["kernel"] + joint["bias"][None, :]
        outputs = base.ClassOutputs(logits, jnp.ones(num_train_classes, bool))
        targets = jnp.concatenate([support.targets, query.targets])
        weights = jnp.concatenate([support.weights, query.weights])
        value, aux = _checks.with_aux(loss_fn(outputs, targets, weights))
        info = base.MetaInfo(jnp.zeros(0), value, aux)
        return value, jax.lax.stop_gradient(info)

    return tuned._replace(
        init=init, adapt=adapt, predict=predict, loss=loss, resume=resume
    )
