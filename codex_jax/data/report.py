"""Tables of what a cache holds and of what became of the files it was made from."""

import collections
from typing import Any

from codex_jax.data.cache import Meta
from codex_jax.data.clean import Tally


def languages(tally: Tally, tokens: collections.Counter[str]) -> dict[str, dict[str, Any]]:
    """Of each language: files kept and dropped by reason, and tokens."""
    names = sorted({*tally.kept, *(name for name, _ in tally.dropped), *tokens})
    return {
        name: {
            "kept": tally.kept[name],
            "bytes": tally.bytes[name],
            "tokens": tokens[name],
            "dropped": {why: n for (what, why), n in tally.dropped.items() if what == name},
        }
        for name in names
    }


def describe(meta: Meta) -> str:
    """One line for each source and, where there are several, each language of it."""
    lines = [f"{'source':<24} {'files':>9} {'documents':>10} {'tokens':>13}  dropped"]
    for name, counts in meta.sources.items():
        kept = (counts["files"], f"{counts['documents']:,}", counts["tokens"], counts["dropped"])
        lines.append(_line(name, *kept))
        if len(counts["languages"]) > 1:
            for language, of in counts["languages"].items():
                lines.append(_line("  " + language, of["kept"], "", of["tokens"], of["dropped"]))
        for what in ("replaced", "licences", "contaminated", "names"):
            if counts[what]:
                lines.append(f"  {what}: {_listed(counts[what])}")
    lines.append(
        f"{meta.rows:,} rows of {meta.sequence_length}: {meta.tokens:,} tokens, 0 lost, "
        f"{meta.fill_rate:.1%} full; fingerprint {meta.fingerprint[:12]}"
    )
    return "\n".join(lines)


def _line(name: str, files: int, documents: str, tokens: int, dropped: dict[str, int]) -> str:
    return f"{name:<24} {files:>9,} {documents:>10} {tokens:>13,}  {_listed(dropped) or 'none'}"


def _listed(counts: dict[str, int], most: int = 12) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(f"{count:,} {what}" for what, count in ordered[:most]) + more
