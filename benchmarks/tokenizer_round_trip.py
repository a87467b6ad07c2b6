"""Checks that text → ids → text is exact on every file of a corpus, in archives too.

    python benchmarks/tokenizer_round_trip.py CORPUS TOKENIZER

Every readable file of any language counts, also those that the filters would drop.
"""

import argparse
import sys

from codex_jax.data.corpus import SourceTree, list_files
from codex_jax.data.readers.files import read_files
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer


def main() -> None:
    """Prints how many files came back exactly; exits with 1 if any didn't."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("tokenizer")
    settings = parser.parse_args()
    tokenizer = Tokenizer.load(settings.tokenizer)
    tree = SourceTree(path=settings.corpus, languages=("*",), open=("archives",))
    exact, size, inexact, not_utf8 = 0, 0, [], 0
    for file in bar(read_files(tree, list_files(tree)), desc="round trip", unit="file"):
        try:
            text = file.content.decode()
        except UnicodeDecodeError:
            not_utf8 += 1
            continue
        if tokenizer.decode_bytes(tokenizer.encode(text)) == file.content:
            exact += not file.reason
            size += len(file.content)
        else:
            inexact.append(file.path)
    print(
        f"{exact:,} files of {size / 1e6:,.0f} MB exact, {len(inexact)} not; {not_utf8} not UTF-8"
    )
    if inexact:
        sys.exit("\n".join(inexact[:20]))


if __name__ == "__main__":
    main()
