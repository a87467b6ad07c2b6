"""Builds the corpus of `fetch_corpus.py`; prints tables of its steps, seconds and memory.

    python benchmarks/build_corpus.py CORPUS OUTPUT [--problems PROBLEMS.jsonl …]

Every language, archives and notebooks opened, near duplicates over 0.85, secrets replaced,
licenses counted (none refused), the problems left out; rows of 2,048. The tokenizer is learnt
first, on a part of the corpus, where OUTPUT has none. Memory is the peak of any one process. With
--megabytes only the first directories are taken, up to that much of files.
"""

import argparse
import pathlib
import resource
import time

from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree, list_files
from codex_jax.data.shards.worker_pool import available_cpus
from codex_jax.data.train_tokenizer import learn_tokenizer

# The kernel's drivers and architectures alone are more than all else together.
_EXCLUDE = ("*/drivers/*", "*/arch/*", "*/sound/*")


def main() -> None:
    """Learns a tokenizer if need be, builds, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--problems", nargs="*", default=[])
    parser.add_argument("--megabytes", type=float)
    parser.add_argument("--workers", type=int)
    settings = parser.parse_args()
    tokenizer = settings.output / "tokenizer.json"
    if not tokenizer.exists():
        learn_tokenizer(corpus={"python": _tree(settings.corpus / "wheel")}, output=tokenizer)
    folders = sorted(path for path in settings.corpus.glob("*/*") if path.is_dir())
    tree = _tree(settings.corpus, _folders_beyond(settings.corpus, folders, settings.megabytes))
    start = time.monotonic()
    build(
        corpus={"registries": tree},
        tokenizer=tokenizer,
        output=settings.output / "rows",
        sequence_length=2048,
        cleaning=Cleaning(
            near_duplicates=0.85,
            licenses=("*",),
            secrets=True,
            decontaminate_against=settings.decontaminate_against,
        ),
        workers=settings.workers,
    )
    own, child = map(_peak_gb, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    workers = available_cpus() if settings.workers is None else settings.workers
    print(f"{time.monotonic() - start:.0f} s, {workers} workers")
    print(f"at most {own:.2f} GB in the build and {child:.2f} GB in a worker")


def _tree(path: pathlib.Path, exclude: tuple[str, ...] = ()) -> SourceTree:
    return SourceTree(
        path=str(path),
        languages=("*",),
        open=("archives", "notebooks"),
        exclude=(*_EXCLUDE, *exclude),
    )


def _folders_beyond(corpus: pathlib.Path, folders: list[pathlib.Path], most: float | None) -> tuple:
    """Returns globs of the folders after those that together have `most` MB of source."""
    if most is None:
        return ()
    total = 0
    for number, folder in enumerate(folders):
        if total >= most * 1e6:
            return tuple(f"{path.relative_to(corpus)}/*" for path in folders[number:])
        total += sum(entry.size for entry in list_files(_tree(folder)))
    return ()


def _peak_gb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1e6  # kB on Linux


if __name__ == "__main__":
    main()
