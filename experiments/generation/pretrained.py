"""Greedy texts of a pretrained decoder, beside torch's `generate`; see README.md.

Usage:
  python experiments/generation/pretrained.py check --texts TEXTS.jsonl --prompts 50
  python experiments/generation/pretrained.py time --texts TEXTS.jsonl --program torch
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.
sys.path.append(str(Path(__file__).parents[1] / "benchmark"))

import serving

from metaflax import models, workflows

GenerateFn = Callable[[np.ndarray, np.ndarray], np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("check", "time"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--texts", type=Path, required=True, help="JSONL with texts")
    parser.add_argument("--program", choices=PROGRAMS, default="metaflax")
    parser.add_argument("--prompts", type=int, default=50, help="texts to compare")
    parser.add_argument("--batch", type=int, default=8, help="prompts of a batch")
    parser.add_argument("--length", type=int, default=32, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=32, help="new tokens of a text")
    parser.add_argument("--serve", action="store_true", help="take steps on request")
    args = parser.parse_args()
    directory = Path(workflows.locate_model(args.model))
    if args.what == "check":
        return check(directory, args)
    generate = PROGRAMS[args.program](directory, args.new, stops=False)
    ids, mask = prompts_of(directory, args.texts, args.batch, args.length, full=True)
    generated = generate(ids, mask)  # Compiles.
    # Equal texts have equal sums: both programs must print the same.
    info = {"loss": float(generated.sum()), "gnorm": generated.size}

    def step() -> None:
        generate(ids, mask)

    if args.serve:
        serving.serve(step, info)
        return 0
    rows = [serving.timed(step) for _ in range(3)]
    seconds = min(row["dt"] for row in rows)
    print(json.dumps({**info, "tokens_per_second": generated.size / seconds}))
    return 0


def check(directory: Path, args: argparse.Namespace) -> int:
    """Counts the prompts to which both programs give the same text."""
    ids, mask = prompts_of(directory, args.texts, args.prompts, args.length)
    texts = {}
    for name, make in PROGRAMS.items():
        generate = make(directory, args.new, stops=True)
        starts = range(0, args.prompts, args.batch)
        batches = [slice(start, start + args.batch) for start in starts]
        texts[name] = np.concatenate([generate(ids[b], mask[b]) for b in batches])
    same = np.all(texts["metaflax"] == texts["torch"], axis=1)
    for number in np.flatnonzero(~same):
        print(f"prompt {number}:", *(list(texts[name][number]) for name in texts))
    print(f"{same.sum()} of {len(same)} texts of {args.new} tokens are equal")
    return 0 if same.all() else 1


def prompts_of(
    directory: Path, texts: Path, number: int, length: int, *, full: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and mask `[number, length]`, padded on the left.

    Args:
      directory: directory of the model.
      texts: JSONL with a field `text`.
      number: number of prompts.
      length: maximum number of tokens of a prompt.
      full: whether to take only texts with at least `length` tokens.
    """
    tokenizer = models.pretrained.tokenizer(directory)
    ids = np.zeros((number, length), np.int32)
    mask, row = np.zeros_like(ids), 0
    with texts.open(encoding="utf-8") as lines:
        for line in lines:
            tokens = tokenizer(json.loads(line)["text"])["input_ids"][:length]
            if full and len(tokens) < length:
                continue
            ids[row, length - len(tokens) :] = tokens
            mask[row, length - len(tokens) :] = 1
            row += 1
            if row == number:
                return ids, mask
    raise SystemExit(f"{texts} has {row} texts that fit, and {number} are needed")


def in_metaflax(directory: Path, num_new: int, *, stops: bool) -> GenerateFn:
    """Builds greedy decoding by this package."""
    pretrained = models.load(directory)
    config = pretrained.config
    model = pretrained.family.language_model(config)
    end = (config.end, *config.further_ends) if stops else None
    generate = models.greedy(model, max_new=num_new, end=end, pad=0)

    def call(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        prompts = models.Tokens(ids, None, mask)
        return np.asarray(generate(pretrained.params, prompts).ids)

    return call


def in_torch(directory: Path, num_new: int, *, stops: bool) -> GenerateFn:
    """Builds greedy decoding by Hugging Face's `generate`."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32
    ).eval()
    settings: dict[str, Any] = {"max_new_tokens": num_new, "do_sample": False}
    ends = model.config.eos_token_id if stops else None
    model.generation_config = transformers.GenerationConfig(
        **settings, eos_token_id=ends, pad_token_id=0
    )

    def call(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = torch.tensor(ids).long()
        with torch.inference_mode():
            whole = model.generate(inputs, attention_mask=torch.tensor(mask).long())
        new = whole[:, ids.shape[1] :].numpy()
        return np.pad(new, ((0, 0), (0, num_new - new.shape[1])))

    return call


PROGRAMS = {"metaflax": in_metaflax, "torch": in_torch}

if __name__ == "__main__":
    sys.exit(main())
