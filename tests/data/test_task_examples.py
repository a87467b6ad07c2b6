"""Examples of any Task are ids of the tokenizer; the hash follows content, module and settings."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
seqio = pytest.importorskip("seqio")

from codex_jax import InputError  # noqa: E402
from codex_jax.data.seqio_tasks.task_examples import (  # noqa: E402
    hash_modules,
    hash_task,
    read_examples,
    task_splits,
)
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary  # noqa: E402


def add_task(tokenizer, examples, splits=("train",), features=("targets",), signature=None):
    names = {k: v for k, v in examples[0].items() if k not in (signature or {})}
    spec = {k: tf.TensorSpec([None] * v.ndim, v.dtype) for k, v in names.items()} | (
        signature or {}
    )

    def dataset(split, shuffle_files, seed=None):
        del split, shuffle_files, seed
        return tf.data.Dataset.from_generator(lambda: iter(examples), output_signature=spec)

    seqio.TaskRegistry.remove("examples")
    feature = seqio.Feature(BytePairVocabulary(tokenizer), rank=examples[0]["targets"].ndim)
    seqio.TaskRegistry.add(
        "examples",
        source=seqio.FunctionDataSource(dataset, splits=list(splits)),
        preprocessors=[],
        output_features=dict.fromkeys(features, feature),
    )


def test_inputs_come_first_and_weigh_nothing(tokenizer):
    eos = tokenizer.eos_id
    inputs, targets = np.array([5, 6, eos], np.int32), np.array([7, eos], np.int32)
    example = {"inputs": inputs, "targets": targets, "key": b"k\xff", "language": b"C"}
    signature = {"key": tf.TensorSpec([], tf.string), "language": tf.TensorSpec([], tf.string)}
    add_task(tokenizer, [example], features=("inputs", "targets"), signature=signature)
    (encoded,) = read_examples("examples", "train")
    assert encoded.ids.tolist() == [5, 6, 7]
    assert encoded.weights.tolist() == [0.0, 0.0, 1.0]
    assert (encoded.key, encoded.language) == ("k\udcff", "C")


def test_weights_and_keys_of_its_own(tokenizer):
    weights = np.array([0.5, 0.25, 0.0], np.float32)
    add_task(
        tokenizer, [{"targets": np.array([7, 8], np.int32), "weights": weights, "key": np.array(3)}]
    )
    (encoded,) = read_examples("examples", "train")
    assert (encoded.key, encoded.language) == ("3", "unknown")
    assert encoded.weights.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (np.array([-1], np.int32), "holds -1 to -1; expected ids below 400"),
        (np.array([400], np.int32), "holds 400 to 400"),
        (np.array([[1, 2]], np.int32), r"shape \(1, 2\); expected ids of shape \(n,\)"),
        (np.array([1.5]), "Got float64, expected int32"),
        (np.array(3, np.int32), r"shape \(\)"),
    ],
)
def test_ids_that_are_none_of_the_tokenizer_are_refused(tokenizer, ids, problem):
    assert tokenizer.vocab_size == 400
    add_task(tokenizer, [{"targets": ids}])
    with pytest.raises(InputError, match=f"task 'examples', split train: .*{problem}") as error:
        list(read_examples("examples", "train"))
    assert "\n" not in str(error.value)


def test_only_train_and_validation_are_read(tokenizer):
    add_task(
        tokenizer, [{"targets": np.array([1], np.int32)}], splits=("test", "validation", "train")
    )
    assert task_splits("examples") == ["train", "validation"]


def test_the_hash_follows_content_settings_and_modules(tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("a line\n" * 3)
    (tmp_path / "hashed_package").mkdir()
    (tmp_path / "hashed_package" / "__init__.py").write_text("from . import part\n")
    (tmp_path / "hashed_package" / "part.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("hashed_package")

    def add(suffix):
        def append(data):
            return data.map(lambda line: {"targets": line + suffix})

        seqio.TaskRegistry.remove("hashed")
        seqio.TaskRegistry.add(
            "hashed",
            source=seqio.TextLineDataSource({"train": str(path)}),
            preprocessors=[append, seqio.preprocessors.tokenize],
            output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer))},
        )
        return hash_task("hashed", ["hashed_package"])

    first = add("")
    assert add("") == first
    settings = add("!")
    path.write_text("another line\n" * 3)
    content = add("")
    assert set(hash_modules(["hashed_package"])) == {
        "hashed_package:__init__.py",
        "hashed_package:part.py",
    }
    (tmp_path / "hashed_package" / "part.py").write_text("x = 2\n")
    assert len({first, settings, content, add("")}) == 4
