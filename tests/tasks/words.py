"""A tokenizer of words, with the markers that entities take."""

import tokenizers
import transformers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
MARKERS = tuple(f"[unused{i}]" for i in range(1, 5))


def tokenizer(words, markers=MARKERS):
    numbers = {word: i for i, word in enumerate((*SPECIAL, *markers, *words))}
    rules = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, "[UNK]"))
    rules.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    rules.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def said(of, ids):
    """The tokens of ids, as one string."""
    return " ".join(of.convert_ids_to_tokens(list(ids)))
