"""Our tokenizer as a seqio.Vocabulary."""

import functools
import pathlib
from collections.abc import Sequence

import seqio
import tensorflow as tf

from codex_jax.tokenizer import Tokenizer


def load_tokenizer(tokenizer: Tokenizer | pathlib.Path | str) -> Tokenizer:
    """Returns a tokenizer as it is, or reads the file of a path."""
    return tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.load(tokenizer)


def byte_tokenizer() -> Tokenizer:
    """Returns the tokenizer of single bytes, whose ids they are; special tokens follow."""
    return Tokenizer({bytes([number]): number for number in range(256)})


class BytePairVocabulary(seqio.Vocabulary):
    """Ids are the tokenizer's own, so id 0 is a real token: don't let seqio pack them.

    `pad_id` stays 0 because seqio's feature converters assume it; our packer needs no padding id.
    """

    def __init__(self, tokenizer: Tokenizer | pathlib.Path | str):
        """Takes a tokenizer, or the path of one, which is read when it is first used."""
        super().__init__(extra_ids=0)
        self._tokenizer = tokenizer

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
          InputError: its file is missing or damaged.
        """
        return load_tokenizer(self._tokenizer)

    @property
    def bos_id(self) -> int:
        """End of text, with which our documents begin."""
        return self.tokenizer.eos_id

    @property
    def eos_id(self) -> int:
        """End of text."""
        return self.tokenizer.eos_id

    @property
    def unk_id(self) -> None:
        """None: every byte has an id."""
        return None

    @property
    def _base_vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    def _encode(self, s: str) -> list[int]:
        return self.tokenizer.encode(s)

    def _decode(self, ids: Sequence[int]) -> str:
        ids = list(ids)
        return self.tokenizer.decode(ids[:-1] if ids[-1:] == [self.eos_id] else ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(text: tf.Tensor) -> tf.Tensor:
            return tf.constant(self.tokenizer.encode(text.numpy().decode("utf-8")), tf.int32)

        return tf.ensure_shape(tf.py_function(encode, [s], tf.int32), [None])

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        def decode(row: tf.Tensor) -> bytes:
            return self.tokenizer.decode_bytes(row.numpy().tolist())

        decoded = tf.map_fn(
            lambda row: tf.py_function(decode, [row], tf.string),
            tf.reshape(ids, [-1, tf.shape(ids)[-1]]),
            fn_output_signature=tf.string,
        )
        return tf.reshape(decoded, tf.shape(ids)[:-1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytePairVocabulary) and self.tokenizer.hash == other.tokenizer.hash

    def __hash__(self) -> int:
        return hash(self.tokenizer.hash)

    def __deepcopy__(self, memo: dict) -> "BytePairVocabulary":
        return self  # gin copies what it binds; the vocabulary is immutable and large
