"""Imported vocabularies: Hugging Face's tokenizer.json, by the `tokenizers` library itself."""

import functools
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers

from codex_jax import InputError
from codex_jax.tokenizer import formats
from codex_jax.tokenizer.byte_alphabet import unspell
from codex_jax.tokenizer.formats import END_OF_TEXT

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# Text on which the tokens' bytes must join to the library's own decoding.
_PROBE = "def f(x):\n\tif x == 12:\n        return 'é🙂漢'  # ok\n"


def load_engine(text: str) -> tokenizers.Tokenizer:
    """The library's tokenizer of a tokenizer.json, which neither truncates nor pads.

    Raises:
      InputError: the library can't read it.
    """
    try:
        engine = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001  the library raises nothing narrower
        raise InputError(
            f"tokenizer.json can't be read by tokenizers {tokenizers.__version__} "
            f"({str(error)[:120]}); save it again with transformers"
        ) from None
    engine.no_truncation()
    engine.no_padding()
    return engine


class LibraryVocabulary:
    """A vocabulary of a tokenizer.json, with its normalizer, pre-tokenizer and added tokens.

    Attributes:
      ids: of the tokens that aren't added.
      tokens: the bytes of each id; added tokens are their text, ids without a token empty.
      specials: ids of those of `SPECIALS` that it has under any of their foreign names.
      special_ids: ids of added tokens that are special, which no text has.
      settings: its tokenizer_config.json.
    """

    def __init__(self, content: Mapping[str, Any]):
        """Builds the vocabulary of a file's fields.

        Raises:
          InputError: a tokenizer.json whose tokens have no bytes of their own.
        """
        self._content, self.settings = content, content["settings"]
        self._engine = load_engine(content["tokenizer"])
        self._engine.encode_special_tokens = True
        self.tokens, self.ids = self._read_tokens(content["vocab_size"])
        self.specials = dict(content["specials"])
        if END_OF_TEXT not in self.specials:  # beyond the model's vocabulary: never sampled
            self.specials[END_OF_TEXT] = len(self.tokens)
            self.tokens.append(END_OF_TEXT.encode())
        added = self._engine.get_added_tokens_decoder()
        special_ids = {number for number, token in added.items() if token.special}
        self.special_ids = frozenset({*special_ids, *self.specials.values()})
        self._check_bytes()

    def content(self) -> dict[str, Any]:
        """A file's fields."""
        return dict(self._content)

    def encode_batch(self, texts: Sequence[str], *, specials: bool) -> list[list[int]]:
        """Ids of each text; names of special tokens are them if `specials`, else ordinary text."""
        engine = self._special_engine if specials else self._engine
        encodings = engine.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    @functools.cached_property
    def _special_engine(self) -> tokenizers.Tokenizer:
        return load_engine(self._content["tokenizer"])

    def export(self, folder: pathlib.Path, begin_ids: Sequence[int]) -> None:
        """Writes the files that were imported."""
        del begin_ids  # in the tokenizer.json
        formats.write_hugging_face(folder, self._content["tokenizer"], self.settings)

    def _read_tokens(self, vocab_size: int) -> tuple[list[bytes], dict[bytes, int]]:
        added = self._engine.get_added_tokens_decoder()
        vocabulary = self._engine.get_vocab(with_added_tokens=False)
        read = _read_bytes if "ByteLevel" in self._steps() else _read_piece
        spelled = {n: read(text) for text, n in vocabulary.items() if n not in added}
        spelled_added = {n: token.content.encode() for n, token in added.items()}
        tokens = [b""] * max(vocab_size, *(n + 1 for n in [*spelled, *added]))
        for number, token_bytes in (spelled | spelled_added).items():
            tokens[number] = token_bytes
        ids = {token_bytes: number for number, token_bytes in spelled.items()}
        return tokens, ids

    def _steps(self) -> set[str]:
        """Types of the decoder's steps, or of the pre-tokenizer's if it has none."""
        component = self._engine.decoder or self._engine.pre_tokenizer
        if component is None:
            return set()
        state = json.loads(component.__getstate__())
        steps = state.get("decoders", state.get("pretokenizers", [state]))
        return {step["type"] for step in steps}

    def _check_bytes(self) -> None:
        ids = self.encode_batch([_PROBE], specials=False)[0]
        joined = b"".join(self.tokens[n] for n in ids).decode("utf-8", "replace")
        decoded = self._engine.decode(ids, skip_special_tokens=False)
        if self._engine.decoder and joined.lstrip(" ") != decoded.lstrip(" "):
            raise InputError(
                f"tokenizer.json decodes by {', '.join(sorted(self._steps()))}; expected a "
                "byte-level vocabulary or one with byte fallback: import another model"
            )


def _read_bytes(spelling: str) -> bytes:
    try:
        return unspell(spelling)
    except ValueError:
        raise InputError(
            f"tokenizer.json has the token {spelling!r}; expected GPT-2's byte alphabet"
        ) from None


def _read_piece(spelling: str) -> bytes:
    """The bytes of a SentencePiece token."""
    if byte := _BYTE.fullmatch(spelling):
        return bytes([int(byte[1], 16)])
    return spelling.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode()
