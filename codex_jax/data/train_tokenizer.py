"""The command `tokenizer`: learns a vocabulary from a corpus."""

import hashlib
import itertools
import json
import pathlib

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import Corpus, no_usable_file_error, read_corpus, scan
from codex_jax.data.stats import FileStats
from codex_jax.files import atomic_write, claim_file, has_json_keys
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
      cleaning: filters, duplicates, licenses, secrets, problems to keep out.

    Raises:
      InputError: a directory is missing, or no file of the corpus is usable.
    """
    output = pathlib.Path(output)
    trees = read_corpus(corpus)
    notes = output.with_name(output.stem + ".learnt.json")
    claim_file(output, has_json_keys("format", "hash", "vocabulary"), "output")
    claim_file(notes, has_json_keys("state", "hash"), "output")
    inputs = f"{vocab_size} {cleaning} {scan(trees, cleaning.decontaminate_against).state}"
    state = hashlib.sha256(inputs.encode()).hexdigest()
    if _last_state(output, notes) == state:
        print(f"tokenizer: {output} is up to date")
        return
    stats, cleaner = FileStats(), Cleaner(cleaning)
    streams = (cleaner.documents(tree, stats, f"tokenizer {name}") for name, tree in trees.items())
    texts = (document.text for document in itertools.chain.from_iterable(streams))
    tokenizer = Tokenizer.train(texts, vocab_size=vocab_size)
    if not stats.accepted:
        raise no_usable_file_error(trees, stats.reasons())
    tokenizer.save(output)
    atomic_write(notes, json.dumps({"state": state, "hash": tokenizer.hash}) + "\n")
    print(f"tokenizer: {tokenizer.vocab_size} ids, hash {tokenizer.hash[:12]}, in {output}")


def _last_state(output: pathlib.Path, notes: pathlib.Path) -> str | None:
    """Returns the state of the corpus that an intact earlier run learnt from."""
    try:
        fields = json.loads(notes.read_text("utf-8"))
        return fields["state"] if Tokenizer.load(output).hash == fields["hash"] else None
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
