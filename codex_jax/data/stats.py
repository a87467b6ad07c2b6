"""Tables of what a cache holds and of what became of the files it was made from."""

import collections
from typing import Any

from codex_jax.data.cleaning.cleaner import Tally
from codex_jax.data.packing.row_store import Meta


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
    """A table of each source: a row for each language, a column for each reason to drop."""
    lines: list[str] = []
    for name, counts in meta.sources.items():
        lines += _table(name, counts)
        for what in ("replaced", "licences", "contaminated", "names"):
            if counts[what]:
                lines.append(f"  {what}: {_listed(counts[what])}")
    lines.append(
        f"{meta.rows:,} rows of {meta.sequence_length}: {meta.tokens:,} tokens, 0 lost, "
        f"{meta.fill_rate:.1%} full; fingerprint {meta.fingerprint[:12]}"
    )
    return "\n".join(lines)


def _table(name: str, counts: dict[str, Any]) -> list[str]:
    reasons = sorted(counts["dropped"], key=lambda why: -counts["dropped"][why])
    rows = [[name, "seen", *reasons, "kept", "MB", "texts", "tokens"]]
    rows += [_row("  " + each, of, reasons) for each, of in counts["languages"].items()]
    everything = {**counts, "kept": counts["files"]}
    rows.append(_row("all", everything, reasons, counts["documents"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _row(name: str, of: dict[str, Any], reasons: list[str], texts: int | None = None) -> list[str]:
    dropped = [of["dropped"].get(why, 0) for why in reasons]
    files = [f"{n:,}" for n in (of["kept"] + sum(dropped), *dropped, of["kept"])]
    shown = "" if texts is None else f"{texts:,}"
    return [name, *files, f"{of.get('bytes', 0) / 1e6:,.1f}", shown, f"{of['tokens']:,}"]


def _listed(counts: dict[str, int], most: int = 12) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(f"{count:,} {what}" for what, count in ordered[:most]) + more
