"""Compilation of programs before the service is ready."""

import contextlib
import itertools

import numpy as np

from metaflax import data
from metaflax.workflows.learning._head_choice import possible_choices
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.learning._text_encoder import Encoded

TEXT = "a text"
# Number of classes and numbers of examples whose programs are compiled; smaller tasks
# are padded to them, and the adaptation of a larger task is compiled on first use.
CLASSES, EXAMPLES = 8, (16, 32, 64)


def warm_up(learner: Learner) -> None:
    """Compiles the encoder for texts of every length, and adaptations of usual sizes.

    If adaptation changes the encoder, the first adaptation compiles it.

    Args:
      learner: learner whose programs are compiled.
    """
    learner.encoder.warm_up(TEXT)
    if not learner.shares_encoder:
        return
    names = [str(number) for number in range(CLASSES)]
    # None stands for the choice among all heads, or for the only head.
    choices = [None, *(possible_choices(CLASSES) if learner.chooses_head else ())]
    for size, choice in itertools.product(EXAMPLES, choices):
        labels = tuple((names[i % CLASSES],) for i in range(size))
        examples = data.Examples("warm-up", (TEXT,) * size, labels)
        features = np.zeros((size, learner.encoder.num_features), np.float32)
        encoded = Encoded(features, np.ones((size, 2), np.int64))
        # An output layer that was meta-trained may have fewer classes.
        with contextlib.suppress(ValueError):
            learner.learn(examples, names, encoded=encoded, choice=choice)
