"""Addresses and credentials, each replaced by the name of what it is."""

import collections

from codex_jax.data.cleaning.addresses import find_addresses
from codex_jax.data.cleaning.secret_tokens import Hit, find_secrets


def redact(text: str, language: str = "") -> tuple[str, collections.Counter[str]]:
    """Returns the text with `<EMAIL>` and the like in place, and the count of each name.

    In a `language` of the table, operators, decorators and annotations aren't taken for addresses.
    """
    counts: collections.Counter[str] = collections.Counter()
    parts, end = [], 0
    for hit in _outermost([*find_secrets(text, language), *find_addresses(text, language)]):
        counts[hit.name] += 1
        parts += [text[end : hit.start], f"<{hit.name}>"]
        end = hit.end
    return "".join([*parts, text[end:]]), counts


def _outermost(hits: list[Hit]) -> list[Hit]:
    """Returns the hits in their order, of those that overlap the first and longest."""
    chosen: list[Hit] = []
    for hit in sorted(hits, key=lambda each: (each.start, -each.end)):
        if not chosen or hit.start >= chosen[-1].end:
            chosen.append(hit)
    return chosen
