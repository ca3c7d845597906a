"""A tokenizer learned from texts, for models that have none yet."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

# Padding comes first: 0 fills batches up.
PAD, BEGIN, END = "<pad>", "<s>", "</s>"
SPECIAL = (PAD, BEGIN, END)
# Any text is made of these.
NUM_BYTES = 256

Family: TypeAlias = Literal["gpt", "seq2seq"]


def train_tokenizer(
    texts: Iterable[str],
    directory: str | Path,
    *,
    vocab_size: int,
    family: Family = "seq2seq",
) -> Any:
    """Learns byte pairs from texts, and writes a tokenizer that Hugging Face reads.

    It starts from bytes, so that it knows every text of every script, case and spaces
    kept, and joins those pairs that are most frequent. Special tokens are `<pad>` 0,
    `<s>` 1 and `</s>` 2.

    Args:
      texts: of what a model is to be trained on, and of nothing it is tested on.
      directory: to write to.
      vocab_size: V, as many tokens as that at most.
      family: what reads the texts. For a `seq2seq` they are put between `<s>` and
        `</s>`, as a BERT has it; a `gpt` reads them as they are.

    Returns:
      The tokenizer, a `transformers.PreTrainedTokenizerFast`.

    Raises:
      ValueError: if there are no texts, or V has no room for bytes and special tokens.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     found = train_tokenizer(["a b a b"], folder, vocab_size=260, family="gpt")
      ...     found.decode(found(" a b").input_ids), len(found)
      (' a b', 260)

    References:
      Sennrich et al., `Neural Machine Translation of Rare Words with Subword Units
      <https://arxiv.org/abs/1508.07909>`_, 2016; Radford et al., `Language Models are
      Unsupervised Multitask Learners`, 2019, of bytes.
    """
    least = NUM_BYTES + len(SPECIAL)
    if vocab_size < least:
        raise ValueError(
            f"a vocabulary of {vocab_size} has no room for {NUM_BYTES} bytes and"
            f" {len(SPECIAL)} special tokens; give {least} or more"
        )
    texts = list(texts)
    if not texts:
        raise ValueError("there are no texts to learn a tokenizer from")

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
    if family == "seq2seq":
        rules.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{BEGIN} $A {END}",
            special_tokens=[(t, SPECIAL.index(t)) for t in (BEGIN, END)],
        )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules, pad_token=PAD, bos_token=BEGIN, eos_token=END
    )
    tokenizer.save_pretrained(str(directory))
    return tokenizer
