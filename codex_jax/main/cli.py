"""`codex-jax COMMAND …`: argv to one call; every bad input to one line and status 2."""

import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence

import codex_jax
from codex_jax import InputError, host_runtime
from codex_jax.main import help_text
from codex_jax.main.command_line import HELP, Request, parse
from codex_jax.main.commands import GROUPS, Command, missing_package, select_command

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
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link on the way leads to itself",
}
# Setting → how it is set so that a command needs less memory.
_LESS_MEMORY = {
    "microbatches": "higher",
    "remat": "to full",
    "batch_size": "lower",
    "max_new_tokens": "lower",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    host_runtime.mark_start()
    gc.disable()  # until the command begins: imports make no garbage
    try:
        return _report_errors(lambda: _dispatch(words), words)
    finally:
        gc.enable()


def _dispatch(words: list[str]) -> int:
    first, rest = (words or ["--help"])[0], words[1:]
    if first in (*HELP, "help"):
        print(help_text.all_commands())
    elif first == "--version":
        print(codex_jax.__version__)
    elif first in GROUPS and (not rest or rest[0] in HELP):
        print(help_text.one_group(first))
    else:
        command, rest = select_command(words)
        _run(command, parse(rest, command.operand))
    sys.stdout.flush()  # here, where a closed pipe can still be answered
    return 0


def _run(command: Command, request: Request) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    host_runtime.quiet_libtpu()
    # Imported here: describing a command imports its packages, and --help must not.
    from codex_jax.main import gin_files, run, schema

    configurables = schema.describe_command(command)
    if request.help:
        print(help_text.one_command(command, configurables))
        return
    files = map(gin_files.find_config, request.files)
    bound = run.bind(command, configurables, files, request.flags)
    if request.dry_run:
        print(bound.preview())
    else:
        bound.call()


def _report_errors(act: Callable[[], int], words: Sequence[str]) -> int:
    try:
        return act()
    except InputError as error:
        # A foreign message within ours may have line breaks.
        return _exit_with(words, " ".join(str(error).split()), 2)
    except ModuleNotFoundError as error:
        if line := missing_package(error):
            return _exit_with(words, line, 2)
        raise
    except BrokenPipeError:
        # The reader of our output has gone: nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        path = f"{error.filename}: " if error.filename else ""
        return _exit_with(words, f"{path}{error.strerror}; {_REFUSALS[error.errno]}", 2)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        line = f"not enough memory ({error!s:.150}); set {_memory_remedy(words)}"
        return _exit_with(words, " ".join(line.split()), 2)
    except KeyboardInterrupt:
        line = "interrupted; the same command continues from what is finished"
        return _exit_with(words, line, 130)


def _memory_remedy(words: Sequence[str]) -> str:
    """Returns what to set so that a command needs less memory."""
    from codex_jax.main import schema

    described = schema.describe_command(select_command(words)[0]).values()
    names = {name for configurable in described for name in configurable.settings}
    settings = [f"{name} {how}" for name, how in _LESS_MEMORY.items() if name in names]
    return f"{', or '.join(settings) or 'smaller sizes'}, or use a larger machine"


def _exit_with(words: Sequence[str], line: str, status: int) -> int:
    try:
        prefix = f"codex-jax {select_command(words)[0].name}"
    except InputError:
        prefix = f"codex-jax {words[0]}" if words[0] in GROUPS else "codex-jax"
    from codex_jax.progress import printable  # a message may quote a stranger's file

    print(f"{prefix}: {printable(line)}", file=sys.stderr)
    return status
