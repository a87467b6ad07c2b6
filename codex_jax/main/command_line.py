"""Words of a command line, sorted."""

from collections.abc import Sequence
from typing import NamedTuple

from codex_jax import InputError

HELP = {"--help", "-h"}
_DRY_RUN = {"--dry_run", "--dry-run"}


class Request(NamedTuple):
    """The words after a command, sorted."""

    files: list[str]
    flags: list[tuple[str, str, str | None]]  # (as typed, name, value)
    help: bool
    dry_run: bool


def parse(argv: Sequence[str], operand: str = "") -> Request:
    """Sorts words: --NAME=VALUE or --NAME VALUE is a flag, a bare word a gin file.

    Another bare word is the value of `operand`, the name of a setting, where there is one.

    Raises:
      InputError: a word that is no gin file.
    """
    request = Request([], [], bool(HELP & set(argv)), bool(_DRY_RUN & set(argv)))
    words = [word for word in argv if word not in HELP | _DRY_RUN]
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if operand and not word.endswith(".gin"):
                for _, name, former in request.flags:
                    if name == operand:
                        raise InputError(f"{operand} is {former!r} and {word!r}; set it once")
                request.flags.append((word, operand, word))
                continue
            if not word.endswith(".gin"):
                raise InputError(f"{word!r}: expected FILE.gin or --NAME=VALUE")
            request.files.append(word)
            continue
        name, equals, text = word[2:].partition("=")
        value: str | None = text
        if not equals:  # `run` knows whether it is a switch
            value = words.pop(0) if words and not words[0].startswith("--") else None
        name = name if name.startswith("gin.") else name.replace("-", "_")
        if name == "gin_file":
            if not value:
                raise InputError(f"{word} has no value; write --gin_file=FILE.gin")
            request.files.append(value)
        else:
            request.flags.append((word, name, value))
    return request
