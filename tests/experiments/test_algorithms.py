"""Tests that the comparison of all named algorithms runs in miniature."""

import json

import numpy as np
import pytest

from metaflax.algorithms._table import ALGORITHMS
from tests.algorithms import text_free
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


@pytest.fixture(scope="module")
def script():
    return scripts.load("algorithms")


def test_every_named_algorithm_has_a_row(script):
    names = {name.split(",")[0] for name in script.points.POINTS}
    # An output layer of classes means another thing in each task.
    conditioned = {name for name, spec in ALGORITHMS.items() if spec.in_context}
    assert names | {"joint"} == set(text_free.ROWS) - conditioned


def test_targets_are_numbered_among_all_classes_for_a_joint_classifier(script):
    texts = tuple(f"{n} {c}" for c in "abcdefgh" for n in range(8))
    examples = script.data.Examples("letters", texts, tuple((t[-1],) for t in texts))
    episode = script.data.EpisodeSampler(examples, 5, 2, 3).episode(0, 0)
    numbered = script.numbered_globally(episode)
    names = [examples.label_names[i] for i in numbered.support_targets]
    assert names == [examples.labels[i][0] for i in episode.support]


@pytest.mark.slow
def test_three_methods_train_and_are_compared_on_the_same_episodes(
    script, tmp_path, monkeypatch
):
    topics = [f"intent{i:02}" for i in range(24)]
    folder = tmp_path / "clinc150"
    folder.mkdir()
    worlds.write_jsonl(folder / "examples.jsonl", worlds.records(topics, count=11))
    fold = {"train": topics[:12], "valid": topics[12:18], "test": topics[18:]}
    (folder / "folds.json").write_text(json.dumps({"01": fold}))
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert", num_layers=6)
        monkeypatch.setattr(script.data, "fetch_minilm", lambda: bert)
        world = script.load_world(tmp_path, bert)
        settings = script.Settings(flops=1e6, tasks_per_step=1, test_episodes=10)
        records = [
            script.run_point(name, world, settings)
            for name in ("frozen", "protonet", "multi_task")
        ]
        runs = tmp_path / "runs"
        again = script.run_fold("01", ["frozen"], tmp_path, settings, runs)
        kept = script.run_fold("01", ["frozen"], None, settings, runs)
        with pytest.raises(ValueError, match="has other settings"):
            script.run_fold("01", ["frozen"], None, script.Settings(), runs)
    assert len({record["shot1"]["protocol"] for record in records}) == 1
    for record in records[1:]:
        spent = record["training"]
        cost = spent["flops_per_step"]
        assert spent["steps"] * cost <= max(settings.flops, cost)
    assert np.all(np.isfinite(records[1]["training"]["losses"]))
    assert again == kept
    assert again[0]["shot1"]["accuracy"] == records[0]["shot1"]["accuracy"]
    whole = script.pooled([records[1], records[1]])
    assert whole["shot5"]["accuracy"] == 2 * records[1]["shot5"]["accuracy"]
    assert whole["training"]["steps"] == records[1]["training"]["steps"]
    rows = script.table(records).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| frozen",
        "| protonet",
        "| multi_task",
    ]
