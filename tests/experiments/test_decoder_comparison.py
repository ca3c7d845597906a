"""Tests of the comparison of a pretrained decoder with baselines, in miniature."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from experiments import common
from experiments.common import _decoder_methods, _decoder_tables
from experiments.common._decoder_samples import good_and_bad
from metaflax import config as config_lib
from metaflax import workflows
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks

DOMAINS = tuple(f"d{number}" for number in range(6))
METHODS = {*_decoder_methods.BASELINES, "fomaml", "metaicl"}
FACTORS = ("encoder/layer_0/*/lora",)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a comparison, and its results."""
    runs = tmp_path_factory.mktemp("comparison")
    rng = np.random.default_rng(0)
    rows = [
        {"text": " ".join(rng.choice(worlds.FILLER, 2)), "target": d, "domain": d}
        for d in DOMAINS
        for _ in range(10)
    ]
    worlds.write_jsonl(runs / "pairs.jsonl", rows)
    texts = [*(f"{row['text']} {row['target']}" for row in rows), "Text: Summary: \n"]
    model = workflows.new_language_model(
        runs / "model",
        texts,
        family="llama",
        vocab_size=300,
        width=8,
        heads=2,
        layers=1,
        positions=160,
        dropout=0.0,
    )
    config = common.decoder_config(
        runs / "pairs.jsonl",
        "summarization",
        common.rest_for_training(runs / "pairs.jsonl", DOMAINS[2:4], DOMAINS[4:]),
        max_length=24,
        max_target_length=4,
        template="summarization",
        steps=1,
        evaluation=config_lib.EvaluationConfig(test_episodes=4, batch_episodes=1),
    )
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, name=str(model), lora_rank=2),
        algorithm=dataclasses.replace(config.algorithm, adapts=FACTORS, num_steps=1),
        training=dataclasses.replace(
            config.training, trains=("encoder/layer_0",), valid_episodes=2
        ),
    )
    settings = {"generated": 2, "rates": (1e-3,), "valid_episodes": 2}
    with worlds.apart(runs):
        silent = Console(file=io.StringIO())
        results = common.compare_decoders(config, runs, silent, **settings)
    return runs, results


def test_every_method_is_scored_on_all_episodes_and_generates_in_the_first(compared):
    _, results = compared
    assert set(results["means"]) == {*_decoder_methods.BASELINES, results["meta"]}
    assert set(results["differences"]) == set(_decoder_methods.BASELINES)
    assert results["episodes"] == 4
    assert len(results["samples"]) == 4  # Two queries of two episodes.
    for record in results["samples"]:
        assert record["domain"] == record["target"]  # As the data have it.
        assert set(record["generated"]) == set(results["means"])


def test_differences_are_those_of_the_means(compared):
    _, results = compared
    ours = results["means"][results["meta"]]
    for method, difference in results["differences"].items():
        for name, interval in difference.items():
            expected = ours[name]["mean"] - results["means"][method][name]["mean"]
            np.testing.assert_allclose(interval["mean"], expected, atol=1e-5)


def test_the_better_of_both_on_validation_goes_to_meta_test(compared):
    _, results = compared
    assert set(results["validation"]) == METHODS
    best = {name: max(results["validation"][name].values()) for name in METHODS}
    other = {"fomaml": "metaicl", "metaicl": "fomaml"}[results["meta"]]
    assert best[results["meta"]] >= best[other]


def test_fine_tuning_changes_the_likelihood_and_zero_shot_reads_no_support(compared):
    _, results = compared
    means = {m: v["log_likelihood"]["mean"] for m, v in results["means"].items()}
    assert len({round(value, 6) for value in means.values()}) == len(means)


def test_a_page_gets_its_table_between_the_marks(compared):
    _, results = compared
    page = _decoder_tables.published("# Row\n\nText.\n", results)
    assert page.startswith("# Row")
    assert "| zero-shot |" in page
    again = _decoder_tables.published(page + "After.\n", results)
    assert again == page + "After.\n"


def test_samples_are_the_best_and_the_worst(compared):
    _, results = compared
    records = [
        {"domain": "a", "text": "b", "target": "abc", "generated": {"m": text}}
        for text in ("abc", "xyz", "abd", "abc.")
    ]
    good, bad = good_and_bad(records, "m", 2)
    assert [r["generated"]["m"] for r in (*good, *bad)] == ["abc", "xyz"]
    page = _decoder_tables.samples_page("row", results["samples"], results["meta"])
    assert page.count("reference:") == 4
