"""Signatures and docstrings as settings."""

from codex_jax.main import schema


def test_the_verb_first_then_what_it_reaches(verb):
    assert list(schema.described(verb)) == ["work", "Reader", "Shape", "Policy", "Folder"]


def test_settings_carry_type_default_and_line(verb):
    found = schema.described(verb)
    rate = found["work"].settings["rate"]
    assert (rate.key, rate.type_name, rate.default, rate.doc) == (
        "work.rate",
        "float",
        0.5,
        "How fast.",
    )
    assert found["Reader"].settings["cache_dir"].type_name == "Path | str"
    assert found["work"].inner == {
        "rows": "Reader",
        "shape": "Shape",
        "policy": "Policy",
        "extra": "Policy",
    }
    assert "operative_config" not in found["work"].settings


def test_docstrings():
    summary, docs = schema.parse_docstring(
        "One line.\n\nMore,\nof it.\n\nArgs:\n  a: First,\n    going on.\n  b: Second.\n\n"
        "Returns:\n  c: not an argument.\n"
    )
    assert summary == "One line. More, of it."
    assert docs == {"a": "First, going on.", "b": "Second."}
    assert schema.parse_docstring("") == ("", {})
