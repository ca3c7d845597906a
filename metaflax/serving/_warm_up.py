"""Programs that are compiled before the service is ready."""

import contextlib
import itertools

import numpy as np

from metaflax import data
from metaflax.few_shot._learner import Learner
from metaflax.few_shot._text_encoder import Encoded
from metaflax.workflows.inference._head_choice import possible_choices

TEXT = "a text"
# Number of classes that smaller tasks are padded to, and numbers of examples; a larger
# task compiles its adaptation once.
CLASSES, EXAMPLES = 8, (16, 32, 64)


def warm_up(learner: Learner) -> None:
    """Compiles the encoder for texts of every length, and adaptations of usual sizes.

    Where adaptation changes the encoder, its first one compiles it.

    Args:
      learner: whose programs they are.
    """
    learner.encoder.warm_up(TEXT)
    if not learner.shares_encoder:
        return
    names = [str(number) for number in range(CLASSES)]
    # None is the choice among all others, or the only head.
    choices = [None, *(possible_choices(CLASSES) if learner.chooses_head else ())]
    for size, choice in itertools.product(EXAMPLES, choices):
        labels = tuple((names[i % CLASSES],) for i in range(size))
        examples = data.Examples("warm-up", (TEXT,) * size, labels)
        features = np.zeros((size, learner.encoder.num_features), np.float32)
        encoded = Encoded(features, np.ones((size, 2), np.int64))
        # An output layer that was meta-trained may have fewer classes.
        with contextlib.suppress(ValueError):
            learner.learn(examples, names, encoded=encoded, choice=choice)
