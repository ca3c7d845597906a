"""Training of tokenizers, for new models."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

# Padding comes first: 0 fills batches up.
PAD, BEGIN, END = "<pad>", "<s>", "</s>"
SPECIAL = (PAD, BEGIN, END)
# Those of a BERT, with tokens for unknown and for masked words.
BERT_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
# Words that no text has, as in BERT's vocabulary; tasks mark parts of texts by them.
UNUSED = tuple(f"[unused{n}]" for n in range(1, 9))
# Any text is made of these.
NUM_BYTES = 256

TokenizerKind: TypeAlias = Literal["gpt", "seq2seq", "bert"]


def train_tokenizer(
    texts: Iterable[str],
    directory: str | Path,
    *,
    vocab_size: int,
    family: TokenizerKind = "seq2seq",
) -> Any:
    """Trains a tokenizer of subwords, and writes it in Hugging Face's format.

    For generative models it is byte-level BPE, which encodes every text of every
    script, case and spaces kept. Special tokens are `<pad>` 0, `<s>` 1 and `</s>` 2.
    For a BERT it is WordPiece, in lower case and without accents; special tokens are
    `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3 and `[MASK]` 4, after which come
    `[unused1]` to `[unused8]`.

    Args:
      texts: training texts of the model, none of its test texts.
      directory: to write to.
      vocab_size: V, the largest vocabulary.
      family: kind of model. For a `seq2seq` texts are enclosed in `<s>` and `</s>`, for
        a `bert` in `[CLS]` and `[SEP]`; for a `gpt` nothing is added.

    Returns:
      The tokenizer, a `transformers.PreTrainedTokenizerFast`.

    Raises:
      ValueError: if there are no texts, or V has no room for bytes (or letters) and
        special tokens.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     made = train_tokenizer(["a b a b"], folder, vocab_size=260, family="gpt")
      ...     made.decode(made(" a b").input_ids), len(made)
      (' a b', 260)

    References:
      Sennrich et al., `Neural Machine Translation of Rare Words with Subword Units
      <https://arxiv.org/abs/1508.07909>`_, 2016; Radford et al., `Language Models are
      Unsupervised Multitask Learners`, 2019, of bytes; Wu et al., `Google's Neural
      Machine Translation System <https://arxiv.org/abs/1609.08144>`_, 2016, of pieces.
    """
    texts = list(texts)
    if not texts:
        raise ValueError("there are no texts to learn a tokenizer from")
    if family == "bert":
        tokenizer = _word_pieces(texts, vocab_size)
    else:
        tokenizer = _byte_pairs(texts, vocab_size, enclosed=family == "seq2seq")
    tokenizer.save_pretrained(str(directory))
    return tokenizer


def _byte_pairs(texts: Sequence[str], vocab_size: int, *, enclosed: bool) -> Any:
    _check_room(vocab_size, NUM_BYTES, "bytes", len(SPECIAL))
    import tokenizers
    import transformers

    rules = tokenizers.Tokenizer(tokenizers.models.BPE())
    rules.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rules.train_from_iterator(texts, trainer)
    if enclosed:
        rules.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{BEGIN} $A {END}",
            special_tokens=[(t, SPECIAL.index(t)) for t in (BEGIN, END)],
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules, pad_token=PAD, bos_token=BEGIN, eos_token=END
    )


def _word_pieces(texts: Sequence[str], vocab_size: int) -> Any:
    special = [*BERT_SPECIAL.values(), *UNUSED]
    import tokenizers
    import transformers

    rules = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(unk_token=BERT_SPECIAL["unk_token"])
    )
    rules.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    rules.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    rules.decoder = tokenizers.decoders.WordPiece()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=special, show_progress=False
    )
    rules.train_from_iterator(texts, trainer)
    # The trainer keeps every letter, both where a word begins and within, however many.
    _check_room(vocab_size, _num_letters(rules), "letters", len(special))
    begin, end = BERT_SPECIAL["cls_token"], BERT_SPECIAL["sep_token"]
    rules.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B:1 {end}:1",
        special_tokens=[(t, special.index(t)) for t in (begin, end)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **BERT_SPECIAL,
    )


def _num_letters(rules: Any) -> int:
    words = rules.get_vocab()
    return sum(len(word.removeprefix("##")) == 1 for word in words)


def _check_room(vocab_size: int, letters: int, kind: str, special: int) -> None:
    if vocab_size < (least := letters + special):
        raise ValueError(
            f"a vocabulary of {vocab_size} has no room for {letters} {kind} and"
            f" {special} special tokens; give {least} or more"
        )
