"""A small tokenizer.json like SmolLM2's, made by hand."""

from tokenizers import pre_tokenizers

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
BYTE_LEVEL |= {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def added_token(number, content, *, special=True, **flags):
    names = ("single_word", "lstrip", "rstrip", "normalized")
    return (
        dict.fromkeys(names, False)
        | {"id": number, "content": content, "special": special}
        | (flags)
    )


def small_tokenizer(**changes):
    """Fields of the file: <|endoftext|> and <extra> are special, "abc" and " ab" are merged."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spellings = ["<|endoftext|>", "<extra>", *alphabet, "ab", "abc", "Ġab"]
    model = {"type": "BPE", "vocab": {spelling: n for n, spelling in enumerate(spellings)}}
    return {
        "version": "1.0",
        "added_tokens": [added_token(n, spellings[n]) for n in range(2)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, BYTE_LEVEL]},
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": model | {"merges": ["a b", "ab c", "Ġ ab"]},
    } | changes
