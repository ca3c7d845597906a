"""Tests of what is compiled before the service is ready."""

import numpy as np
import pytest

from metaflax.few_shot._examples import examples_of
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.serving import _warm_up
from tests.serving.clients import EXAMPLES


@pytest.fixture(scope="module")
def learner(tiny_bert):
    return load_learner(LearnerSettings(model=str(tiny_bert), batch_size=4))


def num_programs(learner, num_classes):
    return learner._adapting(num_classes)._cache_size()


def test_a_first_task_of_usual_size_compiles_nothing(learner):
    _warm_up.warm_up(learner)
    sizes = {classes: num_programs(learner, classes) for classes in (2, 4, 8)}
    assert set(sizes.values()) == {len(_warm_up.EXAMPLES)}
    encoded = learner.encoder._apply._cache_size()
    examples = examples_of(EXAMPLES, learner.task)
    names = sorted({row["label"] for row in EXAMPLES})
    learner.learn(examples, names)
    assert {classes: num_programs(learner, classes) for classes in sizes} == sizes
    assert learner.encoder._apply._cache_size() == encoded


def test_texts_share_a_batch_as_far_as_one_shape_holds_them(learner):
    batches = learner.encoder.batches
    lengths = np.full(200, 5)
    number = learner.encoder.num_together(lengths)
    [(rows, shape)] = batches.plan(lengths[:number])
    assert len(rows) == number
    assert shape.num_tokens == batches.num_tokens // 4
    assert not shape.holds(lengths[: number + 1])
    longest = np.array([batches.lengths[-1], 5])
    assert learner.encoder.num_together(longest) >= 1
