"""Foreign tokenizers as ours."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.convert.tokenizer_settings import apply_settings
from codex_jax.tokenizer import SPECIALS, Tokenizer
from codex_jax.tokenizer.byte_alphabet import unspell
from codex_jax.tokenizer.formats import to_hugging_face
from codex_jax.tokenizer.library import load_engine

END_OF_TEXT, PREFIX, MIDDLE, SUFFIX = SPECIALS

# Foreign names of our special tokens; the first one in the vocabulary counts.
_SPECIAL_NAMES = {
    END_OF_TEXT: (END_OF_TEXT, "<|end_of_text|>", "</s>", "<｜end▁of▁sentence｜>", "<eos>"),
    PREFIX: (PREFIX, "<fim_prefix>", "<fim-prefix>", "<｜fim▁begin｜>"),
    MIDDLE: (MIDDLE, "<fim_middle>", "<fim-middle>", "<｜fim▁end｜>"),
    SUFFIX: (SUFFIX, "<fim_suffix>", "<fim-suffix>", "<｜fim▁hole｜>"),
}


class ForeignTokenizer(NamedTuple):
    """A tokenizer.json with its settings applied, and the settings, tokenizer_config.json."""

    text: str
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, text: str, settings: Mapping[str, Any]) -> "ForeignTokenizer":
        """Applies the settings to the file's text.

        Raises:
          InputError: a file or a setting that can't be reproduced.
        """
        return cls(apply_settings(text, settings), settings)

    def ids(self) -> dict[str, int]:
        """Ids by spelling, those of added tokens by their text."""
        return dict(load_engine(self.text).get_vocab(with_added_tokens=True))


def make_tokenizer(
    foreign: ForeignTokenizer, *, vocab_size: int, eos_ids: Sequence[int]
) -> Tokenizer:
    """Our tokenizer of a foreign one; one that we exported is what it was.

    Args:
      foreign: The foreign tokenizer.
      vocab_size: The model's.
      eos_ids: Tokens that end a text; the first one does where none has a known name.

    Raises:
      InputError: a vocabulary that is larger than the model's, or whose tokens aren't bytes.
    """
    engine = load_engine(foreign.text)
    added = {token.content: n for n, token in engine.get_added_tokens_decoder().items()}
    last = max(engine.get_vocab(with_added_tokens=False).values(), default=0)
    if last >= vocab_size:
        raise InputError(
            f"tokenizer.json has a token {last}, its model {vocab_size} rows; import the "
            "tokenizer that the model was trained with"
        )
    if exported := _read_exported(foreign.text):
        return exported
    specials = {
        name: added[foreign_name]
        for name, foreign_names in _SPECIAL_NAMES.items()
        for foreign_name in reversed(foreign_names)
        if foreign_name in added  # "</s>" may also be ordinary text
    }
    if eos_ids:
        specials.setdefault(END_OF_TEXT, eos_ids[0])
    return Tokenizer.read_hugging_face(
        foreign.text, settings=foreign.settings, specials=specials, vocab_size=vocab_size
    )


def _read_exported(text: str) -> Tokenizer | None:
    """The tokenizer of a file that `Tokenizer.export` wrote; None for any other file."""
    fields = json.loads(text)
    fields.pop("post_processor", None)
    if fields.keys() != {"version", "added_tokens", "pre_tokenizer", "decoder", "model"}:
        return None
    steps = fields["pre_tokenizer"].get("pretokenizers") or [{}]
    pattern = steps[0].get("pattern", {}).get("Regex")
    names = {token["content"]: token["id"] for token in fields["added_tokens"]}
    specials = {name: names[name] for name in SPECIALS if name in names}
    if not pattern or not specials:
        return None
    ids = {unspell(spelling): number for spelling, number in fields["model"]["vocab"].items()}
    tokenizer = Tokenizer(ids, pattern=pattern, specials=specials)
    tokens = [tokenizer.token_bytes(n) for n in range(tokenizer.vocab_size)]
    is_same = json.loads(to_hugging_face(ids, pattern, tokens)) == fields
    return tokenizer if is_same else None
