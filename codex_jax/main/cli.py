"""`codex-jax VERB …`: argv to one call, every bad input to one line and status 2."""

import errno
import gc
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import codex_jax
from codex_jax import InputError
from codex_jax.main import help_text as helps
from codex_jax.main.commands import UNDER_DATA, VERBS, Verb, missing_package

# What a machine refuses without being a bug of ours.
_REFUSALS = {
    errno.ENOSPC: "free space, or write elsewhere, and run again",
    errno.EDQUOT: "free space, or write elsewhere, and run again",
    errno.EFBIG: "the file grew beyond what is allowed here",
    errno.EACCES: "choose a path that you may use",
    errno.EPERM: "choose a path that you may use",
    errno.EROFS: "choose a path that can be written",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "a folder on the way is a file",
}


class Request(NamedTuple):
    """argv, taken apart."""

    files: list[str]
    flags: list[tuple[str, str, str | None]]  # (as typed, name, value)
    help: bool
    dry_run: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    argv = _shortened(list(sys.argv[1:] if argv is None else argv))
    name = argv[0] if argv else "--help"
    gc.disable()  # until the verb begins: imports make no garbage
    try:
        return _guarded(lambda: _dispatch(name, argv[1:]), name)
    finally:
        gc.enable()


def _dispatch(name: str, rest: list[str]) -> int:
    if name in ("--help", "-h", "help"):
        print(helps.all_verbs())
    elif name == "--version":
        print(codex_jax.__version__)
    elif name not in VERBS:
        raise InputError(f"no verb {name!r}; expected one of {', '.join(VERBS)}")
    else:
        _run(VERBS[name], parse(rest))
    sys.stdout.flush()  # here, where a closed pipe is still ours to answer
    return 0


def _shortened(argv: list[str]) -> list[str]:
    """`data WORD …` as the verb that it means; a file alone to explain needs no corpus."""
    if argv[:1] == ["evaluate"] and {"--list-languages", "--list_languages"} & set(argv):
        return ["languages"]
    if argv[:1] != ["data"] or len(argv) < 2 or argv[1] not in UNDER_DATA:
        return argv
    verb, rest = UNDER_DATA[argv[1]], argv[2:]
    settings = [word for word in rest if word.endswith(".gin") or word.startswith("--corpus")]
    if verb == "data" and not settings and any(word.startswith("--explain") for word in rest):
        return ["explain", *(word.replace("--explain", "--file", 1) for word in rest)]
    return [verb, *rest]


def parse(argv: Sequence[str]) -> Request:
    """Flags as --name=value or --name value; a bare word is a gin file.

    Raises:
      InputError: a word that is no gin file.
    """
    request = Request([], [], bool({"--help", "-h"} & set(argv)), _dry(argv))
    words = [w for w in argv if w not in ("--help", "-h", "--dry_run", "--dry-run")]
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if not word.endswith(".gin"):
                raise InputError(f"{word!r}: expected FILE.gin or --NAME=VALUE")
            request.files.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:  # a flag alone may be a switch: that is for `run` to know
            value = words.pop(0) if words and not words[0].startswith("--") else None
        name = name if name.startswith("gin.") else name.replace("-", "_")
        if name == "gin_file":
            request.files.append(value)
        else:
            request.flags.append((word, name, value))
    return request


def _dry(argv: Sequence[str]) -> bool:
    return bool({"--dry_run", "--dry-run"} & set(argv))


def _run(verb: Verb, request: Request) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    # Here, since describing a verb imports it, and the list of verbs must not.
    from codex_jax.main import run, schema

    descriptions = schema.described(verb)
    if request.help:
        print(helps.one_verb(verb, descriptions))
        return
    config = run.configure(verb, descriptions, map(find, request.files), request.flags)
    if request.dry_run:
        print(config.preview())
    else:
        config.call()


def configs() -> pathlib.Path:
    """The folder gin_configs: beside the package in a checkout, inside it when installed."""
    package = pathlib.Path(codex_jax.__file__).parent
    inside = package / "gin_configs"
    return inside if inside.is_dir() else package.parent / "gin_configs"


def find(name: str) -> pathlib.Path:
    """A gin file as named, or below our gin_configs (the folder's own name may lead)."""
    path = pathlib.Path(name)
    if path.is_file():
        return path
    ours = configs() / pathlib.Path(name.removeprefix("gin_configs/"))
    if ours.is_file():
        return ours
    raise InputError(f"{name}: no such gin file, here or in {configs()}")


def _guarded(act: Callable[[], int], name: str) -> int:
    try:
        return act()
    except InputError as error:
        # Line breaks come from a foreign message within ours.
        return _say(name, " ".join(str(error).split()), 2)
    except ModuleNotFoundError as error:
        if line := missing_package(error):
            return _say(name, line, 2)
        raise
    except BrokenPipeError:
        # Whoever read our output left: nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _say(name, f"{where}{error.strerror}; {_REFUSALS[error.errno]}", 2)
    except KeyboardInterrupt:
        return _say(name, "interrupted; the same command goes on from what is finished", 130)


def _say(name: str, line: str, status: int) -> int:
    prefix = f"codex-jax {name}" if name in VERBS else "codex-jax"
    print(f"{prefix}: {line}", file=sys.stderr)
    return status
