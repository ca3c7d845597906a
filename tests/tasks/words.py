"""A tokenizer of words, with markers for entities, and one of letters."""

import tokenizers
import transformers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
MARKERS = tuple(f"[unused{i}]" for i in range(1, 5))


def tokenizer(words, markers=MARKERS):
    numbers = {word: i for i, word in enumerate((*SPECIAL, *markers, *words))}
    rules = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, "[UNK]"))
    rules.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return of_rules(rules, numbers)


def bert(letters):
    """A tokenizer that normalises like BERT, and splits words of known letters."""
    pieces = [piece for letter in letters for piece in (letter, f"##{letter}")]
    numbers = {word: i for i, word in enumerate((*SPECIAL, *pieces))}
    rules = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(numbers, unk_token="[UNK]")
    )
    rules.normalizer = tokenizers.normalizers.BertNormalizer()
    rules.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return of_rules(rules, numbers)


def of_rules(rules, numbers):
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


def as_text(of, ids):
    """The tokens of ids, as one string."""
    return " ".join(of.convert_ids_to_tokens(list(ids)))
