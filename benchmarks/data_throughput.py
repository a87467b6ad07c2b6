"""MB/s from files to training tokens: `data` next to the PyPI package datatrove, on the same files.

    python benchmarks/data_throughput.py CORPUS --datatrove VENV/bin/python [--megabytes 100]

Both read one set of JSON Lines of the corpus's Python files (so neither walks or decodes a tree),
apply the paper's filters, drop near duplicates by MinHash-LSH over word 5-grams, and tokenize with
a byte-level BPE of one size and splitting; ours also packs into rows. datatrove runs its stages on
two workers, MinHash with 14 × 8 hashes; its words are split by the regex that ours uses, not by its
default (spaCy), which is slower. Each side runs alone, in its own process; imports count. Compare
by CPU seconds on a machine that others use as well.
"""

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

_PR_SET_CHILD_SUBREAPER = 36
_CODEX_JAX = """
import sys
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree
meta = build(corpus={"files": SourceTree(path=sys.argv[1] + "/in", open=("jsonl",))},
             tokenizer=sys.argv[1] + "/tokenizer.json", output=sys.argv[1] + "/ours",
             sequence_length=2048, cleaning=Cleaning(near_duplicates=0.75))
print(meta.sources["files"]["files"], meta.tokens)
"""
_LEARN = """
import sys
from codex_jax.data.train_tokenizer import learn_tokenizer
from codex_jax.data.corpus import SourceTree
learn_tokenizer(corpus={"files": SourceTree(path=sys.argv[1] + "/in", open=("jsonl",))},
                output=sys.argv[1] + "/tokenizer.json", vocab_size=16384)
"""
_DATATROVE = r"""
import re, sys
import datatrove.pipeline.dedup.minhash as minhash
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig

GENERATED = re.compile(r"@generated|\bauto-?\s?generated\b|\b(?:do not|don't) (?:edit|modify)\b"
    r"|\bgenerated (?:by|from|file|code|automatically)\b|\bautomatically generated\b", re.I)
ALPHANUMERIC = re.compile(r"[^\W_]+")
WORDS = re.compile(r"\w+")

def paper(document):
    text = document.text
    lines = text.splitlines() or [""]
    return (max(map(len, lines)) <= 1000 and sum(map(len, lines)) / len(lines) <= 100
            and sum(map(len, ALPHANUMERIC.findall(text))) / max(len(text), 1) >= 0.25
            and not GENERATED.search("\n".join(lines[:10])))

class Words:
    def word_tokenize(self, text):
        return WORDS.findall(text)

if __name__ == "__main__":
    minhash.load_word_tokenizer = lambda language: Words()
    root = sys.argv[1]
    at = root + "/theirs/"
    config = minhash.MinhashConfig(hash_config=HashConfig(precision=64))
    reader = lambda path: JsonlReader(path, text_key="content", id_key="id")
    def run(steps, tasks, name):
        LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=min(tasks, 2),
                              logging_dir=at + "logs/" + name).run()
    run([reader(root + "/in"), LambdaFilter(paper), JsonlWriter(at + "filtered", compression=None),
         minhash.MinhashDedupSignature(at + "signatures", config)], 2, "1")
    run([minhash.MinhashDedupBuckets(at + "signatures", at + "buckets", config=config)], 14, "2")
    run([minhash.MinhashDedupCluster(at + "buckets", at + "remove", config=config)], 1, "3")
    run([JsonlReader(at + "filtered"), minhash.MinhashDedupFilter(at + "remove"),
         DocumentTokenizer(at + "tokens", root + "/library.json", eos_token="<|endoftext|>",
                           local_working_dir=at + "work")], 2, "4")
    run([DocumentTokenizerMerger(at + "tokens", at + "merged", "merged")], 1, "5")
    print("done")
"""


def main() -> None:
    """Prepares the files, runs both sides, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--datatrove", required=True, help="a Python that has datatrove")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--secrets", action="store_true", help="ours also looks for secrets")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        secrets = f"near_duplicates=0.75, secrets={settings.secrets}"
        program_text = _CODEX_JAX.replace("near_duplicates=0.75", secrets)
        size = _write_jsonl(settings.corpus, pathlib.Path(root, "in"), settings.megabytes * 10**6)
        _run(sys.executable, _LEARN, root)
        _write_library_tokenizer(pathlib.Path(root))
        for name, python, program in (
            ("codex_jax", sys.executable, program_text),
            ("datatrove", settings.datatrove, _DATATROVE),
        ):
            wall, cpu, output = _run(python, program, root)
            print(
                f"{name:<10} {size / 1e6:.0f} MB: {wall:.1f} s, {size / 1e6 / wall:.2f} MB/s; "
                f"{cpu:.1f} CPU s, {size / 1e6 / cpu:.2f} MB/CPU s ({output})"
            )


def _write_jsonl(corpus: pathlib.Path, folder: pathlib.Path, most: int) -> int:
    """Writes Python files alternately into two files of records; returns their text's bytes."""
    folder.mkdir()
    total = 0
    with (folder / "0.jsonl").open("w") as even, (folder / "1.jsonl").open("w") as odd:
        for number, path in enumerate(sorted(corpus.rglob("*.py"))):
            try:
                text = path.read_bytes().decode()
            except (OSError, UnicodeDecodeError):
                continue
            if 0 < len(text) <= 1_000_000:
                record = {"id": str(number), "content": text, "lang": "Python", "path": str(path)}
                (odd if number % 2 else even).write(json.dumps(record) + "\n")
                total += len(text.encode())
            if total >= most:
                break
    return total


def _write_library_tokenizer(root: pathlib.Path) -> None:
    """Learns the same vocabulary again as the `tokenizers` library's own file, for datatrove."""
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    vocabulary = json.loads((root / "tokenizer.json").read_text("utf-8"))
    library = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(tokenizers.Regex(vocabulary["pattern"]), behavior="isolated")
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])
    lines = (line for path in sorted(root.glob("in/*")) for line in path.open())
    texts = (json.loads(line)["content"] for line in lines)
    trainer = trainers.BpeTrainer(
        vocab_size=len(vocabulary["vocabulary"]),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    library.add_special_tokens(["<|endoftext|>"])
    library.save(str(root / "library.json"))


def _run(python: str, program: str, root: str) -> tuple[float, float, str]:
    """Returns wall and CPU seconds of a program and its descendants, and its last line."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans become children, so count
    script = pathlib.Path(root, "program.py")
    script.write_text(program)
    path = {"PYTHONPATH": str(pathlib.Path.cwd())} if python == sys.executable else {}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [python, str(script), root],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | path,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    wall = time.monotonic() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
