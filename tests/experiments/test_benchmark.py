"""Tests that the benchmark reads a workload and gives the right meta-gradient."""

import json
import sys

import jax
import jax.export
import numpy as np
import pytest

from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks
WIDTH, LENGTH, TASKS, WAY = 128, 6, 2, 3


@pytest.fixture(scope="module")
def script():
    return scripts.load("benchmark")


@pytest.fixture(scope="module")
def workload(script, tmp_path_factory):
    """A network of one layer under Hugging Face's names, and two tasks."""
    rng = np.random.default_rng(0)
    held = {
        "embeddings.word_embeddings.weight": (20, WIDTH),
        "embeddings.position_embeddings.weight": (LENGTH, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "head.weight": (WAY, WIDTH),
        "head.bias": (WAY,),
    }
    for name in script.workload.NAMES.values():
        if name.startswith("embeddings."):
            continue
        out_in = {"intermediate.dense": (32, WIDTH), "output.dense": (WIDTH, 32)}
        shape = out_in.get(name, (WIDTH, WIDTH))
        prefix = f"encoder.layer.0.{name}"
        held[f"{prefix}.weight"] = shape[:1] if "LayerNorm" in name else shape
        held[f"{prefix}.bias"] = shape[:1]
    arrays = {
        f"w/{n}": (0.2 * rng.normal(size=s)).astype(np.float32) for n, s in held.items()
    }
    for part in "sq":
        lengths = rng.integers(2, LENGTH + 1, (TASKS, 2 * WAY))
        mask = (np.arange(LENGTH) < lengths[..., None]).astype(np.int32)
        ids = rng.integers(1, 20, mask.shape).astype(np.int32) * mask
        arrays |= {f"{part}/ids": ids, f"{part}/mask": mask}
        arrays[f"{part}/labels"] = np.tile(np.arange(2 * WAY) % WAY, (TASKS, 1))
    path = tmp_path_factory.mktemp("workload") / "tiny.npz"
    np.savez(path, **arrays)
    return path


def run(script, monkeypatch, capsys, *args):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, args)])
    code = script.main()
    return code, capsys.readouterr()


@pytest.mark.slow  # Half a minute.
def test_packing_and_the_order_of_derivatives_do_what_they_should(
    script, workload, monkeypatch, capsys, tmp_path
):
    saved = {}
    for name, options in {
        "maml": ("--algorithm", "maml"),
        "maml, padded": ("--algorithm", "maml", "--no-pack"),
        "fomaml": ("--algorithm", "fomaml"),
    }.items():
        out = tmp_path / f"{name}.npz"
        common = ("--repeats", 1, "--save", out)
        code, said = run(script, monkeypatch, capsys, workload, *options, *common)
        assert code == 0
        assert json.loads(said.out)["temp_mb"] > 0
        saved[name] = dict(np.load(out))
    held = {n[2:] for n in np.load(workload).files if n.startswith("w/")}
    assert set(saved["maml"]) == {*held, "loss"}
    for name in held:
        scale = np.abs(saved["maml"][name]).max()
        gap = np.abs(saved["maml"][name] - saved["maml, padded"][name]).max()
        assert gap <= 1e-4 * max(scale, 1e-3), name
    kernel = "encoder.layer.0.output.dense.weight"
    assert np.abs(saved["maml"][kernel] - saved["fomaml"][kernel]).max() > 1e-6


def test_a_missing_file_is_named(script, monkeypatch, capsys, tmp_path):
    code, said = run(script, monkeypatch, capsys, tmp_path / "none.npz")
    assert code == 2
    assert "there is no file" in said.err


def test_the_floor_counts_what_changes_the_answer_only(script):
    """One layer of width 2, counted by hand, for texts of 1 and 3 tokens."""
    config = script.models.BertConfig(
        vocab_size=9,
        hidden_size=2,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=3,
    )
    mask = np.array([[[1, 0, 0], [1, 1, 1]]])
    part = script.metaflax.Batch(script.models.Tokens(mask, None, mask), None, None)
    task = script.metaflax.Task(part, part)
    projection, mlp, rows, pairs = 8, 24, 4, 1 + 9
    layer = rows * (4 * projection + mlp) + 4 * 2 * pairs
    last = rows * 2 * projection + 2 * (2 * projection + mlp) + 4 * 2 * rows
    count = script.floor.needed_flops
    for reads_all, forward in ((True, 2 * layer), (False, layer + last)):
        for method, passes in (("protonet", 6), ("fomaml", 9), ("maml", 21)):
            found = count(method, config, task, 2, reads_all=reads_all)
            assert found == passes * forward, method


@pytest.mark.slow
def test_growth_is_measured_plotted_and_its_slope_named(tmp_path, monkeypatch):
    scaling = scripts.load("benchmark", "scaling")
    for name, value in {"WIDTH": 16, "VOCABULARY": 50}.items():
        monkeypatch.setattr(scaling, name, value)
    monkeypatch.setattr(scaling, "LINES", {"fomaml": ("fomaml", "reverse")})
    rows = scaling.measure(1, {"length": (4, 8, 16)})
    assert [row["value"] for row in rows] == [4, 8, 16]
    sizes = [row["bytes"] for row in rows]
    assert sizes == sorted(sizes)
    assert scaling.slope([1, 2, 4], [5, 3.0, 12.0]) == 2.0
    assert scaling.table(rows).splitlines()[-1].startswith("| length | ")
    scaling.plot(tmp_path / "growth.png", rows)
    assert (tmp_path / "growth.png").stat().st_size > 5000


def test_without_data_the_loop_is_not_measured(monkeypatch, capsys, tmp_path):
    overhead = scripts.load("benchmark", "overhead")
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["overhead.py"])
    assert overhead.main() == 2
    assert "METAFLAX_DATA names the folder" in capsys.readouterr().err


def test_prediction_is_measured_on_texts_of_the_data(monkeypatch, capsys, tmp_path):
    predict = scripts.load("benchmark", "predict")
    monkeypatch.setattr(sys, "argv", ["predict.py", "metaflax"])
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    assert predict.main() == 2
    assert "METAFLAX_DATA names the folder" in capsys.readouterr().err
    (tmp_path / "clinc150").mkdir()
    worlds.write_jsonl(
        tmp_path / "clinc150" / "examples.jsonl",
        [
            {"text": f"{topic} filler00", "label": topic}
            for topic in worlds.TOPICS[:3] * 5
        ],
    )
    model = worlds.save_bert(tmp_path / "model", width=64)
    arguments = ["--model", str(model), "--repeats", "1", "--batch-size", "2"]
    monkeypatch.setattr(sys, "argv", ["predict.py", "metaflax", *arguments])
    assert predict.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["texts"] == 15
    assert result["texts_a_second"] > 0
    assert 0 < result["loss"] < np.log(27)  # That of the likeliest class.


def test_evaluation_is_measured_on_published_sets(monkeypatch, capsys, tmp_path):
    evaluation = scripts.load("benchmark", "evaluation")
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["evaluation.py"])
    assert evaluation.main() == 2
    assert "METAFLAX_DATA" in capsys.readouterr().err
    folder = tmp_path / "leopard" / "topics"
    folder.mkdir(parents=True)
    topics = worlds.TOPICS[:2]
    sets = [
        {"id": f"topics-{shot}-{n}-{i}", "text": f"{label} filler00", "label": label}
        for shot, n in ((1, 0), (1, 1), (2, 0))
        for i, label in enumerate(topics * shot)
    ]
    worlds.write_jsonl(folder / "train_episodes.jsonl", sets)
    queries = [
        {"id": f"topics-{n}", "text": f"filler00 {topic}", "label": topic}
        for n, topic in enumerate(topics * 3)
    ]
    worlds.write_jsonl(folder / "eval.jsonl", queries)
    model = worlds.save_bert(tmp_path / "model")
    scores = tmp_path / "scores.npz"
    options = ["--sets", "1", "--queries", "6", "--save", str(scores)]
    monkeypatch.setattr(
        sys, "argv", ["evaluation.py", "topics", "--model", str(model), *options]
    )
    with worlds.apart(tmp_path):
        assert evaluation.main() == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["task"], record["sets"]) == ("topics", 2)
    assert record["cpu_seconds"] > 0
    with np.load(scores) as saved:
        assert saved["topics/accuracy"].shape == (2,)
        assert np.mean(saved["topics/loss"]) == pytest.approx(record["loss"])


def test_commands_are_timed_from_their_start_beside_a_script(
    monkeypatch, capsys, tmp_path
):
    cold = scripts.load("benchmark", "cold")
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["cold.py"])
    assert cold.main() == 2
    assert "METAFLAX_DATA names the folder" in capsys.readouterr().err
    file = tmp_path / "clinc150" / "examples.jsonl"
    file.parent.mkdir()
    rows = [
        {"text": f"{topic} filler{n:02}", "label": topic}
        for n in range(3)
        for topic in worlds.TOPICS[:2]
    ]
    worlds.write_jsonl(file, rows)
    monkeypatch.setattr(cold, "SHOT", 2)
    support, queries = cold.draw(file)
    assert [row["label"] for row in support] == sorted(worlds.TOPICS[:2] * 2)
    assert {row["text"] for row in queries} == {row["text"] for row in rows[4:]}
    # A stand-in for both programs, which predicts the label of each text.
    answers = "\n".join(json.dumps({"label": row["label"]}) for row in queries)
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\n"
        "if 'predict' in sys.argv:\n"
        f"    pathlib.Path(sys.argv[-1]).write_text({answers!r})\n"
    )
    lines_of = cold.command_lines

    def stand_ins(*args):
        lines = lines_of(*args).items()
        return {name: [sys.executable, program, *line[2:]] for name, line in lines}

    monkeypatch.setattr(cold, "command_lines", stand_ins)
    options = ["--rounds", "2", "--model", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["cold.py", *options])
    assert cold.main() == 0
    header, _, adapt, predict, right = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| work | metaflax, s | script, s |")
    assert adapt.startswith("| adapt | ")
    assert predict.startswith("| predict | ")
    assert right == "metaflax: 100.0% right. script: 100.0% right."
    program.write_text("raise SystemExit('no such model')")
    assert cold.main() == 2
    assert "no such model" in capsys.readouterr().err


def test_gradients_are_compared_leaf_by_leaf(monkeypatch, capsys, tmp_path):
    gradients = scripts.load("benchmark", "gradients")
    exact = {"loss": 2.0, "a": np.array([3.0, 4.0]), "b": np.ones(4), "zero": 1e-20}
    other = {**exact, "loss": 2.002, "a": np.array([3.0, 4.05]), "unused": 0.0}
    paths = [str(tmp_path / f"{name}.npz") for name in ("exact", "other", "less")]
    for path, leaves in zip(paths, (exact, other, {"loss": 2.0}), strict=True):
        np.savez(path, **leaves)
    found = gradients.errors(*map(gradients.read, paths[:2]))
    assert found.keys() == {"loss", "all", "a", "b"}
    expected = {"loss": 0.001, "all": 0.05 / 29**0.5, "a": 0.01, "b": 0.0}
    assert found == pytest.approx(expected)
    monkeypatch.setattr(sys, "argv", ["gradients.py", *paths[:2]])
    assert gradients.main() == 0
    assert "worst leaf 1.0e-02 (a)" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["gradients.py", paths[0], paths[2]])
    assert gradients.main() == 2
    assert "leaves differ in name or shape: a, b, zero." in capsys.readouterr().err


@pytest.fixture(scope="module")
def accelerator():
    return scripts.load("benchmark", "accelerator")


def test_programs_of_an_accelerator_agree_and_are_measured(
    accelerator, monkeypatch, capsys, tmp_path
):
    Row = accelerator.Row
    tiny = accelerator.Setting(1, 16, 2, 50, 2, 2, 1, 6, steps=1, product=32)
    rows = (
        Row("metaflax", "fomaml", "scan"),
        Row("metaflax", "fomaml", "vmap", variant="fused"),
        Row("metaflax", "fomaml", "vmap", "bfloat16"),
        Row("torch", "fomaml", "loop"),
        Row("torch", "fomaml", "vmap"),
        Row("metaflax", "maml", "scan"),
        Row("torch", "maml", "vmap"),
        Row("metaflax", "maml", "vmap", "bfloat16", "fused"),
    )
    monkeypatch.setattr(accelerator, "SETTINGS", {"tiny": tiny})
    monkeypatch.setattr(accelerator, "ROWS", rows)
    arguments = ["--out", str(tmp_path), "--rounds", "2", "--minutes", "30"]
    monkeypatch.setattr(sys, "argv", ["accelerator.py", *arguments])
    assert accelerator.main() == 0
    results = json.loads((tmp_path / "accelerator.json").read_text())
    peer_is_missing = accelerator.torch_peer.torch is None
    losses = {}
    for record in results["rows"]:
        if record["program"] == "torch" and peer_is_missing:
            assert "pip install torch" in record["note"]
            continue
        assert record["note"] is None
        assert record["seconds"] > 0
        assert record["steps"] == 2
        assert record["share_of_product"] > 0
        exact = record["dtype"] == "float32"
        assert record["gradient_error"] < (1e-5 if exact else 0.1)
        expected = losses.setdefault(record["method"], record["loss"])
        assert record["loss"] == pytest.approx(expected, rel=1e-5 if exact else 0.05)
    assert losses["fomaml"] == pytest.approx(losses["maml"], rel=1e-5)
    table = (tmp_path / "accelerator.md").read_text()
    assert results["device"] in table
    assert table.count("\n| metaflax fomaml") == 3
    assert capsys.readouterr().out.strip() == table.strip()


def test_what_cannot_be_measured_says_why(accelerator, monkeypatch):
    tiny = accelerator.Setting(1, 16, 2, 50, 2, 2, 1, 6, steps=1, product=32)
    rows = [accelerator.Row(name, "fomaml", "vmap") for name in ("metaflax", "torch")]
    results = accelerator.measure(tiny, rows, 1, seconds=0.0)
    assert all("--minutes" in row["note"] for row in results["rows"])
    assert "| metaflax fomaml vmap float32 | not measured: " in accelerator.page(
        results
    )

    def out_of_memory(work, row):
        raise RuntimeError("RESOURCE_EXHAUSTED: 9 GiB\nand more")

    monkeypatch.setattr(accelerator, "step", out_of_memory)
    monkeypatch.setattr(accelerator.torch_peer, "torch", None)
    results = accelerator.measure(tiny, rows, 1, seconds=600.0)
    notes = [row["note"] for row in results["rows"]]
    assert notes[0] == "failed: RESOURCE_EXHAUSTED: 9 GiB"
    assert "pip install torch" in notes[1]
    assert results["torch"] is None


@pytest.mark.parametrize("method", ["fomaml", "protonet"])
def test_fused_attention_lowers_for_cuda(accelerator, method, monkeypatch):
    internals = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    # Functions that would query a GPU.
    answers = {
        "check_cudnn_version": lambda: 92000,
        "check_compute_capability": lambda capability: True,
        "is_cuda_compute_capability_equal": lambda capability: False,
    }
    if any(not hasattr(internals, name) for name in answers):
        pytest.skip("this version of jax asks for the card in another way")
    for name, answer in answers.items():
        monkeypatch.setattr(internals, name, answer)
    monkeypatch.setattr(accelerator.fused, "implementation", lambda: "cudnn")
    setting = accelerator.Setting(1, 64, 2, 50, 2, 2, 1, 16, steps=1)
    work = accelerator.make_work(setting)
    row = accelerator.Row("metaflax", method, "vmap", "bfloat16", "fused")
    programs = sys.modules[accelerator.make_work.__module__]
    fn, params, tasks = programs.meta_gradient(work, row)
    kernels = ("__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward")
    allowed = [jax.export.DisabledSafetyCheck.custom_call(name) for name in kernels]
    export = jax.export.export(fn, platforms=["cuda"], disabled_checks=allowed)
    lowered = export(params, tasks).mlir_module()
    assert all(f"@{name}(" in lowered for name in kernels)
