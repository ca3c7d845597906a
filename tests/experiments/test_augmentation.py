"""Tests of the comparison of meta-training with and without variants, in miniature."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax.workflows import RunDirectory
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


def clinc150(folder):
    folder.mkdir()
    worlds.write_jsonl(folder / "examples.jsonl", worlds.records(longest=5))
    split = {"train": worlds.TOPICS[:4], "valid": worlds.TOPICS[4:7],
             "test": worlds.TOPICS[7:]}  # fmt: skip
    (folder / "folds.json").write_text(json.dumps({"01": split}))
    return folder


def miniature(script, folder, bert):
    """The experiment's own config, with a tiny network, one step and few episodes."""
    loaded = config_lib.load_file(scripts.EXPERIMENTS / "augmentation" / "config.py")
    config = dataclasses.replace(
        loaded,
        model=dataclasses.replace(loaded.model, name=str(bert)),
        data=dataclasses.replace(
            loaded.data, split_file=str(folder / "folds.json"), max_length=24
        ),
        episodes=dataclasses.replace(loaded.episodes, way=3, queries=2, train_way=4),
        training=dataclasses.replace(
            loaded.training, steps=1, eval_every=1, valid_episodes=2
        ),
        evaluation=dataclasses.replace(
            loaded.evaluation, test_episodes=3, batch_episodes=3
        ),
    )
    pretraining = dataclasses.replace(
        script.settings.pretraining,
        network=config_lib.NetworkConfig(model=str(bert)),
        text=config_lib.RawTextConfig(length=24),
        training=config_lib.LoopConfig(
            steps=1, eval_every=1, rows_per_step=2, valid_rows=2
        ),
    )
    return config, pretraining


@pytest.mark.slow  # Half a minute.
def test_both_sides_are_compared_in_miniature(tmp_path):
    script = scripts.load("augmentation")
    folder, runs = clinc150(tmp_path / "clinc150"), tmp_path / "runs"
    bert = worlds.save_bert(tmp_path / "bert")
    settings = miniature(script, folder, bert)
    with worlds.apart(tmp_path):
        table = script.compared(
            *settings, folder, (10,), (0, 1), runs, Console(file=io.StringIO())
        )
    lines = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert [line[0].strip() for line in lines] == [
        "frozen",
        *script.SIDES,
        "difference",
    ]
    assert all("±" in cell for line in lines for cell in line[1:])

    # Meta-training uses ten texts per class, different ones by seed, and no others.
    texts = {r["text"] for r in worlds.read_jsonl(runs / "texts.jsonl")}
    few = [worlds.read_jsonl(runs / f"data-10-{seed}" / "few.jsonl") for seed in (0, 1)]
    assert [len(rows) for rows in few] == [4 * 10] * 2
    assert few[0] != few[1]
    assert {row["text"] for rows in few for row in rows} <= texts
    for row in worlds.read_jsonl(runs / "data-10-0" / "data.jsonl"):
        is_train = row["label"] in worlds.TOPICS[:4]
        assert bool(row["variants"]) == is_train == (row["text"] in texts)

    # Both sides of both seeds were tested on the same episodes, with a column each.
    folders = {name: script.run_of(runs, name, 10, 0) for name in script.SIDES}
    found = [RunDirectory(path).config().data.variants for path in folders.values()]
    assert found == list(script.SIDES.values())
    for shot in script.SHOTS:
        files = [
            script.run_of(runs, name, 10, seed) / f"shot{shot}.json"
            for name in script.SIDES
            for seed in (0, 1)
        ]
        asked = {json.loads(file.read_text())["protocol"] for file in files}
        assert len(asked) == 1
        assert script.accuracies(runs, "with variants", 10, (0, 1), shot).shape == (
            2,
            3,
        )


def test_the_same_number_of_rows_of_each_label_is_drawn():
    script = scripts.load("augmentation")
    rows = [{"text": str(n), "label": "ab"[n % 2]} for n in range(20)]
    drawn = script.some_of_each(rows, 3, np.random.default_rng(0))
    assert sorted(row["label"] for row in drawn) == ["a"] * 3 + ["b"] * 3
    assert [row["text"] for row in script.first_of_each(rows, 1)] == ["0", "1"]
