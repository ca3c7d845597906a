"""Few-shot topics of news, after meta-training on masked words."""

from pathlib import Path

import masked
import methods
import terms
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, workflows


def topics(
    config: config_lib.Config,
    runs: Path,
    news: methods.News,
    console: Console,
    sizes: methods.Sizes,
) -> None:
    """Meta-trains without labels, and compares all methods except fine-tuning."""
    valid, test = terms.by_terms(news.valid), terms.by_terms(news.test)
    console.print(
        f"{len(test)} of {len(news.test)} test sentences, {len(valid)} of"
        f" {len(news.valid)} to choose by, of {len(test.label_names)} topics"
    )
    file = runs / "topics.jsonl"
    write_rows(file, config, news.valid, valid, test)
    config = common.on_data(config, file)
    run_dir, kept = runs / "topics", runs / "scores" / "topics"
    workflows.train(config, run_dir, console)
    picked = {
        name: methods.pick(
            config,
            kept / f"{name}, choice.json",
            valid,
            methods.frozen(config, head),
            sizes,
            console,
        )
        for head, name in methods.NAMES.items()
    }
    results = methods.compared(config, run_dir, kept, test, picked, sizes)
    console.print(methods.table(results), markup=False, soft_wrap=True)
    methods.write(runs / "topics.json", results)


def write_rows(
    file: Path,
    config: config_lib.Config,
    unlabelled: data.Examples,
    valid: data.Examples,
    test: data.Examples,
) -> None:
    """Writes the sentences: masked words to train on, topics for validation and test.

    Words are masked only in validation sentences without a topic, so that no sentence
    of the validation topics is trained on.
    """
    others = [text for text in map(str, unlabelled.texts) if not terms.topic_of(text)]
    requested = config.episodes.training()
    least = largest(requested.shot) + largest(requested.queries)
    rows = [("words", text, word) for text, word in masked.words_of(others, least)]
    for domain, examples in (("topics-valid", valid), ("topics-test", test)):
        pairs = zip(examples.texts, examples.labels, strict=True)
        rows += [(domain, str(text), label) for text, [label] in pairs]
    common.write_jsonl(
        file,
        (
            {"text": text, "label": label, "domain": domain}
            for domain, text, label in rows
        ),
    )


def largest(count: config_lib.Count) -> int:
    """Returns the largest number that a setting of episodes allows."""
    return count if isinstance(count, int) else count[1]
