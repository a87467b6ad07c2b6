"""Whether text → ids → text is exact on every file of a corpus, of any language, in archives too.

    python benchmarks/tokenizer_round_trip.py CORPUS TOKENIZER

Every file that can be read counts, whatever the filters would say of it.
"""

import argparse
import sys

from codex_jax.data.corpus import Tree, list_files
from codex_jax.data.readers.files import read_files
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer


def main() -> None:
    """Prints how many files came back exactly; exits with 1 where one didn't."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("tokenizer")
    settings = parser.parse_args()
    tokenizer = Tokenizer.load(settings.tokenizer)
    tree = Tree(path=settings.corpus, languages=("*",), containers=("archives",))
    exact, size, wrong, foreign = 0, 0, [], 0
    for file in bar(read_files(tree, list_files(tree)), desc="round trip", unit="file"):
        try:
            text = file.content.decode()
        except UnicodeDecodeError:
            foreign += 1
            continue
        if tokenizer.decode_bytes(tokenizer.encode(text)) == file.content:
            exact += not file.reason
            size += len(file.content)
        else:
            wrong.append(file.path)
    print(f"{exact:,} files of {size / 1e6:,.0f} MB exact, {len(wrong)} not; {foreign} not UTF-8")
    if wrong:
        sys.exit("\n".join(wrong[:20]))


if __name__ == "__main__":
    main()
