"""Tests that errors are one sentence with advice, before anything is written."""

import json
import re
import shutil

import pytest
import safetensors.numpy

import metaflax
from metaflax import cli
from tests.workflows import worlds

# Advice: an imperative after a semicolon or full stop, or the known values.
ADVICE = re.compile(
    r"[;.] (add|check|choose|compare|copy|create|fetch|finish|give|keep|lower|name|"
    r"remove|run|shorten|take|use|write) | (known:|the folds are|they are|such as) ",
    re.IGNORECASE,
)


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail; returns its error of one line, with advice."""

    def run(*args):
        code = cli.main([str(arg) for arg in args])
        error = capsys.readouterr().err
        assert code == 2
        assert error.startswith("metaflax: ")
        assert error.count("\n") == 1
        assert error.endswith(".\n")
        assert ADVICE.search(error.removeprefix("metaflax: ")), error
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture
def train_refused(world, tmp_path, refused):
    """Runs `train` with options that must fail, and checks that no files are left."""

    def run(**options):
        error = refused(*world.train_args(tmp_path / "run", **options))
        assert not (tmp_path / "run").exists()
        return error

    return run


def test_a_missing_data_file_is_named(train_refused, tmp_path):
    error = train_refused(data=tmp_path / "nowhere.jsonl")
    assert f"{tmp_path / 'nowhere.jsonl'}: no such file; check the path." in error


def test_a_pattern_that_matches_nothing_is_named(train_refused, tmp_path):
    pattern = tmp_path / "nowhere-*.jsonl"
    assert f"{pattern}: no file matches this pattern" in train_refused(data=pattern)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_below_one_is_refused(size, tmp_path, refused):
    args = ("predict", "--model", tmp_path, "--batch-size", size)
    assert f"batch_size is {size}; give 1 or more." in refused(*args)


def test_a_run_is_no_model_and_becomes_one(tmp_path, train_refused, refused):
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("config.json", "environment.json"):
        (folder / name).write_text("{}")
    named = f"{folder} is a run directory and no model"
    error = refused("predict", "--model", folder)
    assert f"{named}; give it to `metaflax adapt --run`" in error
    error = train_refused(model=folder)
    assert f"{named}; name the directory that `metaflax export` writes" in error


@pytest.mark.thorough
def test_an_adapted_model_learns_no_other_task(
    adapted, world, tmp_path, train_refused, refused
):
    """Its weights have a further layer and other scales, for its own output layer."""
    named = f"{adapted} holds an adapted model"
    assert named in train_refused(model=adapted)
    args = ("--support", world.data, "--out", tmp_path / "out")
    assert named in refused("adapt", "--model", adapted, *args)
    classifier = metaflax.FewShotClassifier(model=str(adapted))
    with pytest.raises(ValueError, match="give the run or the model"):
        classifier.fit(["it barks", "it purrs"], ["dog", "cat"])


def test_a_model_is_no_run(adapted, world, tmp_path, refused):
    support = ("--support", world.data, "--out", tmp_path / "out")
    for model in (adapted, world.model):
        error = refused("adapt", "--run", model, *support)
        assert f"{model} holds a model and no run; give the --run-dir" in error


def test_no_data_at_all_is_asked_for(world, tmp_path, refused):
    assert "give --data FILE" in refused("train", "--run-dir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_file_is_refused(train_refused, tmp_path):
    data = worlds.write_jsonl(tmp_path / "empty.jsonl", [])
    assert "no examples" in train_refused(data=data)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "topic00"', "not JSON"),
        ('["topic00"]', "one object a line"),
        ('{"text": "topic00"}', "'label'"),
        ('{"text": " ", "label": "topic00"}', "empty text"),
        ('{"text": 3, "label": "topic00"}', "text is expected"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(line, message, train_refused, tmp_path):
    data = worlds.write_jsonl(tmp_path / "data.jsonl", worlds.records(count=1)[:3])
    data.write_text(data.read_text() + line + "\n")
    error = train_refused(data=data)
    assert "data.jsonl:4" in error
    assert message in error


def test_an_unknown_column_is_named_beside_the_known_ones(train_refused):
    error = train_refused(text="txet")
    assert "'txet'" in error
    assert "text" in error
    assert "label" in error


def test_classes_with_too_few_examples_are_named(train_refused, tmp_path):
    rows = [*worlds.records(count=6), *worlds.records(["scarce"], count=2)]
    names = {**worlds.SPLIT, "train": [*worlds.SPLIT["train"], "scarce"]}
    (tmp_path / "split.json").write_text(json.dumps(names))
    data = worlds.write_jsonl(tmp_path / "data.jsonl", rows)
    error = train_refused(data=data, split_file=tmp_path / "split.json")
    assert "'scarce' (2)" in error


def test_more_ways_than_classes_are_refused(train_refused):
    assert "lower way" in train_refused(way=4)


def test_overlapping_splits_are_refused(train_refused, tmp_path):
    names = {**worlds.SPLIT, "valid": worlds.SPLIT["train"][:3]}
    (tmp_path / "split.json").write_text(json.dumps(names))
    error = train_refused(split_file=tmp_path / "split.json")
    assert "topic00" in error


def test_an_unknown_fold_is_named(train_refused, tmp_path):
    (tmp_path / "split.json").write_text(json.dumps({"01": worlds.SPLIT}))
    error = train_refused(split_file=tmp_path / "split.json", fold="07")
    assert "split.json: no fold '07'; the folds are '01'." in error


def test_a_long_text_is_refused_where_truncating_is_not_wanted(train_refused, tmp_path):
    rows = [{"text": "filler00 " * 60, "label": "topic00"}, *worlds.records(count=6)]
    data = worlds.write_jsonl(tmp_path / "data.jsonl", rows)
    error = train_refused(data=data, on_long="error")
    assert "62 tokens" in error
    assert str(worlds.POSITIONS) in error


def test_more_tokens_than_the_model_has_positions_are_refused(train_refused):
    error = train_refused(max_length=worlds.POSITIONS + 1)
    assert f"max_length={worlds.POSITIONS + 1}" in error
    assert f"1 to {worlds.POSITIONS}" in error


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("algorithm", "proto_maml"),
        ("head", "label_prototypes"),
        ("task", "question_answering"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(option, known, train_refused):
    error = train_refused(**{option: "sorcery"})
    assert f"unknown {option} 'sorcery'; known: " in error
    assert known in error
    assert "an import path such as package.module:attribute" in error


@pytest.mark.parametrize("option", ["inner_optimizer", "optimizer"])
def test_an_unknown_optimizer_is_named(option, train_refused):
    error = train_refused(algorithm="maml", **{option: "sorcery"})
    assert "optax has no optimizer 'sorcery'; take " in error


@pytest.mark.parametrize("option", ["pooling", "schedule", "on_long"])
def test_choices_of_few_are_checked_and_listed(option, world, tmp_path, capsys):
    args = world.train_args(tmp_path / "run", **{option: "sorcery"})
    with pytest.raises(SystemExit) as exit_info:
        cli.main([str(arg) for arg in args])
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert "sorcery" in captured.err + captured.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    [
        *("steps", "tasks_per_step", "eval_every"),
        *("valid_episodes", "test_episodes", "batch_episodes"),
    ],
)
def test_counts_of_nothing_are_refused(option, train_refused):
    assert f"{option} is 0" in train_refused(**{option: 0})


@pytest.mark.parametrize("option", ["way", "shot", "queries"])
def test_episodes_of_nothing_are_refused(option, train_refused):
    assert option in train_refused(**{option: 0})


def test_a_head_that_does_not_serve_the_task_is_refused(world, train_refused):
    task = "multilabel_classification"
    error = train_refused(data=world.multilabel, task=task, head="prototypes")
    assert "prototypes" in error


@pytest.fixture
def broken_bert(tiny_bert, tmp_path):
    return shutil.copytree(tiny_bert, tmp_path / "broken")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "warpgrad"}, "warpgrad finds no warp layer"),
        ({"algorithm": "cavia"}, "context/vector' of adapts matches no parameter"),
        ({"algorithm": "maml", "adapts": ("*/lora",)}, "adapts matches no parameter"),
        ({"algorithm": "imaml"}, "take more steps, another rate"),
        (
            {"algorithm": "ridge", "task": "multilabel_classification"},
            "the head 'ridge' serves targets of kind",
        ),
    ],
)
def test_an_algorithm_without_its_required_settings_is_refused(
    options, message, train_refused
):
    assert message in train_refused(**options)


def test_a_head_that_no_classifier_has_is_not_written(
    world, trained_by, tmp_path, refused
):
    support = worlds.records(worlds.TOPICS[:3], count=3, seed=1)
    file = worlds.write_jsonl(tmp_path / "support.jsonl", support)
    run_dir = trained_by("relation")
    out = tmp_path / "out"
    error = refused("adapt", "--support", file, "--out", out, "--run", run_dir)
    assert "relation is no linear layer" in error
    assert not out.exists()


@pytest.mark.slow
def test_rates_of_a_layer_of_zeros_hold_for_its_number_of_classes(
    trained_by, tmp_path, refused
):
    """There is no learned kernel, but a learned rate for each of its numbers."""
    run_dir = trained_by("meta_sgd", head="zeros", inner_learning_rate=0.05)
    support = worlds.records(worlds.TOPICS[:5], count=3, seed=1)
    file = worlds.write_jsonl(tmp_path / "support.jsonl", support)
    out = tmp_path / "out"
    error = refused("adapt", "--support", file, "--out", out, "--run", run_dir)
    assert "5 classes" in error
    assert "meta-trained for 3" in error


@pytest.mark.slow
def test_low_rank_factors_become_part_of_the_kernels(trained_by, tmp_path):
    run_dir = trained_by(
        "fomaml", lora_rank=2, adapts=("*/lora", "head"), inner_learning_rate=0.5
    )
    support = worlds.records(worlds.TOPICS[:3], count=3, seed=1)
    file = worlds.write_jsonl(tmp_path / "support.jsonl", support)
    worlds.run("adapt", "--support", file, "--out", tmp_path / "out", "--run", run_dir)
    held = safetensors.numpy.load_file(tmp_path / "out" / "model.safetensors")
    assert held
    assert not any("lora" in name for name in held)


def test_weights_that_do_not_fit_the_config_are_named(broken_bert, train_refused):
    file = broken_bert / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    name = "encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name][:, :-1].copy()
    safetensors.numpy.save_file(tensors, file)
    error = train_refused(model=broken_bert)
    assert name in error
    assert "of another shape" in error


def test_damaged_weights_are_named(broken_bert, train_refused):
    file = broken_bert / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors is damaged" in train_refused(model=broken_bert)


def test_a_missing_tokenizer_is_missed(broken_bert, train_refused):
    (broken_bert / "tokenizer.json").unlink()
    assert "no tokenizer" in train_refused(model=broken_bert)


def test_a_tokenizer_larger_than_the_embedding_table_is_refused(
    broken_bert, adapted, train_refused, refused, tmp_path
):
    """JAX would clamp ids beyond the table without an error."""
    said = f"{len(worlds.VOCABULARY) + 1} token ids, the embedding table only"
    vocabulary = (*worlds.VOCABULARY, "new")
    worlds.save_tokenizer(broken_bert, vocabulary)
    assert said in train_refused(model=broken_bert)
    support = worlds.write_jsonl(tmp_path / "s.jsonl", worlds.records(count=1)[:3])
    options = ("--model", broken_bert)
    assert said in refused(*adapt_args(support, tmp_path / "out", *options))
    classifier = shutil.copytree(adapted, tmp_path / "adapted")
    worlds.save_tokenizer(classifier, vocabulary)
    assert said in refused(*predict_args(classifier, tmp_path, "topic00"))


def test_a_missing_model_is_named(tmp_path, train_refused):
    error = train_refused(model=tmp_path / "nowhere")
    assert f"no directory {tmp_path / 'nowhere'}; check the path." in error


def test_the_directory_of_another_run_is_left_alone(trained, world, refused):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    error = refused(*world.train_args(trained, steps=31))
    assert "training.steps: 31, not 30" in error
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_a_directory_of_other_things_is_left_alone(world, tmp_path, refused):
    (tmp_path / "thesis.tex").write_text("dear to me")
    assert "no run directory" in refused(*world.train_args(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("made", [True, False])
def test_evaluating_needs_a_run(made, tmp_path, refused):
    if made:
        (tmp_path / "run").mkdir()
    assert "no run" in refused("evaluate", tmp_path / "run")
    assert (tmp_path / "run").exists() == made


def test_evaluating_needs_a_finished_run(trained, tmp_path, refused):
    (tmp_path / "run").mkdir()
    shutil.copy(trained / "config.json", tmp_path / "run")
    assert "no finished run" in refused("evaluate", tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--export-episodes", 40), "no episode 40"),
        (("--baselines", "sorcery"), "frozen, fine_tuning"),
        (("--shot", 30), "30 + 3"),
        (("--name", "results"), "'results'"),
        (("--name", "../away"), "'../away'"),
    ],
)
def test_what_cannot_be_evaluated_leaves_no_files(option, message, trained, refused):
    before = {path.name for path in trained.iterdir()}
    assert message in refused("evaluate", trained, *option)
    assert {path.name for path in trained.iterdir()} == before


def adapt_args(support, out, *more):
    return ("adapt", "--support", support, "--out", out, *more)


def test_adapting_onto_an_existing_directory_is_refused(trained, tmp_path, refused):
    support = worlds.write_jsonl(tmp_path / "s.jsonl", worlds.records(count=1)[:3])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("kept")
    error = refused(*adapt_args(support, tmp_path / "out", "--run", trained))
    assert "exists already" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kept"]


def test_a_support_file_of_one_class_is_refused(trained, tmp_path, refused):
    support = worlds.write_jsonl(tmp_path / "s.jsonl", worlds.records(["topic00"]))
    error = refused(*adapt_args(support, tmp_path / "out", "--run", trained))
    assert "at least two classes" in error
    assert not (tmp_path / "out").exists()


def test_more_classes_than_a_learned_layer_has_are_refused(
    trained_by, tmp_path, refused
):
    support = worlds.write_jsonl(tmp_path / "s.jsonl", worlds.records(count=2))
    run = ("--run", trained_by("anil"))
    error = refused(*adapt_args(support, tmp_path / "out", *run))
    assert "12 classes" in error
    assert "meta-trained for 3" in error
    assert not (tmp_path / "out").exists()


def predict_args(model, folder, *lines):
    texts = folder / "texts.txt"
    texts.write_text("".join(f"{line}\n" for line in lines))
    return ("predict", "--model", model, "--texts", texts, "--out", folder / "answers")


def test_predicting_needs_an_output_layer(tiny_bert, tmp_path, refused):
    error = refused(*predict_args(tiny_bert, tmp_path, "topic00"))
    assert f"run `metaflax adapt --model {tiny_bert}`" in error
    assert not (tmp_path / "answers").exists()


def test_an_empty_text_is_named_with_its_line(adapted, tmp_path, refused):
    error = refused(*predict_args(adapted, tmp_path, "topic00", " ", "topic01"))
    assert "texts.txt:2" in error
    assert not (tmp_path / "answers").exists()


def test_missing_texts_are_named(adapted, tmp_path, refused):
    out = tmp_path / "answers"
    missing = tmp_path / "nowhere.txt"
    args = ("predict", "--model", adapted, "--texts", missing, "--out", out)
    assert f"{missing}: no such file; check the path." in refused(*args)
    assert not out.exists()


def test_an_answer_that_cannot_be_written_is_named(adapted, tmp_path, refused):
    texts = tmp_path / "texts.txt"
    texts.write_text("topic00\n")
    out = texts / "below" / "a file"
    assert "texts.txt" in refused(
        "predict", "--model", adapted, "--texts", texts, "--out", out
    )


def test_fine_tuning_onto_an_existing_directory_is_refused_at_once(
    trained, tmp_path, refused
):
    rows = worlds.write_jsonl(tmp_path / "rows.jsonl", worlds.records(count=1)[:2])
    files = ("--run", trained, "--train", rows, "--test", rows)
    assert "exists already" in refused("finetune", *files, "--out", tmp_path)


def test_a_run_that_diverges_says_where_and_keeps_its_last_good_checkpoint(
    world, tmp_path, refused
):
    run_dir = tmp_path / "run"
    options = {"steps": 6, "eval_every": 6, "learning_rate": 1e30, "warmup": 0.0}
    error = refused(*world.train_args(run_dir, **options))
    # The loss of the first step is finite; that of the second, of two episodes, is not.
    assert "at step 2, on episode 2" in error
    assert [p.name for p in (run_dir / "checkpoints").iterdir()] == ["0"]
    assert not (run_dir / "selected.json").exists()
    assert "no finished run" in refused("evaluate", run_dir)
    # The same command finds the checkpoint, and fails alike.
    assert refused(*world.train_args(run_dir, **options)) == error
