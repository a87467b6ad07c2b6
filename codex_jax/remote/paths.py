"""One rule for every path that a person names: local, gs://BUCKET/NAME, or refused in one line."""

import functools
import importlib.util
import logging
import os
import pathlib
import re
from typing import Any

from codex_jax import InputError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
# What gcsfs or a shell reads as a generation or a pattern, and what a path normalizes.
_ODD_NAME = re.compile(r"[?#*\[\]\x00-\x1f]|(^|/)\.\.?(/|$)")
_GS = re.compile(r"gs://([a-z0-9][a-z0-9._-]*)(?:/(.*))?", re.DOTALL)


def scheme_of(path: Any) -> str:
    """Returns "gs" of "gs://b/x", also where pathlib made "gs:/b/x" of it; "" of a local path."""
    text = os.fspath(path)
    match = _SCHEME.fullmatch(text)
    if match:
        return match[1].lower()
    return "gs" if text.lower().startswith("gs:") else ""


def url_of(path: Any) -> str:
    """Returns a path as text, with the two slashes that pathlib takes from a URL."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", os.fspath(path))


def is_remote(path: Any) -> bool:
    """Whether a path is in Cloud Storage."""
    return scheme_of(path) == "gs"


def split_url(url: str) -> tuple[str, str]:
    """Returns bucket and object name of gs://BUCKET/NAME.

    Raises:
      InputError: another form.
    """
    match = _GS.fullmatch(url_of(url))
    if not match:
        raise InputError(f"{url}: expected gs://BUCKET/NAME")
    return match[1], (match[2] or "").strip("/")


def check_path(path: Any, setting: str, *, remote: bool = True) -> None:
    """Refuses a path that is empty, of a file system that isn't read here, or must be local.

    Args:
      path: The setting's value.
      setting: Its name, for the message.
      remote: Whether gs:// paths are supported here.

    Raises:
      InputError: the path is refused.
    """
    text = url_of(path)
    if not text.strip():
        raise InputError(f"{setting} is empty; set it to a path")
    scheme = scheme_of(text.strip())
    if text != text.strip() and scheme:
        raise InputError(f"{setting} is {text!r}, with spaces around it; set it without them")
    if text.split("/")[0].startswith("~"):
        raise InputError(f"{setting} is {text}, whose ~ the shell left; set it to the full path")
    if scheme and scheme != "gs":
        raise InputError(
            f"{setting} is {text}: {scheme}:// isn't supported; set it to a local path, a mounted "
            "one, or gs://BUCKET/NAME"
        )
    if scheme:
        if _ODD_NAME.search(split_url(text)[1]):
            raise InputError(
                f"{setting} is {text}; set it to a name without any of ? # * [ ], . and .. as a "
                "part, or control characters"
            )
        if not remote:
            raise InputError(
                f"{setting} is {text}, which must be on this machine; copy it here, or mount the "
                "bucket (/gcs/BUCKET), and set the path to that"
            )


def check_local(path: Any) -> None:
    """Refuses a path that would become a local folder of the name "gs:".

    Raises:
      InputError: the path is remote.
    """
    if scheme_of(path):
        check_path(path, "path", remote=False)


def to_path(path: Any) -> Any:
    """Returns the path as etils.epath's, with whose methods a remote one is read and written.

    Raises:
      InputError: a remote path, but gcsfs isn't installed.
    """
    from etils import epath

    if is_remote(path):
        _configure()
    return epath.Path(url_of(path))


def absolute(path: Any) -> Any:
    """Returns the absolute path as etils.epath's; a remote one is absolute."""
    return to_path(path) if is_remote(path) else to_path(pathlib.Path(path).absolute())


def list_files(folder: Any) -> dict[str, int]:
    """Returns the size in bytes of every file below a folder, by its name relative to it."""
    if not is_remote(folder):
        path = pathlib.Path(folder)
        files = (file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file.stat().st_size for file in files}
    _configure()
    import fsspec

    prefix = "/".join(split_url(url_of(folder))) + "/"
    listing = fsspec.filesystem("gcs").find(prefix, detail=True)
    return {name.removeprefix(prefix): entry["size"] for name, entry in listing.items()}


def list_folder(folder: Any) -> list[Any]:
    """Returns the entries of a folder; none where it doesn't exist.

    Raises:
      InputError: the bucket gives no answer, which `is_dir` and `exists` take for an absent folder.
    """
    path = to_path(folder)
    if not is_remote(folder):
        return list(path.iterdir()) if path.is_dir() else []
    import fsspec

    try:
        names = fsspec.filesystem("gcs").ls("/".join(split_url(folder)), detail=False)
    except FileNotFoundError:
        return []
    except Exception as error:  # noqa: BLE001  gcsfs has those of its libraries
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{url_of(folder)}: {reason}; expected a bucket that this machine can reach and read"
        ) from None
    return [path / name.rstrip("/").rpartition("/")[2] for name in names]


@functools.cache
def _configure() -> None:
    """Has epath read Cloud Storage through gcsfs, which loads no TensorFlow and caches nothing."""
    if importlib.util.find_spec("gcsfs") is None:
        raise InputError("gs:// needs gcsfs, which isn't installed; pip install 'codex-jax[gcs]'")
    os.environ["EPATH_USE_TF"] = "0"
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import fsspec
    from etils.epath import gpath

    gpath._is_tf_installed.cache_clear()
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # tracebacks of what it raises, too

    # A listing in memory would hide what TensorStore and other hosts write.
    fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
