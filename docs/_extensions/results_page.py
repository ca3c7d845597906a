"""The page of results: tables of `results.json`, and those of READMEs."""

import functools
import json
import re
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

# Licences of data sets, and the data sets of each experiment.
LICENCES = {
    "amazon_sentiment": "Amazon reviews: none stated, for research",
    "chatterbot_corpus": "chatterbot-corpus: BSD 3-clause",
    "clinc150": "CLINC150: CC BY 3.0",
    "code_generation": "short code: mixed, by language",
    "commonsense": "common sense: mixed, by source",
    "dialogsum": "DialogSum: CC BY-NC-SA 4.0, not for commercial use",
    "education": "student answers: CC BY-SA 3.0",
    "fewrel": "FewRel: MIT",
    "financial_phrasebank": "Financial PhraseBank: CC BY-NC-SA 3.0, not for"
    " commercial use",
    "leopard": "LEOPARD: none stated, for research",
    "medical": "medical texts: mixed",
    "movielens_small": "MovieLens: GroupLens research terms",
    "ner_extra": "named entities: mixed, by domain",
    "nli": "entailment: mixed, for research, not for commercial use",
    "scitldr": "SciTLDR: Apache-2.0",
    "sgd_dialogue": "Schema-Guided Dialogue: CC BY-SA 4.0",
    "span_extraction": "span extraction: CC BY 4.0",
    "stsb": "STS benchmark: mixed, mostly CC BY-SA",
    "subjqa": "SubjQA: for research",
    "tatoeba_mt": "Tatoeba: CC BY 2.0 FR",
    "unlabelled_sentences": "Wikipedia: CC BY-SA 3.0 and 4.0",
    "vaderSentiment": "vaderSentiment: MIT",
    "wnut17": "WNUT 17: CC BY 4.0",
    "xquad": "XQuAD: CC BY-SA 4.0",
}
USES = {
    "algorithms": ("clinc150",),
    "augmentation": ("clinc150",),
    "benchmark": ("amazon_sentiment", "clinc150"),
    "code": ("code_generation",),
    "common": (
        *("amazon_sentiment", "code_generation", "commonsense", "dialogsum"),
        *("scitldr", "sgd_dialogue", "tatoeba_mt", "unlabelled_sentences"),
    ),
    "commonsense": ("commonsense",),
    "complaints": ("amazon_sentiment",),
    "controllable": ("amazon_sentiment",),
    "customer_service": ("chatterbot_corpus", "clinc150", "sgd_dialogue"),
    "dialogue": ("chatterbot_corpus", "sgd_dialogue"),
    "education": ("education",),
    "entities": ("ner_extra", "span_extraction", "wnut17"),
    "financial_news": ("financial_phrasebank",),
    "generation": ("unlabelled_sentences",),
    "genres": ("movielens_small",),
    "heads": ("clinc150", "financial_phrasebank", "medical"),
    "intents": ("clinc150",),
    "language_modelling": ("unlabelled_sentences",),
    "leopard": (
        *("amazon_sentiment", "clinc150", "education", "leopard", "ner_extra"),
        *("nli", "stsb", "unlabelled_sentences", "vaderSentiment"),
    ),
    "likeness": ("stsb",),
    "medicine": ("medical",),
    "pairs": ("leopard", "stsb", "subjqa"),
    "question_answering": ("subjqa", "xquad"),
    "quickstart": ("vaderSentiment",),
    "recommendation": ("movielens_small",),
    "rejection": ("clinc150", "medical"),
    "relations": ("fewrel",),
    "search": ("clinc150",),
    "serving": ("clinc150",),
    "smlmt": ("clinc150", "fewrel", "leopard", "stsb", "unlabelled_sentences"),
    "suggest": ("clinc150", "financial_phrasebank", "medical"),
    "summarization": ("dialogsum", "scitldr", "subjqa", "unlabelled_sentences"),
    "translation": ("tatoeba_mt",),
    "triples": ("fewrel",),
}
MADE_DATA = "made by the experiment, or part of scikit-learn"


def load(name, file="results.json"):
    """Loads the results of an experiment."""
    return json.loads((EXPERIMENTS / name / file).read_text())


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def memory_table():
    """Temporary memory (MiB) by estimator and number of inner steps."""
    made = load("memory")["rows"]
    steps = sorted({row["num_steps"] for row in made})
    names = list(dict.fromkeys(row["estimator"] for row in made))
    size = {(row["estimator"], row["num_steps"]): row["bytes"] for row in made}
    rows = [[n, *(f"{size[n, k] / 2**20:.0f}" for k in steps)] for n in names]
    return _table(["MiB", *(f"K = {k}" for k in steps)], rows)


def noisy_labels_table():
    """Mean accuracy (%) over draws of data, noise and start."""
    accuracies = load("noisy_labels")["accuracies"]
    rows = [
        [name, f"{100 * sum(values) / len(values):.1f}"]
        for name, values in accuracies.items()
    ]
    return _table(["trained on", "accuracy (%)"], rows)


def sinusoid_table():
    """Squared error after one inner step."""
    rows = [
        [e["method"], str(e["shot"]), f"{e['mean']:.2f} ± {e['half_width']:.2f}"]
        for e in load("sinusoid")["errors"]
        if e["inner_steps"] == 1
    ]
    return _table(["method", "points", "squared error, 1 step"], rows)


def rejection_table():
    """Rejected texts (%) at each stated rate."""

    def percent(interval):
        if interval is None:
            return ""
        return f"{100 * interval['mean']:.1f} ± {100 * interval['half_width']:.1f}"

    kinds = ("false rejections", "classes held out", "out of scope")
    names = {"clinc150": "CLINC150"}
    rows = [
        [
            names.get(data, data.replace("medical ", "medical, ")),
            f"{100 * float(rate):.0f} %",
        ]
        + [percent(rejected.get(kind)) for kind in kinds]
        for data, result in load("rejection").items()
        for rate, rejected in result["rejection"].items()
    ]
    return _table(["data", "stated rate", *kinds], rows)


def generation_table():
    """Tokens per second of generation, compared with torch on the same weights."""
    rows = [
        [
            row["network"],
            row["search"],
            f"{row['tokens_per_second']['metaflax']:,.0f}",
            f"{row['tokens_per_second']['torch']:,.0f}",
            f"{row['ratio']:.2f}",
        ]
        for row in load("generation")["speed"]
    ]
    header = ["network", "search", "tokens/s", "tokens/s, torch", "ratio"]
    return _table(header, rows)


def recommendation_table():
    """NDCG@10 over all films rated later, by number of ratings, and RMSE."""
    results = load("recommendation")["all folds"]["all later films"]
    by_rating = [results[ratings]["scores"] for ratings in ("5", "10", "20")]
    rows = []
    for name in sorted(by_rating[0], key=lambda n: by_rating[2][n]["NDCG@10"]):
        ndcg = [scores[name]["NDCG@10"] for scores in by_rating]
        row = [name, *(f"{mean:.3f} ± {width:.3f}" for mean, width in ndcg)]
        rmse = [scores[name].get("RMSE") for scores in by_rating]
        rows.append(row + [f"{value[0]:.3f}" if value else "" for value in rmse])
    header = ["", "NDCG@10, 5 ratings", "10", "20", "RMSE: 5", "10", "20"]
    return _table(header, rows)


def serving_table():
    """Requests per second and latency (ms) of services under load."""
    kinds = ("predict", "adapt")
    rows = []
    for name, result in load("serving").items():
        times = [result["milliseconds"][kind] for kind in kinds]
        row = [name, f"{result['answers a second']:.1f}"]
        row += [f"{ms['p50']:,.0f}, {ms['p99']:,.0f}" for ms in times]
        rows.append([*row, f"{result['memory']['MiB at the end']:,.0f}"])
    header = ["service", "answers a second"]
    header += [f"{kind}: p50, p99 (ms)" for kind in kinds] + ["MiB"]
    return _table(header, rows)


def suggest_table():
    """Accuracy (%) after batches of labels, with class means."""
    shown = (0, 2, 4, 8)
    rows = []
    for data, result in load("suggest")["prototypes"].items():
        for strategy, row in result["strategies"].items():
            gain = row["over random"]
            over = f"{100 * gain['mean']:+.1f} ± {100 * gain['half_width']:.1f}"
            accuracies = [f"{100 * row['accuracy'][i]:.1f}" for i in shown]
            over = "" if strategy == "random" else over
            rows.append([data, strategy, *accuracies, over])
    labels = ["one a class", "+20 labels", "+40 labels", "+80 labels"]
    return _table(["data", "strategy", *labels, "over random"], rows)


def baselines_table(name, scores):
    """Scores (%) of meta-training and baselines, and the gain over each baseline."""

    def cell(intervals, score, sign=""):
        mean, half_width = (100 * intervals[score][k] for k in ("mean", "half_width"))
        return f"{mean:{sign}.1f} ± {half_width:.1f}"

    results, ours = load(name), "meta-trained"
    means, less = results["intervals"], results[f"{ours}_less"]
    rows = []
    for method in (ours, *less):
        row = [method]
        for score in scores:
            gain = cell(less[method], score, "+") if method in less else ""
            row += [cell(means[method], score), gain]
        rows.append(row)
    header = [part for score in scores for part in (score, f"{ours} less it")]
    return _table(["method", *header], rows)


def heads_table():
    """Best head by number of texts, and the cost of each head."""
    return (EXPERIMENTS / "heads" / "recommendation.md").read_text()


FROM_JSON = {
    "education": functools.partial(
        baselines_table, "education", ("accuracy", "weighted F1", "macro F1")
    ),
    "generation": generation_table,
    "heads": heads_table,
    "medicine": functools.partial(baselines_table, "medicine", ("accuracy",)),
    "memory": memory_table,
    "noisy_labels": noisy_labels_table,
    "recommendation": recommendation_table,
    "rejection": rejection_table,
    "serving": serving_table,
    "sinusoid": sinusoid_table,
    "suggest": suggest_table,
}


def tables_of_readme(name):
    """Returns the tables of an experiment's README that have intervals."""
    text = (EXPERIMENTS / name / "README.md").read_text()
    tables = re.findall(r"^\|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    # Relative links of a README do not work on this page: only their text is kept.
    return [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", t) for t in tables if "±" in t]


def page():
    """Returns the Markdown of the page."""
    lines = [
        "# Results",
        "",
        "This page is made when the documentation is built. Where an experiment keeps"
        " its `results.json`, the table is computed from it; the other tables are those"
        " of the experiment's page, which has commands, settings and discussion. Each"
        " score is a mean with a 95 % interval over a fixed list of episodes, and"
        " differences are paired on that list.",
        "",
    ]
    for folder in sorted(p.parent for p in EXPERIMENTS.glob("*/README.md")):
        name = folder.name
        tables = [FROM_JSON[name]()] if name in FROM_JSON else tables_of_readme(name)
        if not tables:
            continue
        title = (folder / "README.md").read_text().splitlines()[0].removeprefix("# ")
        lines += [f"## {title}", ""]
        lines += [f"[Experiment](experiments/{name}/index.md). Data:"]
        licences = "; ".join(LICENCES[data] for data in USES.get(name, ()))
        lines[-1] += f" {licences or MADE_DATA}."
        for table in tables:
            lines += ["", table.strip()]
        lines.append("")
    return "\n".join(lines)
