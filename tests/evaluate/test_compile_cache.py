"""Compiled programs on disk: found again, bounded, and out of the programs' reach."""

import os

import pytest

from codex_jax.evaluate.languages import compile_cache, registry, toolchain_sandbox
from codex_jax.evaluate.sandbox import sandbox

RIGHT = "int twice(int n) { return 2 * n; }"
TEST = "#include <assert.h>\nint main() {\n    assert(twice(4) == 8);\n    return 0;\n}\n"
# Puts a script that gives back the token in the place of what was compiled.
REPLACES_ITSELF = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
int twice(int n) {
    unlink("/tmp/program");
    FILE *f = fopen("/tmp/program", "w");
    if (f) {
        fputs("#!/bin/sh\\nread token; echo $token >&3\\n", f);
        fclose(f);
        chmod("/tmp/program", 0755);
    }
    exit(0);
}
"""


class Shop:
    """Compiles everything that holds no error, and remembers what it was asked for."""

    def __init__(self, folder):
        self.kept, self.asked = compile_cache.Products(folder), []

    def make(self, files, steps, *, env, products=0):
        self.asked.append("make")
        text = "".join(files.values())
        found = {"ok": "error" not in text, "said": "error", "why": "closed", "cpu_s": 0.1}
        return found | {"products": text.encode()}

    def put(self, body):
        self.asked.append(body.decode())
        return {"ok": True}

    def run(self, language, entry_point, token, limits):
        end = {"why": "closed", "exit": 0, "signal": 0, "cpu_s": 0.0, "wall_s": 0.0, "said": ""}
        return (token + "\n").encode(), end


def judged(shop, program: str, test: str = TEST) -> str:
    row = registry.LANGUAGES["c"]
    return toolchain_sandbox.judge(shop, row, program, test, "twice", sandbox.Limits()).cause


def test_a_program_is_compiled_once_in_all_runs(tmp_path):
    first, second = Shop(tmp_path / "made"), Shop(tmp_path / "made")
    assert judged(first, RIGHT) == judged(second, RIGHT) == "passed"
    assert first.asked == ["make"] and len(second.asked) == 1 and RIGHT in second.asked[0]
    assert judged(second, RIGHT, TEST + "\n") == "passed"
    assert second.asked[1:] == ["make"]


def test_other_tools_compile_anew(tmp_path, monkeypatch):
    shop = Shop(tmp_path / "made")
    judged(shop, RIGHT)
    monkeypatch.setattr(registry, "runtime", lambda name: "of tomorrow")
    judged(shop, RIGHT)
    assert shop.asked == ["make", "make"]


def test_what_failed_is_tried_again(tmp_path):
    shop = Shop(tmp_path / "made")
    for _ in range(2):
        assert judged(shop, "error") == "syntax_or_compile_error"
    assert shop.asked == ["make", "make"]


def test_what_was_used_last_stays_within_the_bound(tmp_path):
    kept = compile_cache.Products(tmp_path / "made", most=1600)
    for place in range(40):
        kept.put(str(place), b"x" * 96)
        os.utime(kept.folder / str(place), (place, place))
    left = {int(path.name) for path in kept.folder.iterdir()}
    assert left == set(range(40 - len(left), 40)) and 15 <= len(left) <= 17
    assert kept.get("39") == b"x" * 96 and kept.get("0") is None


def test_files_torn_or_half_written_are_as_if_not_there(tmp_path):
    kept = compile_cache.Products(tmp_path / "made", most=100)
    kept.put("one", b"content")
    (kept.folder / "one").write_bytes((kept.folder / "one").read_bytes()[:-1])
    assert kept.get("one") is None
    for name in (".old", ".young"):
        (kept.folder / name).write_bytes(b"half")
    os.utime(kept.folder / ".old", (0, 0))
    kept.put("two", b"content")
    assert not (kept.folder / ".old").exists() and (kept.folder / ".young").exists()


def test_a_disk_that_takes_nothing_is_no_trouble(tmp_path):
    kept = compile_cache.Products(tmp_path / "made")
    (kept.folder / "one").mkdir()
    kept.put("one", b"content")
    assert kept.get("one") is None and len(list(kept.folder.iterdir())) == 1


def test_no_program_changes_what_is_kept(isolation, tmp_path):
    row = registry.LANGUAGES["c"]
    if row.missing():
        pytest.skip("gcc isn't installed")
    with toolchain_sandbox.Shop(*sandbox.choose(isolation)) as shop:
        toolchain_sandbox.make_ready(row, lambda: shop)
        shop.kept = compile_cache.Products(tmp_path / "made")
        assert judged(shop, REPLACES_ITSELF) == "exited_early"
        (path,) = shop.kept.folder.iterdir()
        before = path.read_bytes()
        assert judged(shop, REPLACES_ITSELF) == "exited_early"
        assert judged(shop, RIGHT) == judged(shop, RIGHT) == "passed"
        assert path.read_bytes() == before and len(list(shop.kept.folder.iterdir())) == 2
