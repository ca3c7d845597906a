"""Pairs of texts that are short in tokens."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from metaflax import workflows
from metaflax.models import pretrained


def short_pairs(
    rows: Sequence[dict[str, Any]],
    most_tokens: int,
    *,
    least: int = 12,
    model: str = "smollm2",
) -> list[dict[str, Any]]:
    """Keeps the rows whose input and target are short, of domains with enough of them.

    Args:
      rows: with `text` (a text, or turns), `target` of one line, and `domain`.
      most_tokens: tokens of both together, at most.
      least: rows that a domain has at least.
      model: name of the model whose tokens count.

    Returns:
      The rows that are kept, with these columns alone.
    """
    tokenizer = pretrained.tokenizer(workflows.locate_model(model))
    joined = [
        f"{row['text'] if isinstance(row['text'], str) else ' '.join(row['text'])}"
        f" {row['target']}"
        for row in rows
    ]
    tokens = tokenizer(joined, add_special_tokens=False)["input_ids"]
    fitting = [
        {name: row[name] for name in ("text", "target", "domain")}
        for row, ids in zip(rows, tokens, strict=True)
        if len(ids) <= most_tokens and row["target"] and "\n" not in row["target"]
    ]
    counts = Counter(row["domain"] for row in fitting)
    return [row for row in fitting if counts[row["domain"]] >= least]
