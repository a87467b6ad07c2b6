"""Counts of files by language and reason, and the tables that show them."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from codex_jax.data.packing.row_store import RowsInfo
from codex_jax.progress import printable


@dataclasses.dataclass
class FileStats:
    """Counts of a tree's files: `accepted` by language, `dropped` by (language, reason).

    `bytes` are those of the accepted files. Each dropped file is a line of `log`, where there is
    one: tree, path and reason, with tabs.
    """

    name: str = ""
    log: TextIO | None = None
    accepted: Counter[str] = dataclasses.field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    bytes: Counter[str] = dataclasses.field(default_factory=Counter)
    redacted: Counter[str] = dataclasses.field(default_factory=Counter)
    licenses: Counter[str] = dataclasses.field(default_factory=Counter)
    contaminated_tasks: Counter[str] = dataclasses.field(default_factory=Counter)
    contaminated_names: Counter[str] = dataclasses.field(default_factory=Counter)

    def drop(self, path: str, language: str, reason: str) -> None:
        """Counts and logs one file that is left out."""
        self.dropped[language, reason] += 1
        if self.log:
            self.log.write(f"{self.name}\t{path!r}\t{reason}\n")

    def reasons(self) -> Counter[str]:
        """Counts dropped files by reason, in all languages."""
        counts: Counter[str] = Counter()
        for (_, reason), count in self.dropped.items():
            counts[reason] += count
        return counts


_COUNTERS = (
    "accepted",
    "bytes",
    "redacted",
    "licenses",
    "contaminated_tasks",
    "contaminated_names",
)


def to_counts(stats: FileStats) -> Iterator[tuple[str, str, str, int]]:
    """Yields counter, key, reason and number, of which `add_count` makes the same counts."""
    for (language, reason), number in stats.dropped.items():
        yield "dropped", language, reason, number
    for counter in _COUNTERS:
        for key, number in getattr(stats, counter).items():
            yield counter, key, "", number


def add_count(stats: FileStats, counter: str, key: str, reason: str, number: int) -> None:
    """Adds a number that `to_counts` yielded."""
    if counter == "dropped":
        stats.dropped[key, reason] += number
    else:
        getattr(stats, counter)[key] += number


def count_source(stats: FileStats, tokens: Counter[str], documents: int) -> dict[str, Any]:
    """Returns the counts of a source as rows' metadata hold them.

    Args:
      stats: Of its files.
      tokens: Its tokens by language.
      documents: Its training texts, each repeat counted.
    """
    return {
        "files": stats.accepted.total(),
        "bytes": stats.bytes.total(),
        "documents": documents,
        "tokens": tokens.total(),
        "dropped": dict(stats.reasons()),
        "languages": count_languages(stats, tokens),
        "redacted": dict(stats.redacted),
        "licenses": dict(stats.licenses),
        "contaminated": dict(stats.contaminated_tasks),
        "names": dict(stats.contaminated_names),
    }


def count_languages(stats: FileStats, tokens: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Returns each language's accepted files, their bytes and tokens, and drops by reason."""
    languages = sorted({*stats.accepted, *(name for name, _ in stats.dropped), *tokens})
    return {
        language: {
            "files": stats.accepted[language],
            "bytes": stats.bytes[language],
            "tokens": tokens.get(language, 0),
            "dropped": {
                reason: count
                for (dropped_language, reason), count in stats.dropped.items()
                if dropped_language == language
            },
        }
        for language in languages
    }


def describe(info: RowsInfo) -> str:
    """Renders the tables of the sources, and a line about the rows."""
    return "\n".join(
        [
            *describe_sources(info.sources),
            f"{info.rows:,} rows of {info.sequence_length}: {info.tokens:,} tokens, 0 lost, "
            f"{info.fill_rate:.1%} full; fingerprint {info.fingerprint[:12]}",
        ]
    )


def describe_sources(sources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Renders a table for each source: a row for each language, a column for each drop reason."""
    lines: list[str] = []
    for name, counts in sources.items():
        lines += _table(name, counts)
        lines += [
            f"  {title}: {_list_counts(counts[title])}"
            for title in ("redacted", "licenses", "contaminated", "names")
            if counts[title]
        ]
    return [printable(line) for line in lines]


def _table(name: str, counts: Mapping[str, Any]) -> list[str]:
    reasons = sorted(counts["dropped"], key=lambda reason: -counts["dropped"][reason])
    rows = [[name, "seen", *reasons, "kept", "MB", "texts", "tokens"]]
    rows += [_row("  " + name, row, reasons) for name, row in counts["languages"].items()]
    rows.append(_row("all", counts, reasons, counts["documents"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _row(
    name: str, counts: Mapping[str, Any], reasons: list[str], texts: int | None = None
) -> list[str]:
    dropped = [counts["dropped"].get(reason, 0) for reason in reasons]
    accepted = counts["files"]
    files = [f"{count:,}" for count in (accepted + sum(dropped), *dropped, accepted)]
    megabytes = f"{counts.get('bytes', 0) / 1e6:,.1f}"
    return [name, *files, megabytes, "" if texts is None else f"{texts:,}", f"{counts['tokens']:,}"]


def _list_counts(counts: dict[str, int], most: int = 12) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(f"{count:,} {' '.join(name.split())}" for name, count in ordered[:most]) + more
