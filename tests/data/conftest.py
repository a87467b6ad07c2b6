"""A small corpus, its tokenizer and its cache, made once."""

import pathlib

import pytest

from codex_jax.data.build import build
from codex_jax.data.train_tokenizer import learn_tokenizer
from codex_jax.tokenizer import Tokenizer


def write_tree(root: pathlib.Path, files: dict[str, str | bytes]) -> pathlib.Path:
    """Files below `root`, by relative path."""
    for relative, content in files.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def module_text(n: int) -> str:
    """A made-up module with "!" (id 0), blank lines and two levels of indentation."""
    functions = (
        f"def f{n}_{k}(x):\n    if x != {k}:\n        return 'no!' * {n}\n\n    return x\n\n\n"
        for k in range(n % 7 + 1)
    )
    return f'"""Module {n}!"""\n# Go!\n\n' + "".join(functions)


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("tree")
    files = {f"package{n % 3}/module{n}.py": module_text(n) for n in range(60)}
    return write_tree(root, files | {"long.py": module_text(6) * 20, "notes.txt": "not code"})


@pytest.fixture(scope="session")
def tokenizer_file(tree, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    learn_tokenizer(corpus={"tree": tree}, output=path, vocab_size=400)
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_file) -> Tokenizer:
    return Tokenizer.load(tokenizer_file)


@pytest.fixture(scope="session")
def cache(tree, tokenizer_file, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("cache") / "packed"
    build(corpus={"tree": tree}, tokenizer=tokenizer_file, output=path, sequence_length=64)
    return path
