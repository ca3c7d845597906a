"""Tests that scores in few shapes equal those in one shape."""

import jax
import numpy as np
import pytest

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.workflows.runs import _run, _shape_groups
from tests.workflows import worlds

DOMAINS = worlds.TOPICS[:3]
NUM, MOST_SHAPES = 6, 2


def filler(number, step=2):
    """Filler of increasing length, which starts again from few words."""
    return [worlds.FILLER[n % 8] for n in range(1 + step * (number % 7))]


def sentence(number):
    kind = ("person", "place")[number % 2]
    words = filler(number, step=5)
    tokens = [*words, worlds.TOPICS[4 + number % 2]]
    return {"tokens": tokens, "label": [*["O"] * len(words), f"B-{kind}"]}


def question(number):
    choices = [f"{word} {number}" for word in ("yes", "no", "perhaps")][
        : 2 + number % 2
    ]
    text = " ".join(filler(number))
    return {"text": text, "choices": choices, "label": number % len(choices)}


def turn(number):
    text = " ".join([*filler(number), str(number)])
    return {"text": [text], "target": " ".join([*filler(3 * number, 1), str(number)])}


TASKS = {
    "entities": (
        sentence,
        config_lib.AlgorithmConfig(
            "fine_tuning", head="prototypes", inner_learning_rate=0.1
        ),
    ),
    "multiple_choice": (question, config_lib.AlgorithmConfig("in_context")),
    "dialogue": (turn, config_lib.AlgorithmConfig("fomaml", inner_learning_rate=0.1)),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """An encoder and a generative model."""
    folder = tmp_path_factory.mktemp("models")
    words = [*worlds.FILLER, "yes no perhaps 0 1 2", "Question Answer: \n"]
    decoder = workflows.new_language_model(
        folder / "gpt",
        words,
        family="gpt2",
        vocab_size=320,
        width=8,
        heads=2,
        layers=1,
        positions=512,
        dropout=0.0,
    )
    return {"encoder": worlds.save_bert(folder / "bert"), "decoder": decoder}


def evaluator(task, models, folder):
    row, algorithm = TASKS[task]
    rows = [
        {**row(number), "domain": domain} for domain in DOMAINS for number in range(14)
    ]
    generative = task != "entities"
    model = str(models["decoder" if generative else "encoder"])
    template = {"template": task} if task == "multiple_choice" else {}
    config = config_lib.Config(
        model=config_lib.ModelConfig(model, pooling=None if generative else "tokens"),
        data=config_lib.DataConfig(
            path=str(worlds.write_jsonl(folder / "rows.jsonl", rows)),
            task=task,
            domain="domain",
            split_by="domain",
            split_names=dict(
                zip(("train", "valid", "test"), ([d] for d in DOMAINS), strict=True)
            ),
            max_length=64 if generative else worlds.POSITIONS,
            max_target_length=48,
            **template,
        ),
        episodes=config_lib.EpisodeConfig(way=2, shot=2, queries=2),
        algorithm=algorithm,
        evaluation=config_lib.EvaluationConfig(test_episodes=NUM, batch_episodes=3),
    )
    run = _run.load_run(config)
    return run.test_evaluator(), run.initial_params()


@pytest.mark.parametrize("task", list(TASKS))
def test_few_shapes_give_the_scores_of_one(task, models, tmp_path, monkeypatch):
    score_all, params = evaluator(task, models, tmp_path)
    monkeypatch.setattr(_shape_groups, "TOKENS_PER_COMPILATION", 1)
    compiled, score = set(), score_all._scorer.score

    def recorded(params, batch):
        compiled.add(tuple(leaf.shape for leaf in jax.tree.leaves(batch)))
        return score(params, batch)

    monkeypatch.setattr(score_all._scorer, "score", recorded)
    scores = []
    for most in (1, MOST_SHAPES):
        compiled.clear()
        monkeypatch.setattr(_shape_groups, "MOST_SHAPES", most)
        scores.append(score_all(params))
        assert len(compiled) == most
    one, few = scores
    for name, values in one.metrics.items():
        np.testing.assert_allclose(few.metrics[name], values, rtol=1e-5, atol=1e-5)
    if one.logits is not None:
        np.testing.assert_allclose(few.logits, one.logits, rtol=1e-4, atol=1e-4)
    if task == "entities":
        assert few.answers == one.answers
    if task == "dialogue":
        assert [[row["generated"] for row in rows] for rows in few.answers] == [
            [row["generated"] for row in rows] for rows in one.answers
        ]
