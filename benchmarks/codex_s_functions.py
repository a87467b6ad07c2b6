"""Packs documented functions of wheels into rows: the middle stage of codex_s_gpu.sh.

    python benchmarks/codex_s_functions.py WHEELS TOKENIZER ROWS --exclude HumanEval.jsonl.gz

The syntax tree alone finds them, on every core and without the packages that `data build` needs: a
GPU machine has many cores and little time. Functions at the top of a module are taken that have
arguments, a docstring and a returned value, with the imports that they use. A wheel's metadata must
name a permissive license; programs that repeat one another but for names, and those that share 13
words in a row with an excluded file, are left out.
"""

import argparse
import ast
import hashlib
import multiprocessing
import pathlib
import re
import warnings
import zipfile
from collections.abc import Iterator

import numpy as np

LENGTH = 1024  # tokens of a row
WORDS = 13  # in a row, of an excluded file
LINES = range(4, 61)
PERMISSIVE = re.compile(
    r"\b(MIT|Apache|BSD|ISC|PSF|Python Software|Unlicense|Zlib)\b", re.IGNORECASE
)
RESTRICTIVE = re.compile(r"\b(A?L?GPL|MPL|EUPL|Proprietary|CC.BY.NC)", re.IGNORECASE)


def is_permissive(members: zipfile.ZipFile) -> bool:
    """Tells whether the metadata of a wheel name a permissive license and no other."""
    names = [name for name in members.namelist() if name.endswith(".dist-info/METADATA")]
    text = members.read(names[0]).decode(errors="replace") if names else ""
    head = text.partition("\n\n")[0]
    lines = re.findall(r"^(?:License|License-Expression|Classifier: License).*", head, re.MULTILINE)
    stated = " ".join(line[:120] for line in lines)
    return bool(PERMISSIVE.search(stated)) and not RESTRICTIVE.search(stated)


def words_of(text: str) -> list[str]:
    """The words of a text, for comparisons."""
    return re.findall(r"\w+", text.lower())


def runs_of(text: str) -> set[str]:
    """Each run of 13 words of a text."""
    words = words_of(text)
    return {" ".join(words[n : n + WORDS]) for n in range(len(words) - WORDS + 1)}


def functions_of(source: str) -> Iterator[tuple[str, str]]:
    """Yields a hash of each function's program without names, and its text with its imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    lines = source.splitlines()
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and is_useful(node):
            used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            head = [
                "\n".join(lines[each.lineno - 1 : each.end_lineno])
                for each in imports
                if not getattr(each, "level", 0)
                and used & {(name.asname or name.name).split(".")[0] for name in each.names}
            ]
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            yield hash_program(node), "\n".join([*head, *([""] * 2 if head else []), text]) + "\n"


def is_useful(node: ast.FunctionDef) -> bool:
    """Tells whether a function has words, arguments, a few lines and a result."""
    words = ast.get_docstring(node) or ""
    returns = any(isinstance(each, ast.Return) and each.value for each in ast.walk(node))
    size = (node.end_lineno or 0) - node.lineno + 1
    has_arguments = bool(node.args.args or node.args.posonlyargs or node.args.kwonlyargs)
    is_plain = not node.decorator_list and len(words) >= 20 and words.isascii()
    return is_plain and returns and has_arguments and size in LINES


def hash_program(node: ast.FunctionDef) -> str:
    """A hash of a function without its docstring and names."""
    text = ast.dump(ast.Module(node.body[1:], []))
    names = iter(range(1 << 20))
    numbers: dict[str, int] = {}
    text = re.sub(
        r"(id|arg|attr)='(\w+)'", lambda m: f"{numbers.setdefault(m[2], next(names))}", text
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_wheel(path: pathlib.Path) -> list[tuple[str, str]]:
    """The functions of a wheel, none where its license isn't permissive."""
    with zipfile.ZipFile(path) as members:
        if not is_permissive(members):
            return []
        return [
            function
            for name in sorted(members.namelist())
            if name.endswith(".py") and members.getinfo(name).file_size < 500_000
            for function in functions_of(members.read(name).decode(errors="replace"))
        ]


def encode_texts(task: tuple[str, list[str]]) -> list[np.ndarray]:
    """The tokens of texts that fit into a row with their end."""
    from codex_jax.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(task[0])
    arrays = [np.array(tokenizer.encode(text), np.int32) for text in task[1]]
    return [array for array in arrays if len(array) < LENGTH]


def select_texts(wheels: list[list[tuple[str, str]]], excluded: set[str]) -> list[str]:
    """A text of each program, without those that share words with what is excluded."""
    programs: dict[str, str] = {}
    for functions in wheels:
        for program, text in functions:
            programs.setdefault(program, text)
    return [text for text in programs.values() if not excluded & runs_of(text)]


def write_rows(arrays: list[np.ndarray], tokenizer_file: str, rows: pathlib.Path) -> None:
    """Packs the documents, the longest first, which fills rows best."""
    from codex_jax.data.packing.pack import pack, rows_to_batch, split_document
    from codex_jax.data.packing.row_store import ROWS_PER_FILE, RowsInfo, RowWriter, write_info
    from codex_jax.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(tokenizer_file)
    sizes = {"sequence_length": LENGTH, "eos_id": tokenizer.eos_id}
    mask = tokenizer.newline_mask()
    segments = (
        segment
        for array in sorted(arrays, key=len, reverse=True)
        for segment in split_document(array, newline_mask=mask, **sizes)
    )
    rows.mkdir(parents=True)
    writer, packed = RowWriter(rows, LENGTH), list(pack(segments, sequence_length=LENGTH))
    for start in range(0, len(packed), ROWS_PER_FILE):
        writer.append(rows_to_batch(packed[start : start + ROWS_PER_FILE], LENGTH))
    fingerprint = writer.finish()
    info = {"tokenizer_hash": tokenizer.hash, "vocab_size": tokenizer.vocab_size}
    info |= {"sequence_length": LENGTH, "rows": writer.rows, "tokens": writer.tokens}
    info |= {"parameters": {}, "sources": {}}
    write_info(rows, RowsInfo(fingerprint=fingerprint, state=fingerprint, **info))
    print(f"{len(arrays)} functions, {writer.tokens:,} tokens in {writer.rows} rows", flush=True)


def main() -> None:
    """Reads the wheels, and writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheels", type=pathlib.Path, help="a folder of them")
    parser.add_argument("tokenizer", help="tokenizer.json")
    parser.add_argument("rows", type=pathlib.Path, help="the folder to write")
    parser.add_argument("--exclude", nargs="*", default=[], help="problem files to keep out")
    options = parser.parse_args()
    from codex_jax.records import Problem, read_jsonl

    excluded = {
        run
        for file in options.exclude
        for problem in read_jsonl(file, Problem)
        for run in runs_of(problem.prompt + problem.canonical_solution)
    }
    with multiprocessing.get_context("spawn").Pool() as pool:
        functions = pool.map(read_wheel, sorted(options.wheels.glob("*.whl")), chunksize=4)
        texts = select_texts(functions, excluded)
        print(f"{sum(map(len, functions))} documented functions, {len(texts)} left", flush=True)
        parts = [
            (options.tokenizer, texts[start : start + 500]) for start in range(0, len(texts), 500)
        ]
        arrays = [array for part in pool.map(encode_texts, parts, chunksize=1) for array in part]
    write_rows(arrays, options.tokenizer, options.rows)


if __name__ == "__main__":
    main()
