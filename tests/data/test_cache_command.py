"""Beam's outcome is the local build's; a run replaces the former one once it is whole."""

import hashlib
import json

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree

from .conftest import read_rows, write_tree

pytest.importorskip("apache_beam")
pytestmark = pytest.mark.slow

from codex_jax.data.cache_command import cache_on_beam  # noqa: E402

MODULE = """
import seqio

from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

seqio.TaskRegistry.add(
    "beam_lines",
    source=seqio.TextLineDataSource({"train": %r, "validation": %r}),
    preprocessors=[
        lambda data: data.map(lambda line: {"targets": line}),
        seqio.preprocessors.tokenize,
    ],
    output_features={"targets": seqio.Feature(BytePairVocabulary(Tokenizer.load(%r)))},
)
seqio.MixtureRegistry.add("beam_blend", [("beam_tree", 0.4), ("beam_lines", 0.6)])
"""


@pytest.fixture
def corpus(tree):
    trees = {"weight": 1.5, "infilling": 0.3, "validation_share": 0.2}
    return {"beam_tree": SourceTree(path=str(tree), **trees)}


@pytest.fixture
def settings(corpus, tokenizer_file):
    return {"corpus": corpus, "tokenizer": tokenizer_file}


@pytest.fixture(scope="module")
def module(tokenizer_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("module")
    for n in range(3):
        (folder / f"train{n}.txt").write_text("".join(f"line {n} {k}\n" for k in range(40)))
    (folder / "valid.txt").write_text("a line\n" * 5)
    paths = folder / "train*.txt", folder / "valid.txt", tokenizer_file
    (folder / "beam_module.py").write_text(MODULE % tuple(map(str, paths)))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "beam_module"


def hashes(output) -> dict[str, str]:
    index = json.loads((output / "cache.json").read_text())
    paths = sorted((output / index["run"]).glob("*.tfrecord"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def targets(folder) -> list[int]:
    rows = read_rows(folder)
    return sorted(rows["targets"][rows["segment_ids"] > 0].tolist())


def test_the_same_tokens_as_a_local_build(settings, module, tmp_path, capsys):
    blend = settings | {"mixture": "beam_blend", "modules": module}
    sources = cache_on_beam(**blend, output=str(tmp_path / "a"), files=3, sequence_length=4096)
    assert "beam_lines" in capsys.readouterr().out
    rows = {"sequence_length": 4096, "indent_split_rate": 0.0}
    for name, rates in (("own", {}), ("even", {"rates": {"beam_tree": 0.5, "beam_lines": 0.5}})):
        own = {**blend, **rows, **rates, "mixture": name if rates else "beam_blend"}
        local = build(**own, output=tmp_path / "local")
        cached = build(**own, output=tmp_path / "beam", cached=str(tmp_path / "a"))
        for source in ("beam_tree", "beam_lines"):
            share = [i.sources[source]["tokens"] / i.tokens for i in (local, cached)]
            assert share[0] == pytest.approx(share[1], abs=0.01)
        validation = [targets(tmp_path / kind / "validation") for kind in ("local", "beam")]
        assert validation[0] == validation[1]
    assert sources["beam_lines"]["splits"]["validation"]["texts"] == 5
    trees = settings | rows
    build(**trees, output=tmp_path / "local")
    build(**trees, output=tmp_path / "beam", cached=str(tmp_path / "a"))
    assert targets(tmp_path / "local") == targets(tmp_path / "beam")


def test_a_second_run_with_other_counts_replaces_the_first(settings, tmp_path):
    cache_on_beam(**settings, output=str(tmp_path / "a"), files=3)
    first = hashes(tmp_path / "a")
    cache_on_beam(**settings, output=str(tmp_path / "b"), files=2)
    cache_on_beam(**settings, output=str(tmp_path / "a"), files=2)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != first
    assert len(list((tmp_path / "a").iterdir())) == 2  # the index and a run


@pytest.mark.parametrize("failure", ["no usable file", "a broken pipeline", "a reader of counts"])
def test_the_former_cache_stays_until_the_new_one_is_whole(
    settings, tmp_path, monkeypatch, failure
):
    from codex_jax.data.seqio_tasks import beam_cache

    output = tmp_path / "cache"
    cache_on_beam(**settings, output=str(output), files=2)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    wrong = dict(settings)
    if failure == "no usable file":
        wrong["corpus"] = {"beam_tree": write_tree(tmp_path / "empty", {"a.py": "\n"})}
    elif failure == "a broken pipeline":
        monkeypatch.setattr(beam_cache, "run", lambda *_: 1 / 0)
    else:
        monkeypatch.setattr(beam_cache.CacheWriter, "read_counts", lambda _: 1 / 0)
    with pytest.raises((InputError, ZeroDivisionError)):
        cache_on_beam(**wrong, output=str(output))
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_duplicates_of_several_trees_are_dropped_and_counted(tokenizer_file, tmp_path, capsys):
    text = "x = 1\n"
    trees = {
        name: write_tree(tmp_path / name, {"b/x.py": text, "c.py": f"{name} = 2\n"})
        for name in ("first", "second")
    }
    files = {name: str(path) for name, path in trees.items()}
    row = {"corpus": files, "tokenizer": tokenizer_file}
    sources = cache_on_beam(**row, output=str(tmp_path / "cache"), files=1)
    assert sources["first"]["dropped"] == {}
    assert sources["second"]["dropped"] == {"exact duplicate": 1}
    assert "exact duplicate" in capsys.readouterr().out
    local = build(**row, output=tmp_path / "rows", sequence_length=64)
    for name, counts in sources.items():
        splits = counts.pop("splits")
        assert counts == local.sources[name]
        assert splits["train"]["tokens"] == counts["tokens"]


@pytest.mark.parametrize(
    "options",
    [
        ["--runer=DirectRunner"],
        ["--direct_num_worker=2"],
        ["runner=DirectRunner"],
        ["--direct_num_workers=two"],
        ["--runner=NoSuchRunner"],
        ["--streaming", "--no_such_option"],
        ["--direct_num_workers", "1", "2"],
    ],
)
def test_options_that_beam_ignores_are_refused(settings, tmp_path, options):
    with pytest.raises(InputError, match="options: "):
        cache_on_beam(**settings, output=str(tmp_path / "cache"), options=options)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"cleaning": Cleaning(near_duplicates=0.9)},
        {"files": 0},
        {"sequence_length": 1},
        {"rates": {"beam_tree": 1.0}},
        {"modules": "no_such_module", "mixture": "x"},
        {"modules": "no_such_module"},
    ],
)
def test_settings_that_beam_does_not_heed_are_refused(settings, tmp_path, changes):
    with pytest.raises((InputError, TypeError)):
        cache_on_beam(**{**settings, **changes}, output=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_cache_of_another_cleaning_is_refused(settings, tmp_path):
    cleaning = Cleaning(secrets=True)
    cache_on_beam(**settings, output=str(tmp_path / "cache"), cleaning=cleaning, seed=3)
    rows = {**settings, "sequence_length": 4096, "cached": str(tmp_path / "cache")}
    assert build(**rows, output=tmp_path / "r", cleaning=cleaning, seed=3).tokens > 0
    with pytest.raises(InputError, match="cached with secrets=True, which is False here"):
        build(**rows, output=tmp_path / "r", seed=3)
    with pytest.raises(InputError, match="cached with seed=3, which is 0 here"):
        build(**rows, output=tmp_path / "r", cleaning=cleaning)


def test_a_cache_for_longer_rows_is_refused(settings, tmp_path):
    cache_on_beam(**settings, output=str(tmp_path / "cache"), sequence_length=256)
    with pytest.raises(InputError, match="infilled for rows of 256"):
        build(**settings, output=tmp_path / "r", sequence_length=64, cached=str(tmp_path / "cache"))
