"""The folder that sandboxes see at /kit: its content, who may write to it, and when it is built."""

import pytest

from codex_jax import InputError
from codex_jax.evaluate.languages import registry, toolchain_cache


@pytest.fixture(autouse=True)
def temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(toolchain_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    toolchain_cache.drivers_dir.cache_clear()
    yield
    toolchain_cache.drivers_dir.cache_clear()


def test_bytecode_next_to_the_drivers_is_not_copied(monkeypatch, tmp_path):
    drivers = tmp_path / "drivers"
    (drivers / "__pycache__").mkdir(parents=True)
    (drivers / "driver.js").write_text("x")
    monkeypatch.setattr(toolchain_cache, "DRIVERS", drivers)
    copies = (toolchain_cache.drivers_dir() / "drivers").iterdir()
    assert [path.name for path in copies] == ["driver.js"]


def test_a_folder_that_others_can_write_to_is_refused():
    folder = toolchain_cache.drivers_dir()
    assert (folder / "drivers" / "driver.js").is_file()
    folder.parent.chmod(0o777)
    toolchain_cache.drivers_dir.cache_clear()
    with pytest.raises(InputError, match=r"is writable by others; expected .*; set TMPDIR"):
        toolchain_cache.drivers_dir()


def test_a_toolchain_is_built_and_checked_once_until_its_tools_change(monkeypatch):
    language, events = registry.languages()["c"], []

    def build(script: str) -> bytes:
        events.append("built")
        assert "done.c" in script
        return b'{"done.o": 2, "../out": 2}\nabcd'

    def check() -> None:
        events.append("checked")

    for _ in range(2):
        toolchain_cache.ensure_built(language, build, check)
    assert events == ["built", "checked"]
    folder = toolchain_cache.drivers_dir() / "c"
    assert (folder / "done.o").read_bytes() == b"ab"
    assert not (folder.parent / "out").exists()
    monkeypatch.setattr(toolchain_cache, "fingerprint", lambda _: "others")
    toolchain_cache.ensure_built(language, build, check)
    assert len(events) == 4


def test_a_toolchain_whose_check_failed_is_checked_again():
    language, results = registry.languages()["bash"], []

    def check() -> None:
        results.append("checked")
        if len(results) == 1:
            raise InputError("incomplete")

    with pytest.raises(InputError):
        toolchain_cache.ensure_built(language, lambda _: b"{}\n", check)
    toolchain_cache.ensure_built(language, lambda _: b"{}\n", check)
    assert len(results) == 2
