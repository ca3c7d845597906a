"""Meta-trains on questions, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/question_answering/run.py [--runs DIR]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, tasks, workflows

LANGUAGES = ("xquad/de", "xquad/es")


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains; tests on an unseen domain of reviews and two unseen languages."""
    file = runs / "questions.jsonl"
    prepare.prepare(common.data_folder(), file)
    config = common.on_data(config, file)
    questions(config, runs / "run", console)
    for language in LANGUAGES:
        console.print(in_language(config, runs / "run", file, language))


def questions(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    num_valid: int = 50,
) -> None:
    """Meta-trains, and meta-tests beside baselines."""
    workflows.train(config, run_dir, console)
    common.against_baselines(
        run_dir,
        {"frozen": frozen(config), "fine-tuned": fine_tuned(config)},
        console,
        valid_episodes={"frozen": num_valid, "fine-tuned": num_valid // 5},
    )


def frozen(config: config_lib.Config) -> list[common.Setting]:
    """Settings of training an output layer alone, with three learning rates."""
    return common.fine_tuned_settings(
        config,
        head=("span",),
        adapts=(("head",),),
        standardize=(False, True),
        inner_learning_rate=(1e-3, 1e-2, 1e-1),
        num_steps=(20,),
    )


def fine_tuned(config: config_lib.Config) -> list[common.Setting]:
    """Settings of fine-tuning all but the word embeddings, with two learning rates."""
    return common.fine_tuned_settings(
        config, head=("span",), inner_learning_rate=(3e-4, 1e-3)
    )


def in_language(
    config: config_lib.Config,
    run_dir: Path,
    file: Path,
    language: str,
    *,
    num_test: int = 200,
) -> str:
    """Formats scores before and after meta-training on questions in one language."""
    examples = data.read(file, task=tasks.question_answering(), domain="domain")
    rows = [n for n, domain in enumerate(examples.domains or ()) if domain == language]
    selected = examples.select(rows)
    sizes = config.episodes
    sampler = data.QuestionSampler(selected, sizes.shot, sizes.queries)
    episodes = data.fixed_list(sampler, config.evaluation.test_seed, num_test)
    fixed = data.FixedEpisodes(selected, episodes)
    before, after = (
        common.score_episodes(run_dir, fixed, setting).metrics
        for setting in (common.Setting(config.model, config.algorithm), None)
    )
    lines = [f"{language}, {num_test} episodes"]
    for name in ("f1", "exact_match"):
        means = [evaluation.mean_interval(scores[name]) for scores in (before, after)]
        means.append(evaluation.paired_interval(before[name], after[name]))
        shown = (common.percent(mean, digits=1) for mean in means)
        lines.append(f"{name} before, after, difference: " + ", ".join(shown))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
