"""Signatures and docstrings as settings."""

from codex_jax.main import schema


def test_the_command_first_then_the_classes_it_takes(command):
    assert list(schema.describe_command(command)) == ["work", "Reader", "Shape", "Policy", "Folder"]


def test_settings_carry_type_default_and_line(command):
    configurables = schema.describe_command(command)
    rate = configurables["work"].settings["rate"]
    assert (rate.key, rate.type_name, rate.default, rate.doc) == (
        "work.rate",
        "float",
        0.5,
        "How fast.",
    )
    assert configurables["Reader"].settings["cache_dir"].type_name == "Path | str"
    assert configurables["work"].inner == {
        "rows": "Reader",
        "shape": "Shape",
        "policy": "Policy",
        "extra": "Policy",
    }
    assert "operative_config" not in configurables["work"].settings


def test_docstrings():
    summary, docs = schema.parse_docstring(
        "One line.\n\nMore,\nof it.\n\nArgs:\n  a: First,\n    going on.\n  b: Second.\n\n"
        "Returns:\n  c: not an argument.\n"
    )
    assert summary == "One line. More, of it."
    assert docs == {"a": "First, going on.", "b": "Second."}
    assert schema.parse_docstring("") == ("", {})
