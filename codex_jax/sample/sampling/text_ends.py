"""Tokens that begin and end a text, as a checkpoint's card has them."""

from typing import NamedTuple

from codex_jax import checkpoint
from codex_jax.tokenizer import Tokenizer


class TextEnds(NamedTuple):
    """Tokens in front of a prompt, and those of which each ends a text."""

    begin_ids: tuple[int, ...]
    eos_ids: tuple[int, ...]


def read_ends(
    card: checkpoint.Card, tokenizer: Tokenizer, prepend_eos: bool | None = None
) -> TextEnds:
    """Reads a card's ends; one without any has the tokenizer's end of text at both.

    Training documents stand between ends of text: a card without `begin_ids`, which only an import
    writes, is of a model that was trained on them, and the tokenizer's end of text ends its texts
    beside those of the imported model that it began with.

    Args:
      card: The checkpoint's.
      tokenizer: The checkpoint's.
      prepend_eos: Whether prompts begin with the card's tokens (end of text if it has none); None
        leaves it to the card.
    """
    end = (tokenizer.eos_id,)
    begin = end if card.begin_ids is None else tuple(card.begin_ids)
    if prepend_eos is not None:
        begin = (begin or end) if prepend_eos else ()
    is_trained = card.begin_ids is None
    ends = (*card.eos_ids, *end) if is_trained or not card.eos_ids else card.eos_ids
    return TextEnds(begin, tuple(dict.fromkeys(ends)))
