"""The verb `tokenizer`: learns a vocabulary from a corpus."""

import collections
import hashlib
import json
import pathlib

from codex_jax import InputError
from codex_jax.data.sources import (
    Corpus,
    list_files,
    nothing_usable,
    read_corpus,
    read_documents,
    state_of,
)
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer


def learn_tokenizer(*, corpus: Corpus, output: pathlib.Path | str, vocab_size: int = 16384) -> None:
    """Learns a byte-level BPE tokenizer and writes it as one JSON file.

    Each document counts once, whatever its tree's weight. Does nothing where `output` was already
    learnt from the same files.

    Args:
      corpus: named directory trees, {"name": path} or {"name": (path, weight)}.
      output: the JSON file to write.
      vocab_size: number of ids, special tokens included.

    Raises:
      InputError: a directory is missing, or no file of the corpus is usable.
    """
    output = pathlib.Path(output)
    trees = read_corpus(corpus)
    state = hashlib.sha256(f"{vocab_size} {state_of(trees)}".encode()).hexdigest()
    notes = output.with_name(output.stem + ".learnt.json")
    if _learnt_from(output, notes) == state:
        print(f"tokenizer: {output} is up to date")
        return
    total = sum(1 for tree in trees.values() for _ in list_files(tree))
    dropped: collections.Counter[str] = collections.Counter()
    documents = (found for tree in trees.values() for found in read_documents(tree, dropped))
    texts = (found.text for found in bar(documents, what="tokenizer", total=total, unit="file"))
    tokenizer = Tokenizer.train(texts, vocab_size=vocab_size)
    if total == sum(dropped.values()):
        raise nothing_usable(trees, dropped)
    tokenizer.save(output)
    notes.write_text(json.dumps({"state": state, "hash": tokenizer.hash}) + "\n", "utf-8")
    print(f"tokenizer: {tokenizer.vocab_size} ids, hash {tokenizer.hash[:12]}, in {output}")


def _learnt_from(output: pathlib.Path, notes: pathlib.Path) -> str | None:
    """The state of the corpus that an intact earlier run learnt from."""
    try:
        found = json.loads(notes.read_text("utf-8"))
        return found["state"] if Tokenizer.load(output).hash == found["hash"] else None
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
