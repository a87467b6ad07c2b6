"""Counts by language and reason, and their table."""

import io

from codex_jax.data.packing.row_store import RowsInfo
from codex_jax.data.stats import FileStats, count_languages, describe


def make_stats() -> FileStats:
    stats = FileStats("tree", io.StringIO())
    stats.accepted.update({"Go": 2, "Python": 3})
    stats.bytes.update({"Go": 10, "Python": 2_000_000})
    stats.drop("a.py", "Python", "binary")
    stats.drop("b.py", "Python", "binary")
    stats.drop("c.go", "Go", "too large")
    return stats


def test_each_dropped_file_is_a_line_of_the_log():
    stats = make_stats()
    assert stats.reasons() == {"binary": 2, "too large": 1}
    assert stats.log.getvalue().splitlines() == [
        "tree\t'a.py'\tbinary",
        "tree\t'b.py'\tbinary",
        "tree\t'c.go'\ttoo large",
    ]


def test_counts_of_languages_add_up():
    languages = count_languages(make_stats(), {"Python": 7, "Rust": 1})
    assert list(languages) == ["Go", "Python", "Rust"]
    assert languages["Python"] == {
        "files": 3,
        "bytes": 2_000_000,
        "tokens": 7,
        "dropped": {"binary": 2},
    }
    assert sum(row["files"] for row in languages.values()) == make_stats().accepted.total()


def test_the_table_has_a_row_for_each_language_and_one_for_all():
    stats = make_stats()
    source = {
        "files": 5,
        "bytes": 2_000_010,
        "documents": 9,
        "tokens": 8,
        "dropped": dict(stats.reasons()),
        "languages": count_languages(stats, {"Python": 7, "Go": 1}),
        "redacted": {"EMAIL": 1200},
        "licenses": {},
        "contaminated": {},
        "names": {},
    }
    info = RowsInfo(
        fingerprint="f" * 64,
        state="",
        tokenizer_hash="",
        vocab_size=10,
        sequence_length=4,
        rows=4,
        tokens=8,
        parameters={},
        sources={"tree": source},
    )
    head, go, python, total, redacted, last = describe(info).splitlines()
    names = ["tree", "seen", "binary", "too", "large", "kept", "MB", "texts", "tokens"]
    assert head.split() == names
    assert go.split() == ["Go", "3", "0", "1", "2", "0.0", "1"]
    assert python.split() == ["Python", "5", "2", "0", "3", "2.0", "7"]
    assert total.split() == ["all", "8", "2", "1", "5", "2.0", "9", "8"]
    assert redacted == "  redacted: 1,200 EMAIL"
    assert last.startswith("4 rows of 4: 8 tokens, 0 lost, 50.0% full; fingerprint ffffffffffff")
