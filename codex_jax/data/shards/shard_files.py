"""Tokenized documents on disk, between the workers that make them and the packing."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Text:
    """One training text of a document."""

    language: str
    ids: np.ndarray  # unsigned (n,)
    weights: np.ndarray | None  # float32 (n,), of the loss; None where all are 1


@dataclasses.dataclass(frozen=True)
class Tokenized:
    """One document: its path, size in bytes, keys for finding duplicates, and its texts."""

    path: str
    language: str
    size: int
    digest: int
    sketch: np.ndarray  # uint32 (128,), or (0,) where near duplicates aren't looked for
    texts: list[Text]


def write_block(path: pathlib.Path, documents: list[Tokenized], dtype: np.dtype) -> None:
    """Writes some documents, whole or not at all; `dtype` holds every id."""
    texts = [text for document in documents for text in document.texts]
    weighed = [text for text in texts if text.weights is not None]
    names = {
        "paths": [document.path for document in documents],
        "languages": [document.language for document in documents],
        "of_texts": [text.language for text in texts],
    }
    arrays = {
        "names": np.frombuffer(json.dumps(names).encode(), np.uint8),
        "sizes": np.array([document.size for document in documents], np.int64),
        "digests": np.array([document.digest for document in documents], np.uint64),
        "sketches": np.stack([document.sketch for document in documents]),
        "texts": np.array([len(document.texts) for document in documents], np.int64),
        "lengths": np.array([len(text.ids) for text in texts], np.int64),
        "weighed": np.array([text.weights is not None for text in texts], bool),
        "ids": np.concatenate([np.zeros(0, dtype), *(text.ids for text in texts)]).astype(dtype),
        "weights": np.concatenate([np.zeros(0, np.float32), *(each.weights for each in weighed)]),
    }
    partial = path.with_name("partial-" + path.name)
    with partial.open("wb") as out:
        np.savez(out, **arrays)
    partial.replace(path)


def read_keys(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Digests (n,) and sketches (n, 128) of a block's documents."""
    with np.load(path) as arrays:
        return arrays["digests"], arrays["sketches"]


def read_block(path: pathlib.Path) -> Iterator[Tokenized]:
    """The documents of a block."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    names = json.loads(arrays["names"].tobytes())
    texts = _texts(arrays, names["of_texts"])
    keys = (names["paths"], names["languages"], arrays["sizes"].tolist(), arrays["digests"])
    for row in zip(*keys, arrays["sketches"], arrays["texts"].tolist(), strict=True):
        yield Tokenized(*row[:5], [next(texts) for _ in range(row[5])])


def _texts(arrays: dict[str, np.ndarray], languages: list[str]) -> Iterator[Text]:
    at = of_weights = 0
    lengths, weighed = arrays["lengths"].tolist(), arrays["weighed"].tolist()
    for language, length, weighs in zip(languages, lengths, weighed, strict=True):
        weights = arrays["weights"][of_weights : of_weights + length] if weighs else None
        yield Text(language, arrays["ids"][at : at + length], weights)
        at += length
        of_weights += length * weighs
