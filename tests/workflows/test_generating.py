"""Tests that texts are generated, from meta-training to `predict`.

Each run trains on a made-up language. The target of a text has two words of its domain,
which only the support set shows, and one that a word of the text is translated to in
all domains, which meta-training learns. An unseen domain combines words of other
domains to a new pair.
"""

import functools
import json

import numpy as np
import pytest

from metaflax import cli, metrics, models, workflows
from tests import marks
from tests.workflows import worlds

ASKS = {f"ask{i}": f"answer{i}" for i in range(4)}
LONGEST_READ, LONGEST_SAID = 32, 14


def said(topic, ask):
    number = worlds.TOPICS.index(topic)
    return f"lead{number % 4} says tail{(number // 4 + number) % 3} {ASKS[ask]}"


def rows_of(make, count=30, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for topic in worlds.TOPICS:
        for _ in range(count):
            ask = str(rng.choice(list(ASKS)))
            filler = rng.choice(worlds.FILLER, 4).tolist()
            rows.append({**make(rng, ask, filler, said(topic, ask)), "domain": topic})
    return rows


def pair_rows(**kwargs):
    """The word to translate is anywhere in the text."""

    def make(rng, ask, filler, target):
        return {"text": " ".join(rng.permutation([ask, *filler])), "target": target}

    return rows_of(make, **kwargs)


def dialogue_rows(**kwargs):
    """The word to translate is the last turn."""

    def make(rng, ask, filler, target):
        return {"text": [" ".join(filler), filler[0], ask], "target": target}

    return rows_of(make, **kwargs)


def text_rows(**kwargs):
    """Texts that begin with the words of their domain."""

    def make(rng, ask, filler, target):
        return {"text": " ".join([target, *filler[:2]])}

    return rows_of(make, **kwargs)


KINDS = {
    "translation": (pair_rows, "seq2seq", {}),
    "dialogue": (dialogue_rows, "gpt", {}),
    "language_modelling": (
        text_rows,
        "gpt",
        {
            "algorithm": "reptile",
            "inner_learning_rate": 0.01,
            "max_length": 24,
            "max_target_length": 24,
        },
    ),
}
# Trained briefly, to check that every layer supports the family.
SHORT = {"steps": 2, "eval_every": 2, "test_episodes": 4}
OTHERS = {
    "brief": (dialogue_rows, "gpt", {"task": "dialogue", **SHORT}),
    "t5": (pair_rows, "t5", {"task": "translation", **SHORT}),
}
every = pytest.mark.parametrize(
    "kind", marks.quick(["translation", "dialogue", "language_modelling"], [])
)
GENERATED = pytest.mark.parametrize(
    "kind", marks.quick(["translation", "dialogue", "brief", "t5"], ["brief"])
)


def new_model(folder, family):
    pairs = [(row["text"], row["target"]) for row in pair_rows(count=2)]
    return workflows.new_language_model(
        folder / family,
        [text for pair in pairs for text in pair],
        family=family,
        vocab_size=340,
        width=32,
        heads=2,
        layers=1,
        positions=worlds.POSITIONS,
        dropout=0.0,
    )


@pytest.fixture(scope="module")
def ingredients(tmp_path_factory):
    """Function from a task type to its data and its new model."""
    folder = tmp_path_factory.mktemp("ingredients")

    @functools.cache
    def made(kind):
        rows, family, _ = (KINDS | OTHERS)[kind]
        if not (folder / family).exists():
            new_model(folder, family)
        return worlds.write_jsonl(folder / f"{kind}.jsonl", rows()), folder / family

    return made


@pytest.fixture(scope="module")
def runs(ingredients, world, tmp_path_factory):
    """A meta-trained run of each task type."""
    folder = tmp_path_factory.mktemp("generating")
    made = {}

    def run(kind, **more):
        name = "-".join([kind, *map(str, more.values())])
        if name not in made:
            (data, model), (_, _, options) = ingredients(kind), (KINDS | OTHERS)[kind]
            made[name] = folder / name
            settings = {
                "task": kind,
                "model": model,
                "domain": "domain",
                "split_by": "domain",
                "max_length": LONGEST_READ,
                "max_target_length": LONGEST_SAID,
                "algorithm": "fomaml",
                "inner_optimizer": "adam",
                "inner_learning_rate": 0.003,
                "num_steps": 4,  # A loop, which compiles faster than fewer.
                "shot": 4,
                "queries": 4,
                "steps": 80,
                "eval_every": 40,
                "valid_episodes": 8,
                "test_episodes": 12,
                "tasks_per_step": 4,
                "learning_rate": 1e-2,
            }
            settings = settings | options | more
            worlds.run(*world.train_args(made[name], data=data, **settings))
        return made[name]

    return run


def risen(run_dir, metric):
    """Lower bound of the increase of a metric."""
    results = json.loads((run_dir / "results.json").read_text())
    difference = results["paired_difference_from_before"]["after"][metric]
    return difference["mean"] - difference["half_width"]


@every
def test_meta_training_improves_generation_in_unseen_domains(kind, runs):
    assert risen(runs(kind), "log_likelihood") > 1
    if kind != "language_modelling":
        assert risen(runs(kind), "bleu") > 10


@functools.cache
def adapted(run_dir):
    """An episode's line of scores, its folder, and the model adapted to it."""
    worlds.run("evaluate", run_dir, "--name", "exported", "--export-episodes", 1)
    scores = worlds.read_jsonl(run_dir / "exported.episodes.jsonl")[1]
    folder = run_dir / "exported.episode1"
    model = folder / "model"
    support = folder / "support.jsonl"
    worlds.run("adapt", "--support", support, "--out", model, "--run", run_dir)
    return scores["after"], folder, model


def answered(model, texts, *options):
    out = model.with_name("out.jsonl")
    worlds.run("predict", "--model", model, "--texts", texts, "--out", out, *options)
    return worlds.read_jsonl(out)


@GENERATED
def test_adapt_and_predict_repeat_the_score_of_an_exported_episode(kind, runs):
    scores, folder, model = adapted(runs(kind))
    query = worlds.read_jsonl(folder / "query.jsonl")
    answers = answered(model, folder / "query.jsonl")
    assert [a["text"] for a in answers] == [q["text"] for q in query]
    said = [answer["generated"] for answer in answers]
    true = [row["target"] for row in query]
    assert metrics.bleu(said, true) == pytest.approx(scores["bleu"], abs=1e-3)
    assert all(answer["score"] < 0 for answer in answers)
    in_beams = answered(model, folder / "query.jsonl", "--num-beams", 3)
    assert all(answer["generated"] for answer in in_beams)


@pytest.mark.thorough
def test_a_text_goes_on_as_its_domain_has_it(runs, tmp_path):
    scores, folder, model = adapted(runs("language_modelling"))
    assert set(scores) == {"loss", "log_likelihood", "perplexity"}
    [row, *_] = worlds.read_jsonl(folder / "query.jsonl")
    begun = row["text"].split(" tail")[0]
    texts = worlds.write_jsonl(tmp_path / "begun.jsonl", [{"text": begun}])
    [answer] = answered(model, texts)
    assert answer["text"] == begun
    assert answer["generated"].startswith("tail")
    [short] = answered(model, texts, "--max-new-tokens", 1)
    assert len(short["generated"]) < len(answer["generated"])


def test_long_texts_are_truncated_and_reported(runs, tmp_path, capsys):
    _, folder, model = adapted(runs("brief"))
    [row, *_] = worlds.read_jsonl(folder / "query.jsonl")
    # The same end of the text, which is not truncated.
    starts = ("filler00 " * 90, "filler01 " * 60 + "filler00 " * 30)
    rows = [{"text": [start.strip(), *row["text"]]} for start in starts]
    texts = worlds.write_jsonl(tmp_path / "long.jsonl", [row, *rows])
    capsys.readouterr()
    answers = answered(model, texts)
    assert "2 of 3 texts were truncated to 32 tokens" in capsys.readouterr().err
    assert answers[1]["generated"] == answers[2]["generated"]
    support = worlds.write_jsonl(
        tmp_path / "support.jsonl",
        [
            *worlds.read_jsonl(folder / "support.jsonl"),
            rows[0] | {"target": "says " * 40},
        ],
    )
    out = ("--out", tmp_path / "other", "--run", runs("brief"))
    worlds.run("adapt", "--support", support, *out)
    said = " ".join(capsys.readouterr().out.split())
    assert f"1 of the prompts truncated to {LONGEST_READ} tokens" in said
    assert f"1 of the targets truncated to {LONGEST_SAID} tokens" in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dialogue", "t5"])
def test_hugging_face_generates_the_same_texts(kind, runs):
    torch = pytest.importorskip("torch")
    import transformers

    _, folder, model = adapted(runs(kind))
    answers = answered(model, folder / "query.jsonl")
    whole = kind == "dialogue"  # Input and output are one text.
    load = (
        transformers.AutoModelForCausalLM
        if whole
        else transformers.AutoModelForSeq2SeqLM
    )
    theirs = load.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    for answer in answers:
        text = answer["text"]
        if whole:
            text = "\n".join(text) + tokenizer.bos_token
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            found = theirs.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=LONGEST_SAID,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = found[0, ids.shape[1] if whole else 1 :]
        said = tokenizer.decode(new, skip_special_tokens=True)
        assert said.strip() == answer["generated"]


@pytest.fixture
def refused(capsys):
    def run(*args):
        capsys.readouterr()
        assert cli.main([str(arg) for arg in args]) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("translation", {"text": " "}, "'text' is an empty text"),
        ("translation", {"target": ""}, "'target' is an empty text"),
        ("translation", {"target": 3}, "'target' holds 3 where a text"),
        ("dialogue", {"text": []}, "'text' is an empty list; give a turn"),
        ("dialogue", {"text": ["a", " "]}, "'text' is an empty text"),
    ],
)
def test_a_bad_row_of_a_support_file_is_named(
    kind, changes, message, ingredients, tmp_path, refused
):
    rows = KINDS[kind][0](count=1)[:3]
    rows[1] = {**rows[1], **changes}
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    model = ("--model", ingredients(kind)[1], "--task", kind)
    args = ("--support", support, "--out", tmp_path / "out", *model)
    error = refused("adapt", *args, "--algorithm", "fine_tuning")
    assert "support.jsonl:2" in error
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0; give 1 or more"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; give a number above"),
        ({"max_target_length": 0}, "max_target_length is 0; give 1 or more"),
        (
            {"max_target_length": worlds.POSITIONS},
            f"max_target_length={worlds.POSITIONS} do not fit a model",
        ),
        ({"algorithm": "protonet"}, "the head 'prototypes' serves targets of kind"),
        ({"algorithm": "anil"}, "anil is for encoders below a head"),
        ({"label_smoothing": 1.0}, "label_smoothing is in [0, 1)"),
        ({"split_by": "label"}, "has no classes to split by; split by domain"),
        ({"shot": 40}, "different texts; 40 for the support set"),
        ({"domain": "language"}, "no column 'language'"),
    ],
)
def test_what_makes_no_run_is_refused_before_anything_is_written(
    options, message, ingredients, world, tmp_path, refused
):
    data, model = ingredients("translation")
    settings = {
        "task": "translation",
        "model": model,
        "domain": "domain",
        "split_by": "domain",
        "max_length": LONGEST_READ,
        "max_target_length": LONGEST_SAID,
        "algorithm": "fomaml",
    } | options
    args = world.train_args(tmp_path / "run", data=data, **settings)
    assert message in " ".join(refused(*args).split())
    assert not (tmp_path / "run").exists()


def test_an_unknown_language_is_named(ingredients, world, tmp_path, refused):
    data, model = ingredients("translation")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({**worlds.SPLIT, "test": ["eng-xyz"]}))
    args = world.train_args(
        tmp_path / "run",
        data=data,
        task="translation",
        model=model,
        domain="domain",
        split_by="domain",
        split_file=split,
    )
    assert "test names 'eng-xyz', which no example of" in refused(*args)


def test_an_encoder_generates_no_texts(ingredients, world, tmp_path, refused):
    options = {"task": "translation", "domain": "domain", "split_by": "domain"}
    data, _ = ingredients("translation")
    args = world.train_args(tmp_path / "run", data=data, **options)
    assert "of type 'bert', which generates no texts" in refused(*args)


def test_a_beam_of_none_is_refused_where_texts_are_generated(runs, refused):
    _, folder, model = adapted(runs("brief"))
    args = ("--model", model, "--texts", folder / "query.jsonl")
    assert "num_beams must be a positive integer" in refused(
        "predict", *args, "--num-beams", 0
    )
    assert "max_new is 0; give 1 or more" in refused(
        "predict", *args, "--max-new-tokens", 0
    )


def test_a_repetition_penalty_prevents_repeated_words(tmp_path):
    model = new_model(tmp_path, "gpt")  # Which says the same again and again.
    texts = worlds.write_jsonl(tmp_path / "texts.jsonl", [{"text": "lead0 says"}])
    options = ("--max-new-tokens", 8)
    [plain] = answered(model, texts, *options)
    [varied] = answered(model, texts, *options, "--repetition-penalty", 100.0)
    tokens = models.pretrained.tokenizer(model)
    said = [
        tokens(row["generated"], add_special_tokens=False).input_ids
        for row in (plain, varied)
    ]
    once = [len(set(ids)) / len(ids) for ids in said]
    assert once[0] < once[1] == 1


def test_an_encoder_decoder_refuses_to_continue_a_text(ingredients, tmp_path, refused):
    _, model_directory = ingredients("translation")
    rows = worlds.write_jsonl(tmp_path / "rows.jsonl", text_rows())
    args = ("--task", "language_modelling", "--data", rows, "--domain", "domain")
    model = ("--model", model_directory, "--split-by", "domain")
    lengths = ("--max-length", LONGEST_READ, "--max-target-length", LONGEST_SAID)
    error = refused("train", *args, *model, *lengths, "--run-dir", tmp_path / "run",
                    "--algorithm", "fomaml")  # fmt: skip
    assert "take a decoder" in error


def test_a_new_model_is_made_from_a_file(tmp_path, refused):
    texts = worlds.write_jsonl(tmp_path / "texts.jsonl", dialogue_rows(count=2))
    sizes = (
        "--vocab-size",
        300,
        "--hidden-size",
        16,
        "--num-heads",
        2,
        "--num-layers",
        1,
    )
    args = ("new", "--texts", texts, "--family", "gpt", "--out", tmp_path / "new")
    worlds.run(*args, *sizes)
    made = models.load(tmp_path / "new")
    assert made.config.n_embd == 16
    assert "exists already" in refused(*args, *sizes)
    assert "give --texts FILE" in refused("new", "--out", tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize(
    "added", [pytest.param("lora", marks=pytest.mark.slow), "prefix"]
)
def test_few_weights_adapt_and_are_kept(added, runs):
    kind = "brief"
    sizes = {"lora": {"lora_rank": 2}, "prefix": {"prefix_size": 2}}[added]
    few = {"steps": 2, "eval_every": 2, "test_episodes": 4, "inner_learning_rate": 0.5}
    run_dir = runs(kind, adapts=f"*/{added}", **sizes, **few)
    scores, folder, model = adapted(run_dir)
    answers = answered(model, folder / "query.jsonl")
    true = [row["target"] for row in worlds.read_jsonl(folder / "query.jsonl")]
    said = [answer["generated"] for answer in answers]
    assert metrics.bleu(said, true) == pytest.approx(scores["bleu"], abs=1e-3)
    assert (model / "prefix.safetensors").exists() == (added == "prefix")


def test_a_model_adapts_without_a_run(ingredients, tmp_path, refused):
    support = worlds.write_jsonl(tmp_path / "support.jsonl", pair_rows(count=1))
    args = ("adapt", "--support", support, "--model", ingredients("translation")[1])
    out = ("--out", tmp_path / "model", "--task", "translation")
    worlds.run(*args, *out)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "adapted by `fine_tuning`" in card
    [answer, *_] = answered(tmp_path / "model", support)
    columns = {"text", "target", "domain"}
    assert set(answer) == columns | {"generated", "score", "truncated"}
    other = ("--out", tmp_path / "other")
    frozen = (*out[2:], "--algorithm", "frozen")
    assert "the head 'prototypes' serves" in refused(*args, *other, *frozen)
    assert "unknown task 'poetry'" in refused(*args, *other, "--task", "poetry")
