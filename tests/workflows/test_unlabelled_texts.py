"""Tests of heads that learn from texts without labels, through the workflows."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import metaflax
from metaflax import base, cli, evaluation, heads, losses, metrics, models, workflows
from metaflax import config as config_lib
from metaflax.config._factories import build_head
from metaflax.workflows.inference._pretrained_config import without_run
from tests.workflows import worlds

RECORDS = worlds.records(worlds.TOPICS[:3], count=2)
POOL = [row["text"] for row in worlds.records(worlds.TOPICS[:3], count=5, seed=1)]
every = pytest.mark.parametrize("head", ["soft_k_means", "label_propagation"])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled")
    with worlds.apart(folder):
        bert = worlds.save_bert(folder / "bert")
        pool = folder / "pool.txt"
        pool.write_text("\n".join(POOL) + "\n", "utf-8")
        yield bert, worlds.write_jsonl(folder / "support.jsonl", RECORDS), pool


def episode():
    """Two classes around 0 and 4, with one support unit each and queries in between."""
    support = base.Batch(jnp.array([[0.0], [4.0]]), jnp.array([0, 1]), jnp.ones(2))
    queries = jnp.array([[1.0], [1.5], [2.5], [100.0]])
    weights = jnp.array([1.0, 1, 1, 0])  # The last is padding.
    query = base.Batch(queries, jnp.array([0, 0, 1, 0]), weights)
    return jax.tree.map(lambda leaf: leaf[None], base.Task(support, query))


def scored(task, transductive):
    head = heads.soft_k_means(2)
    algorithm = metaflax.frozen(
        lambda params, x, key: x,
        losses.softmax_cross_entropy,
        lambda key: jnp.zeros(()),
        head=head,
    )
    score = evaluation.scorer(
        algorithm,
        losses.softmax_cross_entropy,
        {"accuracy": metrics.accuracy},
        transductive=transductive,
    )
    logits = score(algorithm.init(jax.random.key(0)), task)[1]
    support, query = jax.tree.map(lambda leaf: leaf[0], task)
    fit = base.Batch(
        jnp.concatenate([support.inputs, query.inputs[:3]]),
        jnp.concatenate([support.targets, jnp.full(3, -1)]),
        jnp.ones(5),
    )
    fitted = fit if transductive else support
    state = head.fit(head.init(jax.random.key(0)), *fitted)
    return logits[0], head.apply(state, query.inputs).logits


@pytest.mark.parametrize("transductive", [False, True])
def test_a_scorer_adapts_to_the_queries_only_where_it_is_transductive(transductive):
    logits, expected = scored(episode(), transductive)
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_predictions_follow_a_permutation_of_the_queries():
    task = episode()
    order = jnp.array([2, 0, 3, 1])
    query = jax.tree.map(lambda leaf: leaf[:, order], task.query)
    permuted = scored(task._replace(query=query), True)[0]
    np.testing.assert_allclose(permuted, scored(task, True)[0][order], rtol=1e-5)


def test_evaluation_is_transductive_with_such_a_head_and_says_so(tmp_path, world):
    bert, _, _ = world
    rows = worlds.write_jsonl(tmp_path / "topics.jsonl", worlds.records(count=8))
    reports = {}
    for head in ("prototypes", "soft_k_means"):
        config = config_lib.Config(
            data=config_lib.DataConfig(path=str(rows), max_length=32),
            model=config_lib.ModelConfig(name=str(bert)),
            algorithm=config_lib.AlgorithmConfig("protonet", head=head),
            episodes=config_lib.EpisodeConfig(way=2, shot=1, queries=3),
            training=config_lib.TrainingConfig(
                steps=1, tasks_per_step=1, eval_every=1, valid_episodes=2
            ),
            evaluation=config_lib.EvaluationConfig(test_episodes=4),
        )
        workflows.train(config, tmp_path / head)
        reports[head] = workflows.evaluate(tmp_path / head)
        results = json.loads((tmp_path / head / "results.json").read_text())
        assert results["used"] == reports[head]["used"]
    settings = {head: report["used"]["setting"] for head, report in reports.items()}
    assert settings == {"prototypes": "inductive", "soft_k_means": "transductive"}
    losses_ = [
        r["intervals"]["before"]["loss"]["mean"] for r in reports.values()
    ]  # Of the same episodes and encoder.
    assert abs(losses_[0] - losses_[1]) > 1e-6


@every
def test_adapt_learns_from_texts_without_labels_and_says_so(head, tmp_path, world):
    bert, support, pool = world
    config = without_run(str(bert), "frozen", head=head)
    out = tmp_path / head
    workflows.adapt(support, out, config=config, unlabelled_texts=pool)
    used = models.load(out).purpose["used"]
    assert used == {
        "setting": "semi-supervised",
        "texts_without_labels": len(POOL),
        "label_names": False,
    }
    card = (out / "README.md").read_text("utf-8")
    assert "and 15 texts without labels (semi-supervised; transductive" in card
    classifier = metaflax.FewShotClassifier(bert, head=head)
    texts, labels = ([row[name] for row in RECORDS] for name in ("text", "label"))
    classifier.fit(texts, labels, unlabelled=POOL)
    records = metaflax.load(out)(POOL)
    expected = [[r["probabilities"][c] for c in classifier.classes_] for r in records]
    np.testing.assert_allclose(classifier.predict_proba(POOL), expected, atol=1e-4)
    means = metaflax.FewShotClassifier(bert).fit(texts, labels).predict_proba(POOL)
    assert np.max(np.abs(means - expected)) > 1e-3
    classifier.save(tmp_path / "saved")
    again = metaflax.FewShotClassifier.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict_proba(POOL), expected, atol=1e-4)
    assert again.unlabelled_texts_ == POOL
    assert models.load(tmp_path / "saved").purpose["used"] == used


def test_texts_without_labels_are_in_the_columns_of_the_support_set(
    tmp_path, world, capsys
):
    bert, _, _ = world
    support, pool = tmp_path / "support.csv", tmp_path / "pool.csv"
    rows = [f"{row['text']} caf\xe9,{row['label']}" for row in RECORDS]
    support.write_text("\n".join(["body,label", *rows]), "latin-1")
    pool.write_text(
        "\n".join(["body", *(f"{text} caf\xe9" for text in POOL)]), "latin-1"
    )
    out = tmp_path / "out"
    args = ("adapt", "--support", support, "--model", bert, "--head", "soft_k_means")
    args = (*args, "--unlabelled-texts", pool, "--encoding", "latin-1", "--out", out)
    worlds.run(*args, "--text", "body")
    assert models.load(out).purpose["used"]["texts_without_labels"] == len(POOL)
    pool.write_text("\n".join(["text", *POOL]))
    other = [str(arg) for arg in (*args[:-1], tmp_path / "other", "--text", "body")]
    assert cli.main(other) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "no column 'body'; the columns are 'text'" in message
    assert "with --text." in message


def test_an_adapted_model_of_labelled_texts_alone_is_inductive(tmp_path, world):
    bert, support, _ = world
    workflows.adapt(support, tmp_path / "out", config=without_run(str(bert)))
    used = models.load(tmp_path / "out").purpose["used"]
    assert used == {
        "setting": "inductive",
        "texts_without_labels": 0,
        "label_names": False,
    }


@pytest.mark.parametrize(
    ("head", "given", "message"),
    [
        ("prototypes", True, "'prototypes' does not learn from texts without labels"),
        ("soft_k_means", False, "'soft_k_means' learns from texts without labels"),
    ],
)
def test_texts_and_heads_that_do_not_fit_are_refused(
    head, given, message, tmp_path, world
):
    bert, support, pool = world
    config = without_run(str(bert), "frozen", head=head)
    texts = pool if given else None
    with pytest.raises(ValueError, match=message):
        workflows.adapt(support, tmp_path / "o", config=config, unlabelled_texts=texts)
    classifier = metaflax.FewShotClassifier(bert, head=head)
    with pytest.raises(ValueError, match=message):
        classifier.fit(["a", "b"], ["x", "y"], POOL if given else None)


@pytest.mark.parametrize(
    ("algorithm", "task", "message"),
    [
        ("fomaml", "classification", "fomaml adapts by inner steps"),
        ("frozen", "entities", "takes a text of no class as one without a label"),
    ],
)
def test_where_all_texts_need_labels_such_heads_are_refused(algorithm, task, message):
    config = config_lib.Config(
        data=config_lib.DataConfig(path="a.jsonl", task=task),
        algorithm=config_lib.AlgorithmConfig(algorithm, head="soft_k_means"),
    )
    with pytest.raises(ValueError, match=message):
        build_head(config.algorithm, 4, config_lib.build_task(config), 3)


def test_long_texts_without_labels_are_refused_or_counted(world, tmp_path, capsys):
    bert, support, _ = world
    pool = tmp_path / "long.txt"
    pool.write_text(" ".join(POOL) + "\n" + POOL[0] + "\n", "utf-8")
    settings = {"head": "soft_k_means", "max_length": 16}
    strict = without_run(str(bert), on_long="error", **settings)
    with pytest.raises(ValueError, match="tokens and the limit is 16"):
        workflows.adapt(support, tmp_path / "out", config=strict, unlabelled_texts=pool)
    console = Console(width=200)
    workflows.adapt(
        support,
        tmp_path / "out",
        console,
        config=without_run(str(bert), **settings),
        unlabelled_texts=pool,
    )
    assert "1 truncated to 16 tokens" in capsys.readouterr().out
