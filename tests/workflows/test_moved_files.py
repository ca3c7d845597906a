"""Tests that runs whose files moved work, or name the missing file."""

import json
import os
import shutil

import chex
import pytest

from metaflax import cli
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.workflows.runs import _run, _run_files, _trained
from metaflax.workflows.runs._run_directory import RunDirectory
from tests.workflows import worlds


@pytest.fixture(scope="module")
def project(world, tmp_path_factory):
    """A folder with model, data, split and run, made with relative paths inside."""
    folder = tmp_path_factory.mktemp("project") / "mine"
    shutil.copytree(world.model, folder / "models" / "tiny")
    shutil.copy(world.data, folder / "rows.jsonl")
    shutil.copy(world.split, folder / "split.json")
    support = worlds.records(worlds.TOPICS[:3], count=2, seed=1)
    worlds.write_jsonl(folder / "support.jsonl", support)
    args = world.train_args(
        "runs/one", data="rows.jsonl", split_file="split.json", model="models/tiny"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        worlds.run(*args)
    return folder


@pytest.fixture
def copied(project, tmp_path, monkeypatch):
    """A copy of the run in another directory; its external files are not moved."""
    shutil.copytree(project / "runs" / "one", tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "one"


@pytest.fixture
def hidden(project):
    """Hides files of the project, and restores them."""
    taken = []

    def hide(name):
        taken.append((project / name, project.parent / f"hidden-{len(taken)}"))
        shutil.move(*taken[-1])

    yield hide
    for original, place in taken:
        shutil.move(place, original)


def test_a_run_works_from_another_directory_without_its_model(
    project, copied, hidden, tmp_path
):
    hidden("models")
    support = project / "support.jsonl"
    worlds.run("evaluate", copied, "--test-episodes", 2)
    worlds.run("adapt", "--support", support, "--out", tmp_path / "a", "--run", copied)
    worlds.run("export", "--run", copied, "--out", tmp_path / "exported")
    worlds.run("predict", "--model", tmp_path / "a", "--texts", support)
    names = {path.name for path in (tmp_path / "exported").iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert json.loads((copied / "config.json").read_text())["model"]["name"] == (
        "models/tiny"
    )


@pytest.mark.parametrize(
    ("names", "noun"),
    [
        (["rows.jsonl"], "data"),
        (["split.json"], "split file"),
        (["rows.jsonl", "split.json", "models"], "data"),
    ],
)
def test_what_is_gone_is_named_and_the_rest_works(
    names, noun, project, copied, hidden, capsys
):
    for name in names:
        hidden(name)
    assert cli.main(["evaluate", str(copied)]) == 2
    expected = f"metaflax: {copied}: its {noun} {project / names[0]} is gone; put it"
    assert capsys.readouterr().err.startswith(expected)
    assert _trained.load_trained(copied).num_classes == 3


def test_a_project_that_moves_as_a_whole_works(project, hidden, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "elsewhere" / "mine")
    monkeypatch.chdir(tmp_path)
    for name in ("rows.jsonl", "split.json", "models"):
        hidden(name)
    run = RunDirectory(tmp_path / "elsewhere" / "mine" / "runs" / "one")
    assert _run.reload_run(run).config == run.config()


def test_a_model_that_is_gone_from_both_places_is_named(project, copied, hidden):
    shutil.rmtree(copied / "pretrained")
    model = project / "models" / "tiny"
    before = _trained.load_trained(copied)
    assert before.model.pretrained.directory == model
    hidden("models")
    with pytest.raises(ValueError, match=f"its pretrained model {model} is gone"):
        _trained.load_trained(copied)


def test_a_run_of_an_earlier_release_is_read_from_its_directory(
    project, copied, monkeypatch
):
    shutil.rmtree(copied / "pretrained")
    environment = json.loads((copied / "environment.json").read_text())
    for name in ("paths", "run_directory"):
        del environment[name]
    (copied / "environment.json").write_text(json.dumps(environment))
    monkeypatch.chdir(project)
    _run.reload_run(RunDirectory(copied))
    params = [
        _trained.load_trained(x).params for x in (copied, project / "runs" / "one")
    ]
    chex.assert_trees_all_equal(*params)


@pytest.mark.parametrize("linked", [True, False])
def test_a_run_keeps_what_its_model_consists_of(linked, tmp_path, monkeypatch):
    model, run = tmp_path / "model", tmp_path / "run"
    (model / "1_Pooling").mkdir(parents=True)
    kept = ["config.json", "vocab.txt", "model.safetensors", "1_Pooling/config.json"]
    left = ["pytorch_model.bin", "tf_model.h5", "code.py", ".cache", "README.md"]
    for name in [*kept, *left]:
        (model / name).write_text(name)
    (tmp_path / "blob").write_text("weights" * 10)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to(tmp_path / "blob")  # As the hub's cache.
    monkeypatch.setattr(_run_files, "SMALL", 50)
    if not linked:
        monkeypatch.setattr("os.link", refuse)
    _run_files.keep_model(run, model)
    _run_files.keep_model(run, tmp_path / "another")  # It has one.
    own = run / "pretrained"
    files = {p.relative_to(own).as_posix() for p in own.rglob("*") if p.is_file()}
    assert files == {*kept, *([".linked.json"] if linked else [])}
    weights = own / "model.safetensors"
    assert not weights.is_symlink()
    assert weights.samefile(tmp_path / "blob") is linked
    assert weights.read_text() == "weights" * 10
    assert not (own / "config.json").samefile(model / "config.json")


@pytest.mark.parametrize("linked", [True, False])
def test_weights_rewritten_in_place_are_refused_where_they_are_linked(
    linked, trained, tmp_path, monkeypatch
):
    """Copies, and touched files with the same content, are accepted."""
    monkeypatch.setattr(_run_files, "SMALL", 50)
    if not linked:
        monkeypatch.setattr("os.link", refuse)
    model, run = tmp_path / "model", tmp_path / "run"
    shutil.copytree(trained / "pretrained", model)
    run.mkdir()
    _run_files.keep_model(run, model)
    config = RunDirectory(trained).config()
    os.utime(model / "model.safetensors", ns=(0, 0))
    located = _run_files.located_model(config, run)
    assert located.name == str(run / "pretrained")
    shutil.copytree(run, tmp_path / "copied")
    with (model / "model.safetensors").open("r+b") as file:
        file.write(b"other weights")
    assert _run_files.located_model(config, tmp_path / "copied")
    if linked:
        with pytest.raises(ValueError, match=r"model.safetensors was rewritten since"):
            _run_files.located_model(config, run)
    else:
        assert _run_files.located_model(config, run) == located


def refuse(*_):
    raise OSError("Invalid cross-device link")


def test_a_run_keeps_how_sentences_are_pooled(tmp_path):
    """With the network in a subfolder, as in older releases."""
    model, run = tmp_path / "model", tmp_path / "run"
    for name in ("0_Transformer", "1_Pooling"):
        (model / name).mkdir(parents=True)
    modules = [
        {"type": f"sentence_transformers.models.{name}", "path": f"{i}_{name}"}
        for i, name in enumerate(("Transformer", "Pooling"))
    ]
    pooling = {"pooling_mode_cls_token": True}
    contents = {
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "0_Transformer/config.json": {},
        "0_Transformer/vocab.txt": "",
    }
    for name, content in contents.items():
        (model / name).write_text(json.dumps(content))
    _run_files.keep_model(run, model / "0_Transformer")
    own = run / "pretrained"
    files = {p.relative_to(own).as_posix() for p in own.rglob("*") if p.is_file()}
    assert files == set(contents)
    embedding = sentence_embedding(own)
    assert embedding is not None
    assert (embedding.directory, embedding.pooling) == (own, "first")
