"""The modules that are sent into a sandbox: all that a server imports of ours, in order."""

import ast
import marshal
import pathlib
import subprocess
import sys

import pytest

from codex_jax.evaluate.sandbox import guest_modules

_ROOM = "codex_jax.evaluate.sandbox"


def test_the_modules_of_the_toolchain_server_in_order():
    names = guest_modules.import_order(f"{_ROOM}.guest.toolchain_server")
    assert names == [
        f"{_ROOM}.protocol",
        f"{_ROOM}.guest.confine",
        f"{_ROOM}.guest.process_states",
        f"{_ROOM}.guest.server_io",
        f"{_ROOM}.guest.child_process",
        f"{_ROOM}.guest.cleanup",
        f"{_ROOM}.guest.toolchain_server",
    ]


@pytest.mark.parametrize("server", ["forkserver", "toolchain_server"])
def test_every_module_comes_after_those_that_it_imports(server):
    names = guest_modules.import_order(f"{_ROOM}.guest.{server}")
    for index, name in enumerate(names):
        nodes = ast.walk(ast.parse(guest_modules._path(name).read_text()))
        imports = {
            f"{node.module}.{alias.name}"
            for node in nodes
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(_ROOM)
            for alias in node.names
        }
        assert set(guest_modules._imports(name)) == imports <= set(names[:index])
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("server", ["forkserver", "toolchain_server"])
def test_what_runs_inside_imports_nothing_but_the_standard_library_and_each_other(server):
    for name in guest_modules.import_order(f"{_ROOM}.guest.{server}"):
        for node in ast.walk(ast.parse(guest_modules._path(name).read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(_ROOM):
                modules = [str(node.module)]
            else:
                continue
            assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names


def test_the_loader_runs_the_last_module_with_the_others_imported(tmp_path, monkeypatch):
    (tmp_path / "first.py").write_text("VALUE = 6\n")
    (tmp_path / "last.py").write_text(
        f"from {_ROOM} import first\nif __name__ == '__main__': print(first.VALUE * 7)\n"
    )
    monkeypatch.setattr(guest_modules, "_FOLDER", tmp_path)
    packed = _pack(f"{_ROOM}.last")
    command = [sys.executable, "-I", "-S", "-c", guest_modules.LOADER]
    done = subprocess.run(command, input=packed, capture_output=True, check=True)
    assert done.stdout == b"42\n"


def _pack(name: str) -> bytes:
    """Without code of this version, so that the loader compiles the text."""
    modules = [
        (module, pathlib.Path(guest_modules._path(module)).read_text(), b"")
        for module in guest_modules.import_order(name)
    ]
    body = marshal.dumps((b"another version", modules), 2)
    return len(body).to_bytes(4, "big") + body


def test_a_module_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"no_server\.py"):
        guest_modules.import_order(f"{_ROOM}.guest.no_server")
