"""Tests that published episodes are scored like sampled ones."""

import dataclasses

import chex
import pytest

from metaflax import config as config_lib
from metaflax import data
from metaflax.workflows import RunDirectory
from metaflax.workflows.runs import _run, _trained

common = pytest.importorskip("experiments.common")


def test_given_episodes_are_scored_as_those_of_a_run(trained):
    run = _run.load_run(RunDirectory(trained).config())
    drawn = data.fixed_list(run.test.sampler, 3, 5)
    given = data.FixedEpisodes(run.splits.test, drawn)
    best = _trained.load_trained(trained).params
    expected = run.evaluator(run.test, 3, 5)(best).metrics
    found = common.score_episodes(trained, given).metrics
    chex.assert_trees_all_close(found, expected, rtol=1e-5)

    frozen = config_lib.AlgorithmConfig("frozen", head="logistic_regression")
    config = dataclasses.replace(run.config, algorithm=frozen)
    other = _run.load_run(config)
    expected = other.evaluator(other.test, 3, 5)(other.initial_params()).metrics
    setting = common.Setting(config.model, frozen)
    elsewhere = dataclasses.replace(config.data, path="nowhere.jsonl")
    found = common.score_pretrained(
        dataclasses.replace(config, data=elsewhere), given
    ).metrics
    chex.assert_trees_all_close(found, expected, rtol=1e-5)
    again = common.score_episodes(trained, given, setting).metrics
    chex.assert_trees_all_close(again, expected, rtol=1e-5)
