"""A cache's sources are Tasks, whose records have the tokenizer's own ids."""

import json

import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("seqio")

from codex_jax import InputError  # noqa: E402
from codex_jax.data.build import build  # noqa: E402
from codex_jax.data.cache_folder import (  # noqa: E402
    FORMAT,
    describe,
)
from codex_jax.data.cleaning.cleaner import Cleaning  # noqa: E402
from codex_jax.data.cleaning.filters import Filters  # noqa: E402
from codex_jax.data.corpus import SourceTree  # noqa: E402
from codex_jax.data.packing.row_store import read_info  # noqa: E402
from codex_jax.data.seqio_tasks.cached_task import add_cached_task, check_cache  # noqa: E402
from codex_jax.data.seqio_tasks.task_examples import read_examples, task_splits  # noqa: E402


def write_record(out, tokenizer, n):
    ids = tokenizer.encode(f"line {n}\n")
    record = tf.train.Example()
    record.features.feature["key"].bytes_list.value.append(f"k{n}".encode())
    record.features.feature["language"].bytes_list.value.append(b"Python")
    record.features.feature["targets"].int64_list.value.extend(ids)
    record.features.feature["weights"].float_list.value.extend([1.0] * len(ids))
    out.write(record.SerializeToString())


@pytest.fixture
def cache(tokenizer, tree, tmp_path):
    """Two records of the train split in two files, one of validation, and a source of none."""
    folder = tmp_path / "cache"
    (folder / "run-00112233").mkdir(parents=True)
    for split, number in (("train", 0), ("train", 1), ("validation", 0)):
        name = f"t-{split}-{number:05}-of-00002.tfrecord"
        with tf.io.TFRecordWriter(str(folder / "run-00112233" / name)) as out:
            write_record(out, tokenizer, number)
    splits = {"train": {"texts": 2}, "validation": {"texts": 1}}
    none = {"train": {"texts": 0}, "validation": {"texts": 0}}
    index = {
        "format": FORMAT,
        "run": "run-00112233",
        "tokenizer_hash": tokenizer.hash,
        "sequence_length": 64,
        "cleaning": describe(Cleaning()),
        "seed": 0,
        "trees": {"t": describe(SourceTree(path=str(tree), infilling=0.5))},
        "sources": {"t": {"splits": splits}, "none": {"splits": none}},
    }
    (folder / "cache.json").write_text(json.dumps(index))
    return str(folder)


def test_its_splits_are_read(cache, tokenizer):
    add_cached_task("cached", cache, "t", tokenizer)
    assert task_splits("cached") == ["train", "validation"]
    texts = [tokenizer.decode(example.ids) for example in read_examples("cached", "train")]
    assert sorted(texts) == ["line 0\n", "line 1\n"]
    assert [example.key for example in read_examples("cached", "validation")] == ["k0"]


def test_a_source_without_records_is_an_empty_task(cache, tokenizer):
    add_cached_task("cached_none", cache, "none", tokenizer)
    assert task_splits("cached_none") == []


def test_a_build_takes_the_records_instead_of_the_sources(cache, tree, tokenizer_file, tmp_path):
    settings = {"tokenizer": tokenizer_file, "sequence_length": 64, "cached": cache}
    infilled = SourceTree(path=str(tree), infilling=0.5)
    build(corpus={"t": infilled, "none": tree}, output=tmp_path / "rows", **settings)
    counts = read_info(tmp_path / "rows").sources
    assert (counts["t"]["documents"], counts["none"]["documents"]) == (2, 0)


def test_what_does_not_fit_is_refused(cache, tokenizer, tmp_path):
    with pytest.raises(InputError, match="no cache here"):
        add_cached_task("x", str(tmp_path), "t", tokenizer)
    with pytest.raises(InputError, match="no source 'u'; expected one of t, none"):
        add_cached_task("x", cache, "u", tokenizer)
    other = type(tokenizer).train(["another text\n"], vocab_size=350)
    with pytest.raises(InputError, match="cache the corpus again"):
        add_cached_task("x", cache, "t", other)
    check_cache(cache, 64, Cleaning(), 0)
    with pytest.raises(InputError, match="set sequence_length to that or more"):
        check_cache(cache, 63, Cleaning(), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cleaning": Cleaning(secrets=True)}, "cached with secrets=False, which is True here"),
        ({"cleaning": Cleaning(near_duplicates=0.8)}, "set near_duplicates to None, or cache"),
        ({"cleaning": Cleaning(filters=Filters(longest_line=9))}, "filters.longest_line=1000"),
        (
            {"cleaning": Cleaning(licenses=["MIT"])},
            "here; set licenses to None, or cache",
        ),
        ({"seed": 1}, "cached with seed=0, which is 1 here"),
        ({"tree": {"infilling": 0.4}}, "cached with t.infilling=0.5, which is 0.4 here"),
        ({"tree": {"weight": 2.0}}, "set t.weight to 1.0"),
        ({"tree": {"language_weights": {"C": 2.0}}}, "t.language_weights"),
        ({"tree": {"path": "."}}, "cached with t.path="),
    ],
)
def test_settings_that_a_cache_was_not_made_by_are_refused(
    cache, tree, tokenizer_file, tmp_path, changes, message
):
    settings = {"tokenizer": tokenizer_file, "sequence_length": 64, "cached": cache, **changes}
    row = {"path": str(tree), "infilling": 0.5, **settings.pop("tree", {})}
    corpus = {"t": SourceTree(**row)}
    with pytest.raises(InputError, match=message) as error:
        build(corpus=corpus, output=tmp_path / "rows", **settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "rows").exists()
