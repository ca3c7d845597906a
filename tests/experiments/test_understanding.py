"""Tests of the understanding experiments with baselines, in miniature."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Function from an experiment's name to a config of one step and a tiny network."""
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))
    vocabulary = (*worlds.VOCABULARY, *worlds.MARKERS)

    def shrunk(name, **episodes):
        config = config_lib.load_file(scripts.EXPERIMENTS / name / "config.py")
        bert = worlds.save_bert(tmp_path / f"bert-{name}", vocabulary=vocabulary)
        return dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, name=str(bert)),
            data=dataclasses.replace(config.data, max_length=worlds.POSITIONS),
            episodes=dataclasses.replace(config.episodes, **episodes),
            training=dataclasses.replace(
                config.training, steps=1, eval_every=1, valid_episodes=2
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )

    with worlds.apart(tmp_path):
        yield shrunk


def silent():
    return Console(file=io.StringIO())


def results(path):
    return json.loads(path.read_text())


def few_settings(script):
    """Tries only the first setting of each baseline of a script."""

    def first_of(settings):
        return lambda *args, **kwargs: settings(*args, **kwargs)[:1]

    script.frozen = first_of(script.frozen)
    script.fine_tuned = first_of(script.fine_tuned)


def sentences(count, seed=0):
    rng = np.random.default_rng(seed)
    return worlds.texts([], count, rng)


@pytest.mark.slow
def test_likeness_runs_in_miniature(small, tmp_path):
    folder = tmp_path / "data" / "stsb"
    folder.mkdir(parents=True)
    config = small("likeness", shot=4, queries=4)
    sources = [s for names in config.data.split_names.values() for s in names]
    rows = [
        {"text": a, "text_pair": b, "source": source, "score": float(n % 5)}
        for source in sources
        for n, (a, b) in enumerate(
            zip(sentences(20), sentences(20, seed=1), strict=True)
        )
    ]
    worlds.write_jsonl(folder / "train.jsonl", rows)
    script = scripts.load("likeness")
    num_settings = len(script.frozen(config))
    few_settings(script)
    run_dir = tmp_path / "runs"
    script.likeness(config, run_dir, silent(), num_test=3, num_valid=2)
    found = results(run_dir / "baselines.json")
    assert set(found["intervals"]) == {"frozen", "fine-tuned", "meta-trained"}
    assert set(found["meta-trained_less"]) == {"frozen", "fine-tuned"}
    assert num_settings > len(found["chosen"]["frozen"]["valid_scores"]) == 1
    cosines = script.by_cosine(config, num_test=3)
    assert cosines.shape == (3,)
    assert np.all(np.abs(cosines) <= 1)


def fewrel(folder):
    folder.mkdir(parents=True)
    names = [f"P{n}" for n in range(24)]
    rows = [
        {
            "id": f"wiki-{name}",
            "tokens": sentence.split(),
            "label": name,
            "label_name": f"relation {name}",
            "head": {"spans": [[0, 1]]},
            "tail": {"spans": [[2, 3]]},
        }
        for number, name in enumerate(names)
        for sentence in sentences(12, seed=number)
    ]
    worlds.write_jsonl(folder / "wiki.jsonl", rows)
    split = {"train": names[:13], "valid": names[13:18], "test": names[18:]}
    (folder / "splits.json").write_text(json.dumps(split))
    described = {name: {"name": f"topic0{n % 9}"} for n, name in enumerate(names)}
    (folder / "relations.json").write_text(json.dumps(described))


@pytest.mark.slow
def test_relations_run_in_miniature(small, tmp_path):
    fewrel(tmp_path / "data" / "fewrel")
    config, script = small("relations"), scripts.load("relations")
    runs = tmp_path / "runs"
    assert len(script.fine_tuned(config)) == 4  # Two poolings, two rates.
    assert len(script.frozen(config)) == 4  # All means, and three poolings.
    few_settings(script)
    script.relations(config, runs / "run", silent(), num_test=3, num_valid=2)
    for shot in (1, 5):
        found = results(runs / "run" / f"shot{shot}.json")
        assert found["episodes"] == 3
        assert set(found["intervals"]) == {"frozen", "fine-tuned", "meta-trained"}
        variants = results(runs / "run" / f"variants{shot}.json")
        ours = variants["intervals"]["meta-trained"]["accuracy"]
        assert ours["mean"] == found["intervals"]["meta-trained"]["accuracy"]["mean"]
        more = {"names of relations", "names, soft k-means, transductive"}
        assert set(variants["less_meta-trained"]) == {*script.HEADS, *more}
    config = script.with_none(config)
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, steps=1)
    )
    script.none_of_the_above(config, runs / "none", silent(), num_test=3, num_valid=2)
    found = results(runs / "none" / "baselines.json")
    for baseline in ("frozen", "fine-tuned"):
        assert "none_recall" in found["meta-trained_less"][baseline]


def pairs_folder(data):
    def pairs(count):
        return zip(sentences(count), sentences(count, seed=1), strict=True)

    for name in ("stsb", "subjqa", "leopard/scitail"):
        (data / name).mkdir(parents=True)
    sources = ("MSRvid", "headlines", "images", "MSRpar", "deft-forum")
    sources += ("deft-news", "answer-answer", "track5.en-en")
    scores = [
        {"text": a, "text_pair": b, "source": source, "score": (1.0, 3.5, 5.0)[n % 3]}
        for source in sources
        for n, (a, b) in enumerate(pairs(45))
    ]
    for part in ("train", "valid", "test"):
        worlds.write_jsonl(data / "stsb" / f"{part}.jsonl", scores)
    questions = [
        {"question": a, "context": b, "domain": domain, "answers": [{}] * (n % 2)}
        for domain in ("electronics", "grocery", "restaurants", "books")
        for n, (a, b) in enumerate(pairs(40))
    ]
    worlds.write_jsonl(data / "subjqa" / "examples.jsonl", questions)

    def labelled(count):
        return [
            {"text": a, "text_pair": b, "label": ("entails", "neutral")[n % 2]}
            for n, (a, b) in enumerate(pairs(count))
        ]

    train = [
        {**row, "id": f"scitail-{shot}-{number}-{n}"}
        for shot in (4, 8, 16)
        for number in range(2)
        for n, row in enumerate(labelled(2 * shot))
    ]
    folder = data / "leopard" / "scitail"
    worlds.write_jsonl(folder / "train_episodes.jsonl", train)
    rows = [{**row, "id": f"scitail-eval-{n}"} for n, row in enumerate(labelled(60))]
    worlds.write_jsonl(folder / "eval.jsonl", rows)


@pytest.mark.slow  # Its parts are those of the others.
def test_pairs_run_in_miniature(small, tmp_path):
    data, runs = tmp_path / "data", tmp_path / "runs"
    pairs_folder(data)
    config, script = small("pairs"), scripts.load("pairs")
    script.FINE_TUNED_QUERIES = 20
    few_settings(script)
    table = script.pairs(config, data, runs, silent(), num_valid=2)
    rows = worlds.read_jsonl(runs / "pairs.jsonl")
    # Scores between the two thresholds are left out.
    likeness = [row for row in rows if row["domain"].startswith("stsb/")]
    assert len(likeness) == 3 * 8 * 30
    assert {row["label"] for row in rows} == {
        *("same", "different", "answerable", "unanswerable", "entails", "neutral")
    }
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| 4", "| 8", "| 16"]
    assert "over 6 training sets" in table


def education_rows(domains):
    """Pairs of a reference and an answer, with a grade."""
    grades = ("contradictory", "correct", "incorrect")
    pairs = zip(sentences(12), sentences(12, seed=1), strict=True)
    return [
        {"text": a, "text_pair": b, "label": grades[n % 3], "domain": domain}
        for n, (a, b) in enumerate(pairs)
        for domain in domains
    ]


@pytest.mark.slow
def test_education_trains_in_miniature(small, tmp_path):
    config = small("education", shot=1, queries=1, train_shot=1, train_queries=1)
    splits = config.data.split_names
    assert len({d for names in splits.values() for d in names}) == sum(
        len(names) for names in splits.values()
    )
    rows = education_rows([domain for names in splits.values() for domain in names])
    (tmp_path / "data" / "education").mkdir(parents=True)
    worlds.write_jsonl(tmp_path / "data" / "education" / "examples.jsonl", rows)
    workflows.train(config, tmp_path / "run", silent())
    found = results(tmp_path / "run" / "results.json")
    assert found["episodes"] == 3
    assert set(found["intervals"]) == {"before", "after"}


def tagged(types, count=14):
    """Sentences of one entity each; the number of its word is that of its type."""
    for number, kind in enumerate(types):
        for text in worlds.texts([], count, np.random.default_rng(number)):
            yield kind, [worlds.TOPICS[number], *text.split()]


def sentences_with_entities(data):
    slots = data / "span_extraction"
    slots.mkdir(parents=True)
    services = {
        "Buses_1": ("from", "to"),
        "Homes_1": ("area", "visit"),
        "RentalCars_1": ("city", "day"),
        "Events_1": ("place", "date", "name", "kind"),
    }
    rows = [
        {
            "text": " ".join(words),
            "domain": service,
            "spans": [{"slot": slot, "start": 0, "end": len(words[0])}],
        }
        for service, types in services.items()
        for slot, words in tagged(types)
    ]
    worlds.write_jsonl(slots / "dstc8.jsonl", rows)
    posts = data / "wnut17"
    posts.mkdir()
    types = ("person", "location", "group", "corporation", "product", "creative-work")
    rows = [
        {"tokens": words, "tags": [f"B-{kind}", *["O"] * (len(words) - 1)]}
        for kind, words in tagged(types)
    ]
    for part in ("train", "valid", "test"):
        worlds.write_jsonl(posts / f"{part}.jsonl", rows)


@pytest.fixture
def of_entities(small, tmp_path):
    """The experiment's script and its config, on made-up sentences."""
    data = tmp_path / "data"
    sentences_with_entities(data)
    script, config = scripts.load("entities"), small("entities", shot=1, queries=1)
    file = tmp_path / "all.jsonl"
    script.prepare.prepare(data, file)
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, path=str(file)),
        episodes=dataclasses.replace(config.episodes, train_shot=1, train_queries=1),
    )
    return script, config


@pytest.mark.slow
def test_entities_run_in_miniature(of_entities, tmp_path):
    script, config = of_entities
    assert len(script.frozen(config, "nearest", script.counted(config))) == 6
    few_settings(script)
    run_dir = tmp_path / "run"
    script.entities(config, run_dir, silent(), shots=(1,), num_valid=5)
    found = results(run_dir / "shot1.json")
    baselines = {"prototypes", "nearest", "StructShot", "fine-tuned"}
    assert set(found["meta-trained_less"]) == baselines
    assert set(found["report"]) >= {"person", "product", "all"}
    splits = workflows.load_run(script.within(config)).splits
    assert splits.train.label_names == ("location", "person")
    assert splits.test.label_names == ("creative-work", "product")


@pytest.mark.slow
def test_entities_are_detected_in_miniature(of_entities, tmp_path, monkeypatch):
    script, config = of_entities
    run_dir = tmp_path / "run"
    training = script.with_capitals(script.detecting(config))
    workflows.train(training, run_dir, silent())
    found = script.decoding.score_decodings(run_dir, silent(), shots=(1,), num_valid=3)
    assert found == results(run_dir / "decoding.json")
    part = found["shot1"]
    assert set(part["valid"]) == set(script.decoding.DECODINGS)
    assert part["valid"][part["chosen"]] == max(part["valid"].values())
    assert set(part["scores"]) == {part["chosen"], "words"}
    assert len(part["scores"]["words"]["f1"]) == config.evaluation.test_episodes
    monkeypatch.delattr(script.decoding, "score_decodings")  # Not scored again.
    assert script.decoded(training, run_dir, silent()) == found


def test_every_part_of_entities_runs_by_its_name(of_entities, tmp_path, monkeypatch):
    script, config = of_entities
    monkeypatch.setattr(script.common, "data_folder", lambda: tmp_path / "data")
    ran = []
    for name in script.PARTS:
        monkeypatch.setitem(script.PARTS, name, lambda *a, n=name: ran.append((n, *a)))
    script.experiment(config, tmp_path, silent(), model="mpnet", parts=["capitals"])
    [(name, changed, _, _)] = ran
    assert (name, changed.model.name) == ("capitals", "mpnet")
    ran.clear()
    script.experiment(config, tmp_path, silent())
    assert [name for name, *_ in ran] == list(script.PARTS)


def test_named_entities_of_types_that_are_rare_by_themselves_are_left_out(tmp_path):
    script = scripts.load("entities")
    often = [["Ada", "lives"], ["B-PER", "O"]]
    both = [["Ada", "Acme", "x"], ["B-PER", "B-ORG", "O"]]
    long = [["Ada", *"x" * 30], ["B-PER", *"O" * 30]]
    none = [["it", "rains"], ["O", "O"]]
    number = script.prepare.LEAST_SENTENCES
    rows = [
        {"tokens": tokens, "tags": tags, "domain": "any"}
        for tokens, tags in (*[often] * number, both, long, none)
    ]
    worlds.write_jsonl(tmp_path / "ncbi_disease.jsonl", rows)
    found = script.prepare.named(tmp_path)
    assert [row["tokens"] for row in found] == [*[often[0]] * number, none[0]]
    assert {row["domain"] for row in found} == {"bc5cdr"}
    worlds.write_jsonl(tmp_path / "ncbi_disease.jsonl", rows[1:])  # One too few.
    assert [row["tokens"] for row in script.prepare.named(tmp_path)] == [none[0]]


@pytest.mark.slow
def test_triples_run_in_miniature(of_entities, small, tmp_path, capsys, monkeypatch):
    _, config = of_entities
    workflows.train(config, tmp_path / "entities", silent())
    fewrel(tmp_path / "data" / "fewrel")
    config = small("relations", shot=1, queries=1, train_way=2)
    workflows.train(config, tmp_path / "relations", silent())
    script = scripts.load("triples")
    script.RELATIONS = ("P18", "P19")
    runs = [f"--{kind}={tmp_path / kind}" for kind in ("entities", "relations")]
    command = ["run.py", *runs, f"--runs={tmp_path / 'runs'}"]
    monkeypatch.setattr("sys.argv", command)
    assert script.main() == 0
    assert "14 sentences with one known triple each" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*command, f"--entities={tmp_path / 'none'}"])
    (tmp_path / "runs" / "entities").rename(tmp_path / "elsewhere")
    assert script.main() == 2
    assert capsys.readouterr().out.startswith("triples: ")


def questions(data):
    def asked(number):
        [context] = sentences(1, seed=number)
        word = context.split()[0]
        answer = {"text": word, "start": 0, "end": len(word)}
        return {"question": "filler00", "context": context, "answers": [answer]}

    (data / "subjqa").mkdir(parents=True)
    domains = ("electronics", "grocery", "books", "restaurants")
    rows = [
        {**asked(100 * place + n), "domain": domain}
        for place, domain in enumerate(domains)
        for n in range(12)
    ]
    worlds.write_jsonl(data / "subjqa" / "examples.jsonl", rows)
    (data / "xquad").mkdir()
    for place, language in enumerate(("en", "de", "es")):
        rows = [
            {"title": str(n), "context": row["context"], "questions": [row]}
            for n, row in enumerate(map(asked, range(1000 * place, 1000 * place + 60)))
        ]
        worlds.write_jsonl(data / "xquad" / f"{language}.jsonl", rows)


@pytest.mark.slow
def test_questions_run_in_miniature(small, tmp_path):
    data = tmp_path / "data"
    questions(data)
    script = scripts.load("question_answering")
    config = small("question_answering", shot=2, queries=2)
    file = tmp_path / "questions.jsonl"
    script.prepare.prepare(data, file)
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, path=str(file))
    )
    assert len(script.frozen(config)) > 1
    few_settings(script)
    run_dir = tmp_path / "run"
    script.questions(config, run_dir, silent(), num_valid=5)
    found = results(run_dir / "baselines.json")
    assert set(found["meta-trained_less"]) == {"frozen", "fine-tuned"}
    said = script.in_language(config, run_dir, file, "xquad/de", num_test=2)
    assert said.startswith("xquad/de, 2 episodes\nf1 before, after, difference: ")


def modules(config, labels, texts):
    """Texts of every domain and label, `texts(rng)` each."""
    rng = np.random.default_rng(0)
    names = [n for of_split in config.data.split_names.values() for n in of_split]
    return [
        {**texts(rng), "label": label, "domain": name}
        for name in names
        for label in labels
        for _ in range(12)
    ]


def few_validations(script):
    compare = script.common.compare_classifiers
    few = dict.fromkeys(("joint", "fine-tuned", "frozen"), 1)
    return lambda *args, **more: compare(*args, **more, valid_episodes=few)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["education", "medicine"])
def test_answers_and_medical_texts_run_in_miniature(name, small, tmp_path, monkeypatch):
    folder = tmp_path / "data" / {"medicine": "medical"}.get(name, name)
    folder.mkdir(parents=True)
    config, script = small(name, queries=2), scripts.load(name)

    def texts(rng):
        pair = worlds.texts([], 2, rng)
        return dict(zip(("text", "text_pair"), pair, strict=True))

    labels = "correct", "incorrect", "contradictory", "partly", "irrelevant"
    rows = modules(config, labels[: config.episodes.way], texts)
    worlds.write_jsonl(folder / "examples.jsonl", rows)
    monkeypatch.setattr(script.common, "compare_classifiers", few_validations(script))
    script.experiment(config, tmp_path / "runs", silent())
    found = results(tmp_path / "runs" / "classifiers.json")
    baselines = {"joint", "fine-tuned", "frozen"}
    assert set(found["meta-trained_less"]) == baselines
    assert set(found["intervals"]) == {"meta-trained", *baselines}
    scores = set(found["intervals"]["joint"])
    assert ("weighted F1" in scores) == (name == "education")
    assert (tmp_path / "runs" / "joint-model" / "model.safetensors").exists()


def test_labels_have_the_shares_of_all_answers():
    script = scripts.load("education")
    weights = script.share_weights(["a", "b", "b", "c"], {"a": 6, "b": 3, "c": 1})
    assert weights == [6, 1.5, 1.5, 1]
