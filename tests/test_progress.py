"""Bars for people, lines for logs."""

import sys

import pytest

from codex_jax import progress


@pytest.fixture
def no_interval(monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL_S", 0.0)


@pytest.mark.usefixtures("no_interval")
def test_nobody_watching_gets_whole_lines(capsys):
    assert list(progress.bar(range(3), desc="things")) == [0, 1, 2]
    error = capsys.readouterr().err
    assert "\r" not in error
    lines = error.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("things: ") for line in lines)
    assert "3.00/3.00" in lines[-1]


def test_a_person_watching_gets_one_line_redrawn(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(progress.bar(range(3), desc="things"))
    assert "\r" in capsys.readouterr().err


@pytest.mark.usefixtures("no_interval")
def test_a_resumed_job_begins_where_it_was(capsys):
    with progress.bar(desc="steps", total=10, done=6) as bar:
        bar.update(4)
    lines = capsys.readouterr().err.splitlines()
    assert "60%" in lines[0]
    assert "100%" in lines[-1]


def test_a_postfix_alone_makes_no_line(capsys):
    with progress.bar(desc="steps", total=10) as bar:
        for loss in range(5):
            bar.set_postfix_str(f"loss {loss}")
        bar.update(10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "loss 4" in lines[-1]


def test_text_of_strangers_is_spelled_out():
    text = "a\tb\nc\r\x1b[2J\x07\x9b\u202e\udcff é日"
    assert progress.printable(text) == "a\tb\nc\\r\\x1b[2J\\x07\\x9b\\u202e\\udcff é日"
    assert progress.printable(progress.printable(text)) == progress.printable(text)
