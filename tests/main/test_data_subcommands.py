"""`codex-jax data WORD` is a verb of its own name too."""

import pytest

from codex_jax.main import cli


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("data --output=o", "data --output=o"),
        ("data build --output=o", "data --output=o"),
        ("data inspect --rows=c", "inspect --rows=c"),
        ("data cache --output=o", "cache --output=o"),
        ("data explain --file=f", "explain --file=f"),
        ("data build --explain f", "explain --file f"),
        ("data build --explain=f --corpus={}", "data --explain=f --corpus={}"),
        ("data build a.gin --explain f", "data a.gin --explain f"),
        ("train build", "train build"),
    ],
)
def test_words_after_data(typed, meant, monkeypatch):
    called = []
    monkeypatch.setattr(cli, "_dispatch", lambda name, rest: called.append([name, *rest]) or 0)
    assert cli.main(typed.split()) == 0
    assert called == [meant.split()]


def test_a_file_alone_is_explained(tmp_path, capsys):
    (tmp_path / "a.py").write_text("# @generated\nx = 1\n")
    assert cli.main(["data", "build", "--explain", str(tmp_path / "a.py")]) == 0
    assert "generated" in capsys.readouterr().out
