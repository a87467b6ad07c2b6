"""Small checkpoints, and the ways in which they are damaged."""

import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np

from codex_jax.checkpoint import Card, Checkpoints

CARD = Card(model={"layers": 1}, tokenizer_hash="abc", run={"seed": 1})


def params(scale: float = 1.0) -> dict:
    values = np.random.default_rng(0).normal(size=(64, 300)).astype(np.float32)
    return {"table": jnp.asarray(scale * values), "blocks": {"bias": jnp.arange(7, dtype=jnp.int8)}}


def rest(step: int) -> dict:
    return {"step": jnp.int32(step), "momentum": jnp.full((9, 5), step, jnp.bfloat16)}


def save(directory: pathlib.Path, *steps: int, **options) -> Checkpoints:
    """Writes checkpoints whose parameters are multiplied by their step."""
    checkpoints = Checkpoints(directory, **options)
    for step in steps:
        checkpoints.save(step, params(step), rest(step), CARD)
    checkpoints.finish()
    return checkpoints


def largest(folder: pathlib.Path) -> pathlib.Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(folder: pathlib.Path) -> None:
    file = largest(folder / "params")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite(folder: pathlib.Path) -> None:
    file = largest(folder / "params")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    file.write_bytes(content)


def empty_file(folder: pathlib.Path) -> None:
    largest(folder / "params").write_bytes(b"")


def empty_folder(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def break_card(folder: pathlib.Path) -> None:
    (folder / "card" / "metadata").write_text('{"model": {"lay')


def change_card(folder: pathlib.Path) -> None:
    (folder / "card" / "metadata").write_text(json.dumps({"model": 3}))


def remove_params(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "params")


def remove_optimizer(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "rest")


def remove_card(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "card")


def remove_description(folder: pathlib.Path) -> None:
    (folder / "params" / "_METADATA").unlink()


def remove_data(folder: pathlib.Path) -> None:
    largest(folder / "params").unlink()


def break_metadata(folder: pathlib.Path) -> None:
    (folder / "_CHECKPOINT_METADATA").write_bytes(b"\x00" * 40)


def swap_params(folder: pathlib.Path) -> None:
    """Puts the parameters of the checkpoint before in the place of these."""
    before = folder.parent / str(int(folder.name) - 1)
    shutil.rmtree(folder / "params")
    shutil.copytree(before / "params", folder / "params")


def become_file(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a checkpoint")


def become_dangling_link(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def become_link_to_the_one_before(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder.parent / str(int(folder.name) - 1))


def replace_card_by_folder(folder: pathlib.Path) -> None:
    (folder / "card" / "metadata").unlink()
    (folder / "card" / "metadata").mkdir()


def replace_metadata_by_folder(folder: pathlib.Path) -> None:
    (folder / "_CHECKPOINT_METADATA").unlink()
    (folder / "_CHECKPOINT_METADATA").mkdir()


def replace_params_by_file(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "params")
    (folder / "params").write_text("not arrays")


# Way → the words by which the message names it. Step 2 of two is damaged.
WAYS = {
    truncate: "params",
    overwrite: "params",
    empty_file: "params",
    empty_folder: "an empty folder",
    break_card: "its card isn't JSON",
    change_card: "its card's model is 3",
    remove_params: "params is missing",
    remove_card: "its card is missing",
    remove_description: "params",
    remove_data: "params",
    break_metadata: "_CHECKPOINT_METADATA isn't JSON",
    become_file: "no folder",
    become_dangling_link: "no folder",
    become_link_to_the_one_before: "its card is that of step 1",
    replace_card_by_folder: "its card is no file",
    replace_metadata_by_folder: "_CHECKPOINT_METADATA isn't JSON",
    replace_params_by_file: "params",
    swap_params: "params/table: another content than was saved",
}
