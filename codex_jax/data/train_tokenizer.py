"""The verb `tokenizer`: learns a vocabulary from a corpus."""

import hashlib
import itertools
import json
import pathlib

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Tally
from codex_jax.data.corpus import Corpus, nothing_usable, read_corpus, survey
from codex_jax.tokenizer import Tokenizer


def learn_tokenizer(
    *,
    corpus: Corpus,
    output: pathlib.Path | str,
    vocab_size: int = 16384,
    cleaning: Cleaning = Cleaning(),
) -> None:
    """Learns a byte-level BPE tokenizer and writes it as one JSON file.

    Each document counts once, whatever its tree's weight. Does nothing where `output` was already
    learnt from the same files.

    Args:
      corpus: named directory trees, {"name": path} or {"name": (path, weight)}.
      output: the JSON file to write.
      vocab_size: number of ids, special tokens included.
      cleaning: filters, duplicates, licences, secrets, problems to keep out.

    Raises:
      InputError: a directory is missing, or no file of the corpus is usable.
    """
    output = pathlib.Path(output)
    trees = read_corpus(corpus)
    state = hashlib.sha256(
        f"{vocab_size} {cleaning} {survey(trees, cleaning.against).state}".encode()
    ).hexdigest()
    notes = output.with_name(output.stem + ".learnt.json")
    if _learnt_from(output, notes) == state:
        print(f"tokenizer: {output} is up to date")
        return
    tally, cleaner = Tally(), Cleaner(cleaning)
    streams = (cleaner.documents(tree, tally, f"tokenizer {name}") for name, tree in trees.items())
    texts = (found.text for found in itertools.chain.from_iterable(streams))
    tokenizer = Tokenizer.train(texts, vocab_size=vocab_size)
    if not tally.kept:
        raise nothing_usable(trees, tally.reasons())
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
