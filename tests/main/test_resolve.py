"""Bindings resolved to the arguments of a call."""

import pytest

from codex_jax import InputError
from codex_jax.main.config_text import config_text


def test_everything_unset_is_named_at_once(configure, tmp_path):
    text = "RATE = %gin.REQUIRED\nwork.rate = %RATE\nwork.output = %gin.REQUIRED\n"
    with pytest.raises(InputError) as caught:
        configure(text, enough=False, path=tmp_path / "a.gin")
    line = str(caught.value).replace(f"{tmp_path}/", "")
    assert line == (
        "not set: Reader.cache_dir, Reader.batch_size, Shape.layers, "
        "work.output (%gin.REQUIRED in a.gin:3), work.rate (%gin.REQUIRED in a.gin:1); "
        "set each as --NAME=VALUE or in a gin file"
    )


def test_required_inside_a_container(configure, tmp_path):
    text = 'ROOT = %gin.REQUIRED\nwork.sources = {"a": %ROOT}'
    with pytest.raises(InputError, match=r"not set: a macro in .*a\.gin:1"):
        configure(text, path=tmp_path / "a.gin")


def test_wired_objects_are_made_and_answer_what_is_unbound(configure, toy):
    values = configure().arguments()
    assert isinstance(values["rows"], toy.Reader)
    assert values["rows"].batch_size == 4
    assert values["shape"] == toy.Shape(layers=2, vocab_size=77)
    assert configure(None, "--vocab_size=5").arguments()["shape"].vocab_size == 5


def test_a_default_description_lends_its_fields(configure, toy):
    assert configure().arguments()["policy"] == toy.Policy(temperature=0.2)
    values = configure(None, "--gin.Policy.seed=3").arguments()["policy"]
    assert values == toy.Policy(temperature=0.2, seed=3)


def test_an_optional_description_appears_once_something_is_bound(configure, toy):
    assert "extra" not in configure().arguments()
    assert configure(None, "--temperature=1").arguments()["extra"] == toy.Policy(temperature=1.0)


@pytest.mark.parametrize("flag", ["--weight=3", "--gin.b/Folder.weight=3"])
def test_settings_reach_the_plain_entries_of_a_mapping(configure, toy, tmp_path, monkeypatch, flag):
    monkeypatch.setattr(toy.Folder, "shorthand", ("path", "weight"), raising=False)
    text = 'work.sources = {"a": ("x", 0.5), "b": "y"}'
    bound = configure(text, flag, path=tmp_path / "a.gin")
    sources = bound.arguments()["sources"]
    assert sources["b"] == toy.Folder(path="y", weight=3.0)
    assert sources["a"] in (("x", 0.5), toy.Folder(path="x", weight=0.5))
    (tmp_path / "again.gin").write_text(config_text(bound.root))
    again = configure((tmp_path / "again.gin").read_text(), path=tmp_path / "again.gin")
    assert again.arguments()["sources"] == sources


def test_without_such_settings_entries_stay_plain(configure, toy, tmp_path, monkeypatch):
    monkeypatch.setattr(toy.Folder, "shorthand", ("path", "weight"), raising=False)
    text = 'work.sources = {"a": "x"}'
    assert configure(text, path=tmp_path / "a.gin").arguments()["sources"] == {"a": "x"}
    with pytest.raises(InputError, match="no @c/Folder"):
        configure(text, "--gin.c/Folder.weight=3", path=tmp_path / "b.gin")


def test_scoped_references(configure, toy, tmp_path):
    text = """
work.sources = {"a": @one/Folder(), "b": @two/Folder(), "c": "plain"}
Folder.weight = 3
one/Folder.path = "x"
two/Folder.path = "y"
two/Folder.weight = 0.5
"""
    values = configure(text, path=tmp_path / "a.gin").arguments()["sources"]
    assert values == {
        "a": toy.Folder(path="x", weight=3.0),
        "b": toy.Folder(path="y", weight=0.5),
        "c": "plain",
    }


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--rate=fast", "--rate=fast: work.rate is 'fast'; expected float"),
        ("--layers=2.5", "--layers=2.5: Shape.layers is 2.5; expected int"),
        (
            "--family=oval",
            "--family=oval: Shape.family is 'oval'; expected Literal['round', 'square']",
        ),
        ("--ks=three", "--ks=three: work.ks is 'three'; expected Sequence[int]"),
    ],
)
def test_wrong_types_name_field_value_and_source(configure, flag, line):
    with pytest.raises(InputError) as caught:
        configure(None, flag)
    assert str(caught.value) == line


@pytest.mark.parametrize("value", ["['a', '']", "('',)", "['', 'b']"])
def test_an_empty_entry_of_a_list_is_refused(configure, tmp_path, value):
    line = r"a.gin:1: work.names has an empty entry; set it without that one"
    with pytest.raises(InputError, match=line):
        configure(f"work.names = {value}", path=tmp_path / "a.gin")


@pytest.mark.parametrize("value", [",", "a,", "a,,b"])
def test_commas_without_a_name_between_them_are_refused(configure, value):
    with pytest.raises(InputError, match=f"--names={value}: work.names is .*; expected Sequence"):
        configure(None, f"--names={value}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("work.shape = @Folder()\nFolder.path = 'x'", "work.shape is @Folder(); expected Shape"),
        ("work.rows = @Policy()", "work.rows is @Policy(); expected Reader"),
        ("work.rate = @Policy()", "work.rate is @Policy(); expected float"),
        ("work.extra = @Folder()\nFolder.path = 'x'", "is @Folder(); expected Policy | None"),
        ('work.sources = {"a": @Policy()}', "is {'a': @Policy()}; expected Mapping[str, Folder"),
        ('work.sources = {"a": @Folder()}\nFolder.path = @Folder()', "@Folder() takes itself"),
        ("work.shape = @Shape", "@Shape lacks (); write @Shape()"),
    ],
)
def test_a_reference_of_the_wrong_type(configure, tmp_path, text, line):
    with pytest.raises(InputError) as caught:
        configure(text, path=tmp_path / "a.gin")
    assert line in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/a.gin:")


def test_the_text_is_gin_that_gives_the_same_call(configure, tmp_path):
    text = """
SEED = 4
work.sources = {"a": @one/Folder(), "b": ["x", 1]}
work.ks = (5,)
one/Folder.path = "x"
Policy.seed = %SEED
Shape.vocab_size = 9
"""
    first = configure(text, "--name=it's", path=tmp_path / "a.gin")
    again = configure(config_text(first.root), enough=False, path=tmp_path / "b.gin")

    def without_objects(run):
        return {k: v for k, v in run.arguments().items() if k not in ("rows", "operative_config")}

    assert without_objects(again) == without_objects(first)
    assert "Policy.seed = 4  # " in config_text(first.root)


def test_the_function_gets_the_configuration(configure, toy):
    configure(None, "--rate=0.75").call()
    (call,) = toy.CALLS
    assert call["rate"] == 0.75
    assert "work.rate = 0.75  # --rate=0.75" in call["operative_config"]
    assert "# Shape.vocab_size = from the data" in call["operative_config"]
