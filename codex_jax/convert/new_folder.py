"""A folder that is written completely or not at all."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

from codex_jax import InputError
from codex_jax.files import resolve_output


@contextlib.contextmanager
def new_folder(output: str) -> Iterator[pathlib.Path]:
    """Yields an empty folder, which becomes `output` if the block succeeds and vanishes if not.

    Raises:
      InputError: `output` is there already, or a file can't be read or written.
    """
    if "://" in output:
        raise InputError(f"{output} is no local folder; set output to one, and copy it from there")
    final = resolve_output(output, "output")
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise InputError(f"{output} is there already; set output to a new folder")
    partial = final.with_name(f".{final.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a killed run
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{output}: {error.strerror}; set output to a folder that can be written"
        ) from None
    try:
        yield partial
        partial.replace(final)
    except OSError as error:
        raise InputError(
            f"{output} was not written: {error}; set output to a folder on a disk with space"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
