"""Speed and memory of generation, compared with torch's `generate`; see README.md.

Usage: python experiments/generation/speed.py [--rounds 9] [--out DIR]
"""

import argparse
import dataclasses
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import transformers

from metaflax import models, tree

HERE = Path(__file__).parent
MIB = 2**20
START, PAD = 1, 0


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of the networks, prompts and measurements.

    Attributes:
      sizes: numbers of layers and features of each network.
      texts: number of prompts of a batch.
      prompt: number of tokens of a prompt, or of a source.
      new: number of tokens generated for each prompt.
      vocabulary: vocabulary size of all networks.
      beams: number of beams of beam search.
      rounds: number of times that each program is timed.
      lengths: numbers of new tokens for which memory is measured.
    """

    sizes: tuple[tuple[int, int], ...] = ((4, 256), (6, 384))
    texts: int = 8
    prompt: int = 32
    new: int = 64
    vocabulary: int = 50257
    beams: int = 4
    rounds: int = 9
    lengths: tuple[int, ...] = (32, 64, 128, 256)

    @property
    def room(self) -> int:
        """Number of positions of the networks."""
        return self.prompt + max(self.new, *self.lengths) + 1


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with random weights, in metaflax and in torch.

    Attributes:
      name: name of the network.
      model: network of metaflax.
      params: parameters of `model`.
      theirs: network of torch with the same weights.
      cached: bytes of the cache for each new token.
    """

    name: str
    model: models.LanguageModel
    params: Any
    theirs: Any
    cached: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("rounds", "texts", "prompt", "new", "vocabulary", "beams"):
        default = getattr(Setting(), name)
        help = "default: %(default)s"
        parser.add_argument(f"--{name}", type=int, default=default, help=help)
    parser.add_argument("--out", type=Path, default=HERE, help="default: %(default)s")
    args = vars(parser.parse_args())
    out = args.pop("out")
    setting = Setting(**args)
    transformers.utils.logging.disable_progress_bar()

    rows = {"speed": [], "memory": []}
    for case in cases(setting):
        rows["speed"] += speed(setting, case, say=print)
        rows["memory"] += memory(setting, case)
    out.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    results = {"setting": dataclasses.asdict(setting), "cores": cores, **rows}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{speed_table(rows['speed'])}\n\n{memory_table(rows['memory'])}")
    return 0


def cases(setting: Setting):
    """Yields a GPT-2 and an encoder-decoder of each size."""
    for layers, width in setting.sizes:
        heads = max(1, width // 64)
        gpt = models.GPTConfig(
            vocab_size=setting.vocabulary,
            n_positions=setting.room,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            bos_token_id=None,
            eos_token_id=None,
        )
        bert = models.BertConfig(
            vocab_size=setting.vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            max_position_embeddings=setting.room,
        )
        pair = models.Seq2SeqConfig(bert, bert, START, None, PAD)
        cached = 2 * 4 * layers * width  # Keys and values, in float32.
        for name, model, config, save in (
            ("GPT-2", models.gpt(gpt), gpt, models.save),
            ("encoder-decoder", models.seq2seq(pair), pair, models.save),
        ):
            params = random_params(model)
            theirs = in_torch(config, params, save)
            yield Case(f"{name}, {layers} x {width}", model, params, theirs, cached)


def random_params(model: models.LanguageModel) -> Any:
    """Random weights, large enough that the generated words vary."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        start = float(tree.path_name(path).endswith("norm/scale"))
        drawn = start + 0.1 * rng.standard_normal(leaf.shape, np.float32)
        return jax.numpy.asarray(drawn, np.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, shapes)


def in_torch(config: Any, params: Any, save: Callable[..., Any]) -> Any:
    """Loads Hugging Face's network with these weights, by way of a file."""
    kind = (
        transformers.AutoModelForCausalLM
        if isinstance(config, models.GPTConfig)
        else transformers.AutoModelForSeq2SeqLM
    )
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words"
        words.mkdir()
        (words / "tokenizer.json").write_text("{}")
        save(Path(folder) / "model", config, params, tokenizer_from=words)
        return kind.from_pretrained(Path(folder) / "model").eval()


def prompts_of(setting: Setting) -> models.Tokens:
    """Random prompts without padding."""
    shape = setting.texts, setting.prompt
    ids = np.random.default_rng(1).integers(2, setting.vocabulary, shape, np.int32)
    return models.Tokens(ids, None, np.ones(shape, np.int32))


def searches(setting: Setting) -> dict[str, tuple[Callable[..., Any], dict[str, int]]]:
    """Search methods: the factory in metaflax and the options of torch, by name."""
    beams = {"num_beams": setting.beams}
    return {
        "greedy": (models.greedy, {}),
        f"{setting.beams} beams": (
            functools.partial(models.beam_search, **beams),
            beams,
        ),
    }


def speed(
    setting: Setting, case: Case, say: Callable[[str], object] = lambda line: None
) -> list[dict]:
    """Measures each search method: seconds of a batch, and whether texts agree."""
    prompts, rows = prompts_of(setting), []
    for search, (make, options) in searches(setting).items():
        generate = make(case.model, max_new=setting.new, pad=PAD)
        runs = {
            "metaflax": lambda g=generate: np.asarray(g(case.params, prompts).ids),
            "torch": functools.partial(
                torch_ids, setting, case.theirs, prompts, options
            ),
        }
        outputs = {name: run() for name, run in runs.items()}  # Compiles metaflax.
        seconds = {name: [] for name in runs}
        begun = busy_seconds(), time.process_time(), time.perf_counter()
        for _ in range(setting.rounds):  # Alternating, as a busy machine slows both.
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
        ended = busy_seconds(), time.process_time(), time.perf_counter()
        busy, process, wall = (e - b for b, e in zip(begun, ended, strict=True))
        median = {name: statistics.median(taken) for name, taken in seconds.items()}
        same = np.mean(np.all(outputs["metaflax"] == outputs["torch"], axis=1))
        rows.append(
            {
                "network": case.name,
                "search": search,
                "seconds": seconds,
                "tokens_per_second": {
                    name: setting.texts * setting.new / taken
                    for name, taken in median.items()
                },
                "ratio": median["torch"] / median["metaflax"],
                "same_texts": float(same),
                "others": max(0.0, busy - process) / wall,
            }
        )
        say(
            f"{case.name}, {search}: {rows[-1]['ratio']:.2f} times torch's speed, while"
            f" other programs kept {rows[-1]['others']:.2f} cores busy"
        )
    return rows


def busy_seconds() -> float:
    """CPU-seconds that all programs have used; 0 where that is unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    spent = [int(x) for x in stat.read_text().splitlines()[0].split()[1:]]
    return (sum(spent) - spent[3] - spent[4]) / os.sysconf("SC_CLK_TCK")


def torch_ids(
    setting: Setting, theirs: Any, prompts: models.Tokens, options: dict[str, int]
) -> np.ndarray:
    """Generates the ids of new tokens by torch."""
    inputs = torch.tensor(prompts.ids).long()
    with torch.inference_mode():
        ids = theirs.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            max_new_tokens=setting.new,
            eos_token_id=None,
            pad_token_id=PAD,
            **options,
        )
    return ids[:, -setting.new :].numpy()


def memory(setting: Setting, case: Case) -> list[dict]:
    """Measures XLA's temporary memory, and the cache's, by number of new tokens."""
    prompts, rows = prompts_of(setting), []
    for new in setting.lengths:
        generate = models.greedy(case.model, max_new=new, pad=PAD)
        compiled = jax.jit(generate).lower(case.params, prompts).compile()
        analysis = compiled.memory_analysis()
        rows.append(
            {
                "network": case.name,
                "new": new,
                "bytes": analysis.temp_size_in_bytes + analysis.output_size_in_bytes,
                "cache": setting.texts * new * case.cached,
            }
        )
    return rows


def speed_table(rows: Sequence[dict]) -> str:
    lines = [
        "| network | search | metaflax, tokens/s | torch, tokens/s | ratio | same |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        ours, theirs = (row["tokens_per_second"][n] for n in ("metaflax", "torch"))
        lines.append(
            f"| {row['network']} | {row['search']} | {ours:,.0f} | {theirs:,.0f} |"
            f" {row['ratio']:.2f} | {row['same_texts']:.0%} |"
        )
    return "\n".join(lines)


def memory_table(rows: Sequence[dict]) -> str:
    """Formats memory by number of new tokens, and its growth over the cache's."""
    news = sorted({row["new"] for row in rows})
    head = " | ".join(f"T = {new}" for new in news)
    lines = [
        f"| MiB | {head} | growth / cache's |",
        "| --- |" + " ---: |" * (len(news) + 1),
    ]
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == name]
        sizes = " | ".join(f"{row['bytes'] / MIB:.1f}" for row in mine)
        lines.append(f"| {name} | {sizes} | {growth(mine):.2f} |")
    return "\n".join(lines)


def growth(rows: Sequence[dict]) -> float:
    """Growth of memory, in bytes for each byte of the cache, from first to last."""
    first, last = rows[0], rows[-1]
    return (last["bytes"] - first["bytes"]) / (last["cache"] - first["cache"])


if __name__ == "__main__":
    sys.exit(main())
