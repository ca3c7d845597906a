"""Tokenizers out of the metadata of files of the format GGUF."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens that no merge may split; the former are special."""

# Rules that split texts before merging, as in llama.cpp.
_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LAST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    _ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + _LAST
)
_QWEN2 = (
    _ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + _LAST
)
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _LAST
)


class _Rule(NamedTuple):
    """Rule by which a byte-level tokenizer splits texts.

    Attributes:
      split: regular expression of its pieces; None for that of GPT-2.
      digits: whether every digit is a piece.
      composed: whether letters and their accents become one first.
      whole: whether a piece that is a word stays whole, whatever the merges.
      begins: whether texts begin with a token, where the file does not say.
    """

    split: str | None = None
    digits: bool = False
    composed: bool = False
    whole: bool = False
    begins: bool = False


_RULES = {
    "default": _Rule(),
    "gpt-2": _Rule(),
    "smollm": _Rule(digits=True),
    "llama-bpe": _Rule(_LLAMA3, whole=True, begins=True),
    "qwen2": _Rule(_QWEN2, composed=True),
    "tekken": _Rule(_TEKKEN, whole=True, begins=True),
}


def tokenizer_of(metadata: Mapping[str, Any]) -> Any:
    """Makes the tokenizer that a file describes.

    Args:
      metadata: fields of the file by name.

    Returns:
      A `transformers.PreTrainedTokenizerFast`.

    Raises:
      ValueError: if the file describes none, or one of an unknown kind.
    """
    import tokenizers
    import transformers

    tokens = _list(metadata, "tokens", str)
    kind = metadata.get("tokenizer.ggml.model")
    if len(set(tokens)) != len(tokens):
        raise ValueError("its tokenizer has a token twice; fetch it again")
    make = {"gpt2": _byte_level, "llama": _sentence_pieces}
    if kind not in make:
        raise ValueError(
            f"its tokenizer is of the kind {kind!r:.40}, and there is"
            f" {' and '.join(make)}"
        )
    rules, begins = make[kind](metadata, tokens)
    kinds = _list(metadata, "token_type", int, len(tokens))
    whole = {CONTROL: rules.add_special_tokens, USER_DEFINED: rules.add_tokens}
    for number, add in whole.items():
        selected = [t for t, k in zip(tokens, kinds, strict=True) if k == number]
        add(
            [
                tokenizers.AddedToken(t, normalized=False, special=number == CONTROL)
                for t in selected
            ]
        )
    if rules.get_vocab_size() != len(tokens):
        raise ValueError(
            "its tokens do not make a tokenizer of as many; fetch it again"
        )
    special = {
        f"{name}_token": _token(metadata, tokens, field)
        for name, field in (
            ("bos", "bos"),
            ("eos", "eos"),
            ("unk", "unknown"),
            ("pad", "padding"),
        )
    }
    _enclose(rules, metadata, tokens, begins)
    loaded = transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules,
        clean_up_tokenization_spaces=False,
        **{name: token for name, token in special.items() if token is not None},
    )
    template = metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        loaded.chat_template = template
    return loaded


def _byte_level(metadata: Mapping[str, Any], tokens: Sequence[str]) -> tuple[Any, bool]:
    """Makes a byte-level tokenizer, and whether its texts begin with a token."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as pre

    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in _RULES:
        raise ValueError(
            f"its tokenizer splits texts by the rule {name!r:.40}, and there is"
            f" {', '.join(_RULES)}"
        )
    rule = _RULES[name]
    pairs = [tuple(m.split(" ", 1)) for m in _list(metadata, "merges", str)]
    rules = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=_checked_merges(pairs, tokens),
            ignore_merges=rule.whole,
        )
    )
    if rule.composed:
        rules.normalizer = normalizers.NFC()
    bytes_only = pre.ByteLevel(add_prefix_space=False, use_regex=rule.split is None)
    before = []
    if rule.split is not None:
        before.append(pre.Split(Regex(rule.split), behavior="isolated"))
    if rule.digits:
        before.append(pre.Digits(individual_digits=True))
    rules.pre_tokenizer = pre.Sequence([*before, bytes_only])
    rules.decoder = decoders.ByteLevel()
    return rules, rule.begins


def _sentence_pieces(
    metadata: Mapping[str, Any], tokens: Sequence[str]
) -> tuple[Any, bool]:
    """Makes a tokenizer of sentence pieces, merged by their scores."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = _list(metadata, "scores", float, len(tokens))
    prefixed = metadata.get("tokenizer.ggml.add_space_prefix", True)
    rules = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=_merges_by_score(tokens, scores),
            unk_token=_token(metadata, tokens, "unknown"),
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces = [normalizers.Prepend("▁")] if prefixed else []
    rules.normalizer = normalizers.Sequence([*spaces, normalizers.Replace(" ", "▁")])
    joined = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    first = [decoders.Strip(content=" ", left=1)] if prefixed else []
    rules.decoder = decoders.Sequence([*joined, *first])
    return rules, True


def _merges_by_score(
    tokens: Sequence[str], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """Returns every way to put a token together from two, best tokens first."""
    numbers = {token: number for number, token in enumerate(tokens)}
    merges = []
    for token, score in zip(tokens, scores, strict=True):
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        parts = [cut for cut in cuts if cut[0] in numbers and cut[1] in numbers]
        parts.sort(key=lambda cut: (numbers[cut[0]], numbers[cut[1]]))
        merges += [(score, *cut) for cut in parts]
    merges.sort(key=lambda merge: (-merge[0], -len(merge[1]), -len(merge[2])))
    return [(first, second) for _, first, second in merges]


def _checked_merges(
    pairs: Sequence[Sequence[str]], tokens: Sequence[str]
) -> list[tuple[str, str]]:
    known, merges = set(tokens), []
    for pair in pairs:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= known:
            raise ValueError(
                f"its tokenizer has a merge {' '.join(pair)!r:.40} of no tokens"
            )
        merges.append((pair[0], pair[1]))
    return merges


def _enclose(
    rules: Any, metadata: Mapping[str, Any], tokens: Sequence[str], begins: bool
) -> None:
    """Adds begin and end tokens to texts if the file says so."""
    from tokenizers import processors

    ends = {}
    for name, default in (("bos", begins), ("eos", False)):
        is_added = metadata.get(f"tokenizer.ggml.add_{name}_token", default)
        token = _token(metadata, tokens, name)
        ends[name] = [token] if is_added and token is not None else []
    if not any(ends.values()):
        return
    around = {token for added in ends.values() for token in added}
    parts = [" ".join([*ends["bos"], side, *ends["eos"]]) for side in ("$A", "$B:1")]
    rules.post_processor = processors.TemplateProcessing(
        single=parts[0],
        pair=" ".join(parts),
        special_tokens=[(token, tokens.index(token)) for token in sorted(around)],
    )


def _token(metadata: Mapping[str, Any], tokens: Sequence[str], name: str) -> str | None:
    """Returns a special token, None for none."""
    number = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        raise ValueError(
            f"its {name}_token_id is {number!r:.40}, and it has {len(tokens)} tokens"
        )
    return tokens[number]


def _list(
    metadata: Mapping[str, Any], name: str, kind: type, length: int | None = None
) -> list[Any]:
    """Returns a field of the tokenizer that is a list."""
    values = metadata.get(f"tokenizer.ggml.{name}")
    if (
        not isinstance(values, list)
        or not all(isinstance(value, kind) for value in values)
        or len(values) != (len(values) if length is None else length)
    ):
        raise ValueError(
            f"it has no usable field tokenizer.ggml.{name}; fetch it again"
        )
    return values
