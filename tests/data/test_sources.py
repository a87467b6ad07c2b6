"""A Task may have any of seqio's sources: each gives the same texts."""

import gzip
import json

import pytest

tf = pytest.importorskip("tensorflow")
seqio = pytest.importorskip("seqio")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

from codex_jax import InputError  # noqa: E402
from codex_jax.data.corpus import SourceTree  # noqa: E402
from codex_jax.data.seqio_tasks.sources import (  # noqa: E402
    JsonLinesDataSource,
    ParquetDataSource,
    TreeRate,
)
from codex_jax.data.seqio_tasks.task_examples import (  # noqa: E402
    count_shards,
    hash_task,
    read_examples,
)
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary  # noqa: E402

TEXTS = [f"a = {n}  # é\n" for n in range(7)]
LINES = "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS)


def text_lines(folder):
    for n, texts in enumerate((TEXTS[:4], TEXTS[4:])):
        (folder / f"t{n}.txt").write_text("".join(texts))
    return seqio.TextLineDataSource({"train": f"{folder}/t*.txt"})


def json_lines(suffix, compress):
    def write(folder):
        path = folder / f"t.jsonl{suffix}"
        path.write_bytes(compress(LINES.encode()))
        return JsonLinesDataSource({"train": str(path)})

    return write


def parquet(folder):
    table = pyarrow.table({"text": TEXTS, "other": [1] * len(TEXTS)})
    pyarrow.parquet.write_table(table, folder / "t.parquet", row_group_size=2)
    return ParquetDataSource({"train": str(folder / "t.parquet")})


def tf_records(folder):
    with tf.io.TFRecordWriter(str(folder / "t.tfrecord")) as out:
        for text in TEXTS:
            record = tf.train.Example()
            record.features.feature["text"].bytes_list.value.append(text.encode())
            out.write(record.SerializeToString())
    features = {"text": tf.io.FixedLenFeature([], tf.string)}
    return seqio.TFExampleDataSource({"train": str(folder / "t.tfrecord")}, features)


def tfds(folder):
    from tensorflow_datasets import features, folder_dataset
    from tensorflow_datasets.core import ShardedFileTemplate, SplitInfo

    directory = folder / "tiny" / "1.0.0"
    directory.mkdir(parents=True)
    template = ShardedFileTemplate(
        directory, dataset_name="tiny", split="train", filetype_suffix="tfrecord"
    )
    tf_records(directory)
    (directory / "t.tfrecord").rename(directory / "tiny-train.tfrecord-00000-of-00001")
    split = SplitInfo(
        name="train", shard_lengths=[len(TEXTS)], num_bytes=1, filename_template=template
    )
    columns = features.FeaturesDict({"text": tf.string})
    folder_dataset.write_metadata(
        data_dir=str(directory), features=columns, split_infos=[split], check_data=False
    )
    splits = {"train": "train[:100%]"}
    return seqio.TfdsDataSource("tiny:1.0.0", tfds_data_dir=str(folder), splits=splits)


def function(folder):
    del folder

    def dataset(split, shuffle_files, seed=None):
        del split, shuffle_files, seed
        return tf.data.Dataset.from_tensor_slices({"text": TEXTS})

    return seqio.FunctionDataSource(dataset, splits=["train"])


SOURCES = {
    "text lines": text_lines,
    "JSON lines": json_lines("", bytes),
    "gzip": json_lines(".gz", gzip.compress),
    "zstd": json_lines(".zst", pyarrow.Codec("zstd").compress),
    "two zstd frames": json_lines(
        ".zst", lambda b: b"".join(bytes(pyarrow.compress(x, "zstd")) for x in (b[:99], b[99:]))
    ),
    "parquet": parquet,
    "TFRecord": tf_records,
    "TFDS": tfds,
    "function": function,
}


def add_task(name, source, tokenizer):
    def to_targets(example):
        return {"targets": example["text"] if isinstance(example, dict) else example + "\n"}

    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=[lambda data: data.map(to_targets), seqio.preprocessors.tokenize],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer))},
    )


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_texts(kind, tokenizer, tmp_path):
    add_task("any_source", SOURCES[kind](tmp_path), tokenizer)
    examples = list(read_examples("any_source", "train"))
    assert [tokenizer.decode(example.ids) for example in examples] == TEXTS
    assert all((example.weights == 1).all() for example in examples)
    shards = count_shards("any_source", "train")
    assert shards == (2 if kind == "text lines" else 1)
    parts = [list(read_examples("any_source", "train", (n, shards))) for n in range(shards)]
    keys = [example.key for part in parts for example in part]
    assert len(set(keys)) == len(TEXTS)
    assert len(hash_task("any_source", [])) == 64


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "t.jsonl:2"),
        ('{"other": 1}', "t.jsonl:2: KeyError: 'text'"),
        ('{"text": 3}', "t.jsonl:2: text isn't a string"),
        ("[1]", "t.jsonl:2: TypeError"),
        ('{"text": "\\ud800"}', "Unicode"),
    ],
)
def test_a_wrong_row_is_a_line_that_names_it(line, problem, tokenizer, tmp_path):
    (tmp_path / "t.jsonl").write_text(f'{{"text": "a"}}\n{line}\n')
    add_task("wrong_row", JsonLinesDataSource({"train": str(tmp_path / "t.jsonl")}), tokenizer)
    with pytest.raises(InputError, match=r"task 'wrong_row', split train: .*; correct") as error:
        list(read_examples("wrong_row", "train"))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_columns_and_files_are_a_line(tokenizer, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"code": ["x"]}), tmp_path / "t.parquet")
    add_task("columns", ParquetDataSource({"train": str(tmp_path / "t.parquet")}), tokenizer)
    with pytest.raises(InputError, match="no column text; expected one of code"):
        list(read_examples("columns", "train"))
    add_task("no_file", seqio.TextLineDataSource({"train": str(tmp_path / "no")}), tokenizer)
    for read in (lambda: list(read_examples("no_file", "train")), lambda: hash_task("no_file", [])):
        with pytest.raises(InputError, match="task 'no_file', split train"):
            read()


def test_a_tree_s_rate_is_its_size_by_its_weight(tree):
    sizes = sum(path.stat().st_size for path in tree.rglob("*.py"))
    assert TreeRate(SourceTree(path=str(tree), weight=2.0))(None) == 2 * sizes
