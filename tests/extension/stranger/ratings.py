"""A task type with a target kind and a metric of its own: ordered ratings."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from metaflax import data, losses, target_kinds, tasks


@dataclasses.dataclass(frozen=True)
class OrderedSampler:
    """Draws episodes whose classes are in the order of their names."""

    sampler: data.Sampler

    @property
    def sizes(self):
        """The largest episode."""
        return self.sampler.sizes

    def episode(self, seed, index):
        """The episode of the sampler, its classes renumbered."""
        drawn = self.sampler.episode(seed, index)
        order = np.argsort(drawn.classes)  # Numbers of classes follow their names.
        rank = np.argsort(order).astype(np.int32)
        return dataclasses.replace(
            drawn,
            classes=tuple(drawn.classes[i] for i in order),
            support_targets=rank[drawn.support_targets],
            query_targets=rank[drawn.query_targets],
        )


def sampler(examples, counts):
    """Builds the sampler of a split."""
    classes = target_kinds.TARGET_KINDS["classes"].sampler(examples, counts)
    return OrderedSampler(classes)


def report(evaluated):
    """The mean distance of predicted from gold ratings, in places."""
    errors = [
        np.abs(logits.argmax(axis=-1) - targets)
        for logits, targets in evaluated.by_episode()
    ]
    errors = np.concatenate(errors)
    return {"all": {"distance": float(errors.mean()), "support": len(errors)}}


RATINGS = target_kinds.TARGET_KINDS["classes"]._replace(
    name="ratings",
    sampler=sampler,
    report=report,
    heads={"prototypes": "stranger.head:shrunken"},
)


def closeness(outputs, targets, weights):
    """One less the mean distance, in shares of the largest; more is better."""
    places = jnp.argmax(outputs.logits, axis=-1)
    largest = outputs.logits.shape[-1] - 1
    distance = jnp.abs(places - targets).astype(outputs.logits.dtype) / largest
    return 1 - losses.weighted_mean(distance, weights)


def ratings(config):
    """Builds the task type of a config."""
    plain = tasks.classification(label_smoothing=config.algorithm.label_smoothing)
    return plain._replace(
        kind="ratings",
        target_kind=RATINGS,
        metrics={"closeness": closeness, **plain.metrics},
    )


def farthest(outputs, targets, weights):
    """A metric to select by: one less the largest distance."""
    places = jnp.argmax(outputs.logits, axis=-1)
    distance = jnp.where(weights > 0, jnp.abs(places - targets), 0)
    return 1 - jnp.max(distance).astype(outputs.logits.dtype)
