"""Tensors of a Hugging Face folder's *.safetensors, each checked before it is read."""

import pathlib

import numpy as np

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignWeights

_FLOATS = ("F64", "F32", "F16", "BF16")


def open_weights(folder: pathlib.Path) -> ForeignWeights:
    """Opens the safetensors of a folder.

    Raises:
      InputError: there are none, or one that is cut or of another form.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(f"{folder}: no *.safetensors in it; expected a Hugging Face folder")
    path_of: dict[str, pathlib.Path] = {}
    shards = {path: _open(path) for path in paths}
    for path, shard in shards.items():
        for name in shard.keys():  # noqa: SIM118
            if name in path_of:
                raise InputError(
                    f"{path} and {path_of[name].name} both have {name}; remove one of the files"
                )
            path_of[name] = path

    def read(name: str) -> np.ndarray:
        path = path_of[name]
        dtype = shards[path].get_slice(name).get_dtype()
        if dtype not in _FLOATS:
            raise InputError(
                f"{path}: {name} is quantized ({dtype}); expected {', '.join(_FLOATS)}: import "
                "the model's unquantized weights"
            )
        return shards[path].get_tensor(name)

    return ForeignWeights(str(folder), path_of, read)


def _open(path: pathlib.Path):
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                raise InputError(
                    f"{path}: a Git LFS pointer instead of the file; run git lfs pull in its folder"
                )
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a complete safetensors file ({error}); download it again"
        ) from None
