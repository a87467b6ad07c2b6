"""The process pool, seqio and Beam encode a document to the same tokens."""

import unicodedata
from typing import Any

import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.documents import Document, Span
from codex_jax.data.examples.encode import DocumentEncoder, encode_jointly, encode_spans
from codex_jax.data.shards.shard_files import read_block
from codex_jax.data.shards.shards import BuildSpec, plan_shards
from codex_jax.data.shards.worker_pool import build_shards
from codex_jax.tokenizer import SPECIALS, Tokenizer

from .conftest import write_tree

CODE = 'def add{n}(a, b):\n    """Adds b to a, which are two numbers."""\n    return a + b + {n}\n'
SEED = 3

Text = tuple[str, tuple[int, ...], tuple[float, ...]]  # language, ids, weights


@pytest.fixture
def root(tmp_path):
    files = {f"p{n % 3}/m{n}.py": CODE.replace("{n}", str(n)) for n in range(9)}
    rust = "// Adds b to a, which are two numbers.\nfn add(a: i32, b: i32) -> i32 { a + b }\n"
    return write_tree(tmp_path / "root", {**files, "p/a.rs": rust})


TREES: dict[str, dict[str, Any]] = {
    "infilling": {"infilling": 0.5, "weight": 2.5},
    "prose to code": {"render_as": "prose to code"},
    "code to prose": {"render_as": "code to prose", "weight": 1.5},
}


@pytest.fixture(params=TREES)
def source_tree(request, root) -> SourceTree:
    return SourceTree(path=str(root), languages=("*",), **TREES[request.param])


def to_text(language: str, ids: np.ndarray, weights: np.ndarray | None) -> Text:
    weights = np.ones(len(ids)) if weights is None else weights
    return language, tuple(ids.tolist()), tuple(weights.tolist())


def from_pool(tree, tokenizer_file, folder) -> list[Text]:
    """Texts of two worker processes, whose newline+indent tokens stay unsplit."""
    folder.mkdir()
    spec = BuildSpec({"t": tree}, str(tokenizer_file), Cleaning(), 0.0, SEED, str(folder))
    assert list(build_shards(spec, plan_shards(spec.trees), workers=2))
    blocks = sorted(folder.glob("*.npz"))
    documents = (document for block in blocks for document in read_block(block))
    texts = (text for document in documents for text in document.texts)
    return sorted(to_text(text.language, text.ids, text.weights) for text in texts)


def from_dataset(task) -> list[Text]:
    dataset = task.get_dataset(split="train", sequence_length=None, shuffle=False)
    return sorted(
        to_text(example["language"].decode(), example["targets"], example["weights"])
        for example in dataset.as_numpy_iterator()
    )


def test_the_pool_and_seqio_agree(source_tree, tokenizer_file, tokenizer, tmp_path):
    pytest.importorskip("seqio")
    from codex_jax.data.seqio_tasks.tasks import add_tree_task

    task = add_tree_task("test_encode", source_tree, tokenizer, seed=SEED, source="t")
    texts = from_pool(source_tree, tokenizer_file, tmp_path / "shards")
    assert len(texts) >= 10
    assert from_dataset(task) == texts


@pytest.mark.slow
def test_the_pool_and_beam_agree(source_tree, tokenizer_file, tokenizer, tmp_path):
    pytest.importorskip("apache_beam")
    from codex_jax.data.cache_command import cache_on_beam
    from codex_jax.data.seqio_tasks.cached_task import add_cached_task

    output = str(tmp_path / "beam")
    cache_on_beam(
        corpus={"t": source_tree}, tokenizer=tokenizer_file, output=output, files=2, seed=SEED
    )
    task = add_cached_task("test_encode_beam", output, "t", tokenizer)
    assert from_dataset(task) == from_pool(source_tree, tokenizer_file, tmp_path / "shards")


def test_spans_are_encoded_by_themselves(tokenizer):
    spans = (Span("a b"), Span(SPECIALS[1], special=True), Span(" c", weight=0.0), Span(""))
    ids, weights = encode_spans(spans, tokenizer)
    first, last = tokenizer.encode("a b"), tokenizer.encode(" c")
    assert ids.tolist() == [*first, tokenizer.special_id(SPECIALS[1]), *last]
    assert weights.tolist() == [1.0] * (len(first) + 1) + [0.0] * len(last)
    assert (ids.dtype, weights.dtype) == (np.int32, np.float32)
    assert encode_spans((), tokenizer)[0].shape == (0,)


def test_a_document_is_encoded_as_often_as_its_weight_says(tokenizer):
    document = Document("a.py", "a = 1\n", "Python")
    tree = SourceTree(path=".", weight=3)
    examples = list(DocumentEncoder(tokenizer, SEED, 64).encode(document, tree))
    assert [example.key for example in examples] == ["a.py#0", "a.py#1", "a.py#2"]
    assert all(tokenizer.decode(example.ids) == "a = 1\n" for example in examples)


def test_an_unknown_special_token_is_an_error(tokenizer):
    with pytest.raises(InputError, match="<no_such_token>"):
        encode_spans((Span("<no_such_token>", special=True),), tokenizer)


class ComposingTokenizer(Tokenizer):
    """Bytes of text whose letters are composed with their accents, behind a space, perhaps."""

    def __init__(self, space: str = ""):
        self._space = space

    def encode(self, text, *, specials=False):
        del specials
        return list(unicodedata.normalize("NFC", self._space * bool(text) + text).encode())

    def token_bytes(self, token):
        return bytes([token])


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize(
    ("prompt", "solution"),
    [
        ("def f():\n", "  return 'e\u0301e\u0301e\u0301'\n"),
        ("'''e\u0301e\u0301e\u0301'''\n", "  return 1\n"),
        ("'''e\u0301'''\n", "  return 'e\u0301'\n"),
        ("", "  return 'e\u0301'\n"),
        ("def f():\n", "  return 1\n"),
    ],
)
def test_the_border_is_where_the_tokens_have_it(prompt, solution, space):
    spans = (Span(prompt, weight=0.0), Span(solution))
    ids, weights = encode_jointly(spans, ComposingTokenizer(space))
    weighed = bytes(ids[weights == 1].tolist()).decode()
    assert weighed == unicodedata.normalize("NFC", (space if not prompt else "") + solution)
