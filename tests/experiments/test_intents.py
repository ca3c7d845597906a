"""Tests of meta-training on intents, with unlabelled texts too, in miniature."""

import dataclasses
import io
import json
import shutil

import pytest
from rich.console import Console

from metaflax.config import EpisodeConfig
from metaflax.workflows import RunDirectory
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


@pytest.fixture
def folder(tmp_path):
    """A data set in the format of CLINC150."""
    folder = tmp_path / "letters"
    folder.mkdir()
    worlds.write_jsonl(folder / "examples.jsonl", worlds.records(longest=5, count=9))
    (folder / "folds.json").write_text(json.dumps({"a": worlds.SPLIT}))
    return folder


@pytest.mark.slow
def test_any_folder_in_the_format_runs_by_its_path_alone(folder, tmp_path, monkeypatch):
    script = scripts.load("intents")
    config = script.config_of(folder)
    assert config.data.path == str(folder / "examples.jsonl")
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        config = dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, name=str(bert)),
            training=dataclasses.replace(
                config.training, steps=1, eval_every=1, valid_episodes=2
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )
        runs, console = tmp_path / "runs", Console(file=io.StringIO())
        monkeypatch.setattr(script.recipe, "STEPS_WITH_CLUSTERS", 1)
        config = dataclasses.replace(
            config, data=dataclasses.replace(config.data, fold="a")
        )
        fitted = script.recipe.fit(config)
        script.run_fold(runs, "a", fitted, console)
        # What is finished is not scored again.
        monkeypatch.setattr(script.workflows, "evaluate", None)
        monkeypatch.setattr(script.workflows, "train", None)
        script.run_fold(runs, "a", fitted, console)
        examples = (folder / "examples.jsonl").read_text()
        (folder / "examples.jsonl").write_text(examples.replace("filler", "topic", 1))
        with pytest.raises(ValueError, match="was trained on other data"):
            script.run_fold(runs, "a", fitted, console)
        (folder / "examples.jsonl").write_text(examples)
        table, with_queries = (
            make(runs, ["a"]) for make in (script.summary, script.with_queries)
        )
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["a", "all", "a", "all"]
    assert all("±" in cell for row in rows for cell in row[2:])

    # Each column has the scores of the run of its name, on the same episodes.
    folders = [runs / "a" / name for name in (script.LABELLED, script.UNLABELLED)]
    alone, both = (RunDirectory(path).config().data for path in folders)
    assert (alone.more_train, both.more_train) == (
        None,
        str(runs / "a" / "clusters.jsonl"),
    )
    scores = script.accuracies(runs / "a", 5)
    for column, path, when in (
        (0, folders[0], "before"),
        (0, folders[1], "before"),
        (1, folders[0], "after"),
        (2, folders[1], "after"),
    ):
        lines = worlds.read_jsonl(path / "shot5.episodes.jsonl")
        assert scores[column].tolist() == [line[when]["accuracy"] for line in lines]

    # With queries each model has a score of every episode, and the frozen encoder the
    # same score in either run.
    records = [
        [json.loads((p / f"shot{n}.transductive.json").read_text()) for p in folders]
        for n in script.SHOTS
    ]
    assert all(r["before"] == both["before"] for r, both in records)
    after = [[r["before"], r["after"], both["after"]] for r, both in records]
    assert [
        script.transductive_accuracies(runs / "a", n).tolist() for n in script.SHOTS
    ] == after
    assert all(len(row) == 3 for each in after for row in each)
    assert with_queries.count("±") == 12

    # Clusters hold the texts of all other classes, and of no class of training.
    made = worlds.read_jsonl(runs / "a" / "clusters.jsonl")
    known = worlds.read_jsonl(folder / "examples.jsonl")
    others = [r["text"] for r in known if r["label"] not in worlds.SPLIT["train"]]
    assert sorted(row["text"] for row in made) == sorted(others)
    assert len({row["label"] for row in made}) == 6  # As many texts as a class has.


def test_queries_without_labels_refine_class_means(folder, tmp_path):
    script = scripts.load("intents")
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        config = script.config_of(folder, str(bert))
        assert config.model.name == str(bert)
        config = dataclasses.replace(
            config,
            data=dataclasses.replace(config.data, fold="a"),
            episodes=EpisodeConfig(way=2, shot=1, queries=4, train_way=2),
            training=dataclasses.replace(
                config.training,
                **{"steps": 1, "eval_every": 1, "valid_episodes": 2},
                interpolate=(1.0,),
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=4, batch_episodes=4
            ),
        )
        run_dir, out = tmp_path / "run", tmp_path / "run" / "with_queries.json"
        script.workflows.train(config, run_dir)
        script.transductive.write(config, run_dir, out)
        found = json.loads(out.read_text())
        assert [len(found[when]) for when in ("before", "after")] == [4, 4]

        # A score that is there is not computed again.
        out.write_text("{}")
        script.transductive.write(config, run_dir, out)
        assert out.read_text() == "{}"


COMMANDS = {"run": "intents", "named": "named", "frozen": "frozen"}


@pytest.mark.parametrize(("file", "name"), COMMANDS.items())
def test_a_folder_that_is_not_there_is_one_sentence(
    file, name, tmp_path, monkeypatch, capsys
):
    script = scripts.load("intents", file)
    monkeypatch.setattr("sys.argv", [file, "--data", str(tmp_path / "nowhere")])
    assert script.main() == 2
    capsys.readouterr()
    (tmp_path / "file").touch()
    monkeypatch.setattr("sys.argv", [file, "--data", str(tmp_path / "file")])
    assert script.main() == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.startswith(f"{name}: there is no ")
    assert "--data" in printed


@pytest.mark.parametrize("file", COMMANDS)
def test_an_unknown_fold_is_named_before_anything_is_trained(
    file, folder, monkeypatch, capsys
):
    script = scripts.load("intents", file)
    options = ["--data", str(folder), "--folds", "a", "b"]
    monkeypatch.setattr("sys.argv", [file, *options])
    assert script.main() == 2
    assert "there is no fold b, of a." in capsys.readouterr().err


def test_a_frozen_encoder_is_scored_on_the_same_episodes(
    folder, tmp_path, monkeypatch, capsys
):
    script = scripts.load("intents", "frozen")
    config_of = script.intents.config_of

    def small(folder, model):
        config = config_of(folder, model)
        return dataclasses.replace(
            config,
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )

    monkeypatch.setattr(script.intents, "config_of", small)
    out = tmp_path / "out"
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        options = ["--model", str(bert), "--data", str(folder), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["frozen.py", *options])
        assert script.main() == 0
        first = capsys.readouterr().out
        assert script.main() == 0  # Nothing is computed again.
        assert capsys.readouterr().out == first
        # Scores of other data or another model are not taken for these.
        other = tmp_path / "other"
        shutil.copytree(folder, other)
        rows = worlds.records(longest=5, count=9, seed=1)
        worlds.write_jsonl(other / "examples.jsonl", rows)
        model = str(worlds.save_bert(tmp_path / "more" / "bert", seed=1))
        for changed, what in (
            ({"data": str(other)}, "data"),
            ({"model": model}, "model"),
        ):
            given = {"model": str(bert), "data": str(folder), "out": str(out)} | changed
            monkeypatch.setattr("sys.argv", ["frozen.py", *worlds.arguments(given)])
            assert script.main() == 2
            assert f"was computed from other {what};" in capsys.readouterr().err
    sizes, *rows = first.splitlines()
    assert sizes.startswith("Test episodes: 3-way, 4 queries a class (published: 5")
    assert [row.split("|")[1].strip() for row in rows] == ["a", "a", "all", "all"]
    for shot in script.intents.SHOTS:
        scores = json.loads((out / f"a.shot{shot}.json").read_text())
        assert len(scores["accuracy"]) == 3
        assert scores["seconds"] > 0


def test_names_of_intents_are_support_examples_on_the_same_episodes(folder, tmp_path):
    script = scripts.load("intents", "named")
    runs, console = tmp_path / "runs", Console(file=io.StringIO())
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        config = script.intents.config_of(folder, str(bert))
        config = dataclasses.replace(
            config,
            training=dataclasses.replace(
                config.training, steps=1, eval_every=1, valid_episodes=2
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )
        config = dataclasses.replace(
            config, data=dataclasses.replace(config.data, fold="a")
        )
        script.train_and_test(script.recipe.fit(config), runs, "a", console)
    assert RunDirectory(runs / "a" / script.NAMED).config().data.label_names
    rows = [row.split("|") for row in script.summary(runs, ["a"]).splitlines()[2:]]
    assert [row[1].strip() for row in rows] == ["a", "all", "a", "all"]
    assert [row[6].strip() for row in rows] == [""] * 4  # Nothing to compare with.
    (runs / "a" / script.intents.LABELLED).symlink_to(runs / "a" / script.NAMED)
    rows = [row.split("|") for row in script.summary(runs, ["a"]).splitlines()[2:]]
    assert all(row[6].strip() == "+0.00 ± 0.00" for row in rows)


MOST = EpisodeConfig(way=5, shot=1, queries=5, train_way=40, train_queries=2)


def test_the_sizes_of_clinc150_are_those_of_its_config():
    recipe = scripts.load("intents", "recipe")
    counts = [150] * 50
    assert recipe.episode_sizes(MOST, counts, {"valid": counts, "test": counts}) == MOST
    assert recipe.num_clusters(counts, 15_000) == 100


@pytest.mark.parametrize("train", [[6] * 2, [2, 9], [170] * 18, [9] * 39, [30] * 400])
@pytest.mark.parametrize("held_out", [[6, 300], [11] * 4, [20] * 30])
def test_episodes_of_every_number_of_classes_can_be_drawn(train, held_out):
    recipe = scripts.load("intents", "recipe")
    sizes = recipe.episode_sizes(MOST, train, {"valid": held_out, "test": [9] * 6})
    for most, counts, shot in (
        (sizes.training(), train, 1),
        (sizes, held_out, recipe.MOST_SHOTS),
    ):
        assert 2 <= most.way <= len(counts)
        assert 1 <= most.queries <= min(counts) - shot
    assert sizes.train_way <= MOST.train_way
    assert sizes.way <= MOST.way
    # Narrower than there are classes, so that episodes differ.
    assert sizes.train_way < len(train) or len(train) == 2


def test_a_class_with_too_few_texts_to_test_is_named_before_training():
    recipe = scripts.load("intents", "recipe")
    with pytest.raises(ValueError, match=r"a class of test has 5 different texts"):
        recipe.episode_sizes(MOST, [9] * 9, {"valid": [9] * 9, "test": [9, 5]})
    with pytest.raises(ValueError, match=r"a class of train has 1 different text,"):
        recipe.episode_sizes(MOST, [9, 1], {"valid": [9] * 9, "test": [9] * 9})


def test_a_split_of_one_class_is_named_before_training():
    recipe = scripts.load("intents", "recipe")
    with pytest.raises(ValueError, match=r"valid has 1 class, and an episode takes"):
        recipe.episode_sizes(MOST, [9] * 9, {"valid": [9], "test": [9] * 9})


@pytest.fixture
def fitted(tmp_path):
    """A function from folders of data to the recipes of their folds."""
    script, protocol = (scripts.load("intents", name) for name in ("run", "protocol"))
    with worlds.apart(tmp_path):
        bert = str(worlds.save_bert(tmp_path / "bert"))

        def fit(folder):
            folds = protocol.read_folds(script.config_of(folder, bert), None)
            return {name: script.recipe.fit(config) for name, config in folds.items()}

        yield fit


def test_texts_without_labels_are_those_of_the_classes_not_in_training(
    fitted, tmp_path, monkeypatch
):
    """Labels may be numbers, and texts may hold a line separator."""
    rows = [
        {"text": f"{topic}\u2028{n}", "label": number}
        for number, topic in enumerate(worlds.TOPICS[:6])
        for n in range(6)
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (tmp_path / "examples.jsonl").write_text("".join(lines), "utf-8")
    split = {"train": ["0", "1"], "valid": ["2", "3"], "test": ["4", "5"]}
    (tmp_path / "folds.json").write_text(json.dumps({"a": split}))
    others = [row["text"] for row in rows if row["label"] > 1]
    assert fitted(tmp_path)["a"].unlabelled == others
    unlabelled = scripts.load("intents", "unlabelled")
    given = []
    monkeypatch.setattr(
        unlabelled.workflows, "cluster", lambda file, *_, **__: given.append(file)
    )
    unlabelled.write(others, 4, tmp_path, tmp_path / "clusters.jsonl", None)
    written = [row["text"] for row in worlds.read_jsonl(given[0])]
    assert written != others
    assert sorted(written) == sorted(others)


def test_texts_are_counted_up_to_case_as_samplers_do(folder, fitted):
    rows = worlds.records(longest=5, count=9)
    tested = [row for row in rows if row["label"] == worlds.SPLIT["test"][0]]
    rest = [row for row in rows if row["label"] != worlds.SPLIT["test"][0]]
    shouted = tested[0] | {"text": tested[0]["text"].upper()}
    worlds.write_jsonl(folder / "examples.jsonl", [*rest, *tested[:5], shouted])
    with pytest.raises(ValueError, match=r"a class of test has 5 different texts, up"):
        fitted(folder)


def test_test_episodes_are_of_the_sizes_of_the_test_classes(folder, fitted):
    splits = {"train": worlds.TOPICS[:4], "valid": worlds.TOPICS[4:6]}
    splits["test"] = worlds.TOPICS[6:11]
    (folder / "folds.json").write_text(json.dumps({"a": worlds.SPLIT, "b": splits}))
    recipes = fitted(folder)
    assert {name: it.test.way for name, it in recipes.items()} == {"a": 3, "b": 5}
    # Validation has fewer classes.
    assert recipes["b"].labelled.episodes.way == 2
    protocol = scripts.load("intents", "protocol")
    sizes = {name: it.test for name, it in recipes.items()}
    assert not protocol.are_alike(sizes)
    assert "no mean over all folds" in protocol.described(sizes)


@pytest.mark.parametrize(
    ("content", "folds"),
    [
        (worlds.SPLIT, {"split": None}),
        ({"source": "x", "seed": 3, "a": worlds.SPLIT}, {"a": "a"}),
    ],
)
def test_a_split_file_is_one_fold_or_holds_some(content, folds, folder):
    script, protocol = (scripts.load("intents", name) for name in ("run", "protocol"))
    (folder / "folds.json").write_text(json.dumps(content))
    configs = protocol.read_folds(script.config_of(folder), None)
    assert {name: config.data.fold for name, config in configs.items()} == folds


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", r"folds\.json is no JSON object of folds"),
        ("{", r"folds\.json is no JSON \("),
        ('{"source": "x"}', r"folds\.json holds no folds"),
        ('{"../a": {}}', "cannot name a file"),
    ],
)
def test_a_split_file_without_folds_is_named(content, problem, folder):
    script, protocol = (scripts.load("intents", name) for name in ("run", "protocol"))
    (folder / "folds.json").write_text(content)
    with pytest.raises(ValueError, match=problem):
        protocol.read_folds(script.config_of(folder), None)


@pytest.mark.parametrize("folds", [{"train": 3, "valid": 2, "test": 7}])
def test_folds_with_other_numbers_of_classes_get_other_sizes(folds, folder, tmp_path):
    recipe = scripts.load("intents", "recipe")
    names = iter(worlds.TOPICS)
    fold = {split: [next(names) for _ in range(n)] for split, n in folds.items()}
    splits = {"wide": worlds.SPLIT, "narrow": fold}
    (folder / "folds.json").write_text(json.dumps(splits))
    config = scripts.load("intents").config_of(folder)
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        model = dataclasses.replace(config.model, name=str(bert))
        wide, narrow = (
            recipe.fit(
                dataclasses.replace(
                    config,
                    model=model,
                    data=dataclasses.replace(config.data, fold=name),
                )
            )
            for name in splits
        )
    assert (wide.labelled.episodes.way, narrow.labelled.episodes.way) == (3, 2)
    assert (wide.labelled.episodes.train_way, wide.num_clusters) == (5, 6)
    assert (narrow.labelled.episodes.train_way, narrow.num_clusters) == (2, 9)
    assert narrow.both.episodes.train_way == 10  # Of 3 classes and 9 clusters.
    assert narrow.labelled.data.max_length == 16
