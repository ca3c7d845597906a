"""Tables and pages of comparisons of a pretrained decoder."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common._decoder_methods import BASELINES
from experiments.common._decoder_samples import Record, good_and_bad
from experiments.common._tables import markdown_table

BEGIN, END = "<!-- smollm2: begin -->", "<!-- smollm2: end -->"
# The loss repeats the log-likelihood; few texts dominate the mean of a perplexity.
_LEFT_OUT = ("loss", "perplexity")
# Digits of scores that are not percentages.
_DIGITS = {"accuracy": 3, "log_likelihood": 3}


def comparison_table(results: dict[str, Any]) -> str:
    """Formats the scores of each method, and what meta-learning gains on each.

    Args:
      results: of `compare_decoders`.

    Examples:
      >>> one = {"mean": 0.5, "half_width": 0.1}
      >>> names = ("metaicl", *BASELINES)
      >>> results = {
      ...     "meta": "metaicl",
      ...     "means": {name: {"chrf": one} for name in names},
      ...     "differences": {name: {"chrf": one} for name in BASELINES},
      ... }
      >>> print(comparison_table(results).splitlines()[3])
      | joint, fine-tuned | 0.50 ± 0.10 | +0.50 ± 0.10 |
    """
    meta = results["meta"]
    metrics = [name for name in results["means"][meta] if name not in _LEFT_OUT]
    header = ["method"]
    for name in metrics:
        header += [name, f"{meta} less it"]
    rows = []
    for method in (meta, *BASELINES):
        row = [method]
        for name in metrics:
            row.append(_interval(results["means"][method][name], name))
            if method == meta:
                row.append("")
            else:
                row.append(_interval(results["differences"][method][name], name, "+"))
        rows.append(row)
    return markdown_table(header, rows)


def further_table(further: dict[str, dict[str, float]]) -> str:
    """Formats further scores of each method.

    Examples:
      >>> print(further_table({"metaicl": {"valid": 3, "judged": 71.25}}))
      | method | valid | judged |
      | --- | --- | --- |
      | metaicl | 3 | 71.2 |
    """
    names = list(next(iter(further.values())))
    rows = [
        [method, *(f"{of[n]:.1f}" if of[n] % 1 else f"{of[n]:.0f}" for n in names)]
        for method, of in further.items()
    ]
    return markdown_table(["method", *names], rows)


def overview_table(results: Mapping[str, dict[str, Any]]) -> str:
    """Formats the first score of several comparisons, a row each.

    Args:
      results: results of `compare_decoders`, by the name of the experiment.
    """
    header = ["experiment", "score", "meta-learned", *(f"less {m}" for m in BASELINES)]
    rows = []
    for name, of in results.items():
        means = of["means"][of["meta"]]
        score = next(each for each in means if each not in _LEFT_OUT)
        row = [f"[{name}](../{name}/)", score, _interval(means[score], score)]
        for method in BASELINES:
            row.append(_interval(of["differences"][method][score], score, "+"))
        rows.append(row)
    return markdown_table(header, rows)


def published(readme: str, results: dict[str, Any]) -> str:
    """Returns a README with the table of the results between its marks.

    Args:
      readme: the text; without marks the table comes at its end.
      results: of `compare_decoders`.
    """
    tables = [comparison_table(results)]
    if "further" in results:
        tables.append(further_table(results["further"]))
    return between_marks(readme, tables)


def between_marks(readme: str, tables: Sequence[str]) -> str:
    """Returns a README with the tables between its marks, or at its end."""
    block = "\n\n".join([BEGIN, *tables, END])
    if BEGIN not in readme or END not in readme:
        return f"{readme}\n{block}\n" if readme else block
    before, rest = readme.split(BEGIN, 1)
    return before + block + rest.split(END, 1)[1]


def samples_page(name: str, records: Sequence[Record], method: str) -> str:
    """Formats twenty samples, those of highest and of lowest chrF.

    Args:
      name: name of the experiment.
      records: records of `sample_records`.
      method: method by whose texts samples are selected.
    """
    good, bad = good_and_bad(records, method)
    lines = [
        f"# Samples of {name}",
        "",
        f"Of {len(records)} texts that `{method}` generated in test episodes, those of"
        " the highest and of the lowest chrF, beside what the baselines generated.",
    ]
    for title, samples in (("Good", good), ("Bad", bad)):
        lines += ["", f"## {title}"]
        for number, record in enumerate(samples, 1):
            lines += ["", f"{number}. {record['domain']}", "", "```text"]
            lines += [f"input: {_line(record['text'])}"]
            lines += [f"reference: {_line(record['target'])}"]
            lines += [f"{m}: {_line(t)}" for m, t in record["generated"].items()]
            lines += ["```"]
    return "\n".join(lines) + "\n"


def _interval(interval: dict[str, float], name: str, sign: str = "") -> str:
    digits = _DIGITS.get(name, 2)
    mean, half_width = interval["mean"], interval["half_width"]
    return f"{mean:{sign}.{digits}f} ± {half_width:.{digits}f}"


def _line(text: Any) -> str:
    parts = [text] if isinstance(text, str) else text
    return " / ".join(" ".join(str(part).split()) for part in parts)
