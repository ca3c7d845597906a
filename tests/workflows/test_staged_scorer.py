"""Tests that scoring in two stages equals scoring in one stage."""

import jax
import numpy as np
import pytest

from metaflax import config as config_lib
from metaflax import data
from metaflax.workflows.runs import _run, _staged_scorer
from metaflax.workflows.runs._encoder_scorers import LogitScorer
from metaflax.workflows.runs._episodes import episodes_of
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._staged_scorer import MOST_SHAPES, StagedScorer
from tests.workflows import worlds

NUM = 12


class InOneStage(LogitScorer):
    """Scorer in one stage, which pads all tasks to the largest."""

    by_stages = False


@pytest.fixture(scope="module")
def run(world):
    sizes = config_lib.EpisodeConfig(way=3, shot=2, queries=3)
    rates = {"inner_learning_rate": 0.1, "num_steps": 2}
    config = config_lib.Config(
        model=config_lib.ModelConfig(name=str(world.model)),
        data=config_lib.DataConfig(
            path=str(world.data),
            split_file=str(world.split),
            max_length=worlds.POSITIONS,
        ),
        episodes=sizes,
        algorithm=config_lib.AlgorithmConfig(name="proto_maml", **rates),
    )
    return _run.load_run(config)


def published(run):
    """Episodes of one to five texts per class, with all remaining texts as queries."""
    examples = run.splits.test
    episodes = tuple(
        data.EpisodeSampler(examples, 3, 1 + n % 5, 1 + n % 4).episode(0, n)
        for n in range(NUM)
    )
    given = data.FixedEpisodes(examples, episodes)
    return episodes_of(examples, given, run.config, run.task, run.model)


def evaluator(run, kind, size=4):
    scorer = kind(run.config.algorithm, run.model, run.task, published(run))
    return Evaluator(scorer, run.task, seed=0, num_episodes=NUM, batch_episodes=size)


def check_equal(found, expected, episodes):
    for name, values in expected.metrics.items():
        np.testing.assert_allclose(found.metrics[name], values, rtol=1e-5, atol=1e-5)
    for number, episode in enumerate(episodes):
        real = slice(len(episode.query))
        np.testing.assert_allclose(
            jax.nn.log_softmax(found.logits[number, real]),
            jax.nn.log_softmax(expected.logits[number, real]),
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.fixture(scope="module")
def expected(run):
    return evaluator(run, InOneStage)(run.initial_params())


def test_sizes_that_differ_give_equal_scores_in_few_shapes(run, expected, monkeypatch):
    monkeypatch.setattr(_staged_scorer, "QUERY_TOKENS", 32)
    monkeypatch.setattr(_staged_scorer, "ADAPTED_PER_COMPILATION", 1)
    monkeypatch.setattr(_staged_scorer, "PREDICTED_PER_COMPILATION", 1)
    staged = evaluator(run, LogitScorer)
    scorer = staged._scorer
    assert isinstance(scorer, StagedScorer)
    chunks = scorer.chunks(staged.episodes, 4)
    assert max(len(chunk.shape.shapes) for chunk in chunks) > 1  # Batches of queries.
    compiled = {name: set() for name in scorer._stages._fields}

    def recording(name, stage):
        def call(*args):
            compiled[name].add(tuple(leaf.shape for leaf in jax.tree.leaves(args)))
            return stage(*args)

        return call

    recorded = [recording(*item) for item in scorer._stages._asdict().items()]
    monkeypatch.setattr(scorer, "_stages", type(scorer._stages)(*recorded))
    check_equal(staged(run.initial_params()), expected, staged.episodes)
    sizes = {len(episode.support) for episode in staged.episodes}
    assert 1 < len(compiled["adapt"]) <= MOST_SHAPES < len(sizes)
    assert len(compiled["predict"]) <= MOST_SHAPES**2
    assert len(compiled["score"]) == 1


def test_several_tasks_at_once_give_equal_scores(run, expected, monkeypatch):
    staged = evaluator(run, LogitScorer)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: "gpu")
        chunks = staged._scorer.chunks(staged.episodes, 4)
        assert {len(chunk.episodes) for chunk in chunks} == {4}
        found = staged(run.initial_params())
    check_equal(found, expected, staged.episodes)


def test_less_is_padded_than_where_all_are_padded_to_the_largest(run, monkeypatch):
    monkeypatch.setattr(_staged_scorer, "ADAPTED_PER_COMPILATION", 1)
    staged = evaluator(run, LogitScorer)
    chunks = staged._scorer.chunks(staged.episodes, 4)
    padded = sum(chunk.shape.support.num_tokens for chunk in chunks)
    lengths = staged.source.texts.tokenized.lengths
    needed = [int(lengths[episode.support].sum()) for episode in staged.episodes]
    assert sum(needed) <= padded < 0.7 * NUM * max(needed)
