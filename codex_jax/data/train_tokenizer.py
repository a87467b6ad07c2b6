"""The command `tokenizer`: learns a vocabulary from a corpus, or from a Task or Mixture."""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence

from codex_jax import InputError
from codex_jax.data.blend import Blend, check_cleaning, read_blend
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import Corpus, is_validation, no_usable_file_error, scan
from codex_jax.data.seqio_tasks.lazy_import import load_task_examples
from codex_jax.data.stats import FileStats
from codex_jax.files import atomic_write, claim_file, has_json_keys
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer


def learn_tokenizer(
    *,
    corpus: Corpus | None = None,
    mixture: str = "",
    modules: Sequence[str] | str = (),
    output: pathlib.Path | str,
    vocab_size: int = 16384,
    cleaning: Cleaning = Cleaning(),
) -> None:
    """Learns a byte-level BPE tokenizer and writes it as one JSON file.

    It learns from the train split. Each document counts once, whatever its weight or rate, but for
    those of weight or rate 0. Does nothing where `output` was already learnt from the same files.

    Args:
      corpus: directory trees, each a Task of its name: {"name": path} or {"name": (path, weight)}.
      mixture: name of a seqio Task or Mixture; by default all of corpus.
      modules: Python modules that register it.
      output: the JSON file to write.
      vocab_size: number of ids, special tokens included.
      cleaning: filters, duplicates, licenses, secrets, problems to keep out.

    Raises:
      InputError: a directory is missing, a Task can't be read, or no file of the corpus is usable.
    """
    output = pathlib.Path(output)
    claim_file(output, has_json_keys("format", "hash", "vocabulary"), "output")
    notes = output.with_name(output.stem + ".learnt.json")
    claim_file(notes, has_json_keys("state", "hash"), "output")
    blend = read_blend(corpus, mixture, modules, None)
    check_cleaning(cleaning, blend)
    state = _hash_inputs(blend, vocab_size, cleaning)
    if _last_state(output, notes) == state:
        print(f"tokenizer: {output} is up to date")
        return
    texts = _Texts(blend, cleaning)
    tokenizer = Tokenizer.train(texts.read(), vocab_size=vocab_size)
    if not texts.count:
        names, tasks = [*blend.trees, *blend.task_hashes], list(blend.task_hashes)
        raise no_usable_file_error(names, texts.stats.reasons(), tasks)
    tokenizer.save(output)
    atomic_write(notes, json.dumps({"state": state, "hash": tokenizer.hash}) + "\n")
    print(f"tokenizer: {tokenizer.vocab_size} ids, hash {tokenizer.hash[:12]}, in {output}")


class _Texts:
    """The texts of a blend's train split, before tokenization, and counts of them."""

    def __init__(self, blend: Blend, cleaning: Cleaning):
        self._blend = blend
        self._cleaner = Cleaner(cleaning)
        self.stats = FileStats()
        self.count = 0

    def read(self) -> Iterator[str]:
        """Yields the texts, those of trees first."""
        for text in self._texts():
            self.count += 1
            yield text

    def _texts(self) -> Iterator[str]:
        rates = self._blend.rates
        for name, tree in self._blend.trees.items():
            if rates.get(name, 1):
                for document in self._cleaner.documents(tree, self.stats, f"tokenizer {name}"):
                    is_held_out = is_validation(document.path, tree.validation_share)
                    if tree.weight_of(document.language) and not is_held_out:
                        yield document.text
        for name in self._blend.task_hashes:
            if rates.get(name, 1):
                read_texts = load_task_examples().read_texts
                yield from bar(read_texts(name), desc=f"tokenizer {name}", unit="text")


def _hash_inputs(blend: Blend, vocab_size: int, cleaning: Cleaning) -> str:
    files = scan(blend.trees, cleaning.decontaminate_against)
    tasks = json.dumps([blend.task_hashes, blend.module_hashes, blend.rates], sort_keys=True)
    return hashlib.sha256(f"{vocab_size} {cleaning} {files.state} {tasks}".encode()).hexdigest()


def _last_state(output: pathlib.Path, notes: pathlib.Path) -> str | None:
    """Returns the state of the corpus that an intact earlier run learnt from."""
    try:
        fields = json.loads(notes.read_text("utf-8"))
        return fields["state"] if Tokenizer.load(output).hash == fields["hash"] else None
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
