"""The import tables of rooms and of folders within rooms, as data, held against every import."""

import ast
import graphlib
import os
import pathlib
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "codex_jax"

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
MEDIAN_FILE, NINTH_DECILE_FILE = 120, 250
LEAST_TEST_SHARE = 0.75  # lines of tests by lines of source

LEAVES = {"records", "files", "progress", "host_runtime", "ranges", "problem_texts", "remote"}
LEAVES |= {"licenses", "list_settings", "tokenizer", "sharding", "checkpoint", "model", "hosts"}
LEAVES |= {"coercion", "suggestions"}
STAGES = {"data", "train", "sample", "evaluate", "curate", "convert"}
# The Python interface imports a stage within the function that needs it: importing it is cheap.
INTERFACE = {"data", "train", "sample", "evaluate"}
COMPOSED = {"compile": {"train", "sample"}, "solve": {"sample", "evaluate"}, "api": INTERFACE}
COMPOSED["rl"] = {"data", "sample", "evaluate", "train"}


class Room(NamedTuple):
    """A room's permitted imports: other rooms (besides the root package), and foreign packages."""

    rooms: set[str]
    packages: set[str]


ARRAYS = {"jax", "jaxtyping", "numpy"}

ROOMS = {
    "records": Room({"files", "remote"}, {"numpy"}),
    "files": Room({"remote"}, set()),
    "remote": Room(set(), {"etils", "fsspec", "tensorstore"}),
    "ranges": Room(set(), set()),
    "coercion": Room(set(), set()),
    "suggestions": Room(set(), set()),
    "problem_texts": Room(set(), set()),
    "list_settings": Room(set(), set()),
    "licenses": Room(set(), {"license_expression"}),
    "progress": Room(set(), {"tqdm"}),
    "host_runtime": Room(set(), {"jax"}),
    "hosts": Room(set(), {"jax"}),
    "tokenizer": Room({"files"}, {"numpy", "tiktoken", "tokenizers"}),
    "sharding": Room(set(), ARRAYS),
    "checkpoint": Room({"remote"}, ARRAYS | {"etils", "orbax"}),
    "model": Room({"ranges"}, ARRAYS | {"flax"}),
    "convert": Room(
        {"files", "progress", "tokenizer", "sharding", "checkpoint", "model"},
        ARRAYS | {"gguf", "safetensors", "tokenizers"},
    ),
    "data": Room(
        {"records", "files", "progress", "host_runtime", "problem_texts", "remote", "tokenizer"}
        | {"licenses", "list_settings"},
        {"numpy", "seqio", "tensorflow", "tensorstore", "grain", "apache_beam"}
        | {
            "IPython",
            "detect_secrets",
            "identify",
            "licenseclassifier",
            "pyarrow",
            "rensa",
        }
        | {"tree_sitter", "tree_sitter_language_pack"},
    ),
    "train": Room(
        {"records", "files", "progress", "host_runtime", "ranges", "list_settings", "remote"}
        | {"model", "sharding", "checkpoint", "hosts"},
        ARRAYS | {"flax", "optax"},
    ),
    "sample": Room(
        {"records", "files", "progress", "host_runtime", "ranges", "remote", "hosts"}
        | {"list_settings", "tokenizer", "model", "sharding", "checkpoint"},
        ARRAYS | {"jinja2", "prometheus_client", "starlette", "uvicorn"},
    ),
    # The report draws with matplotlib, imported where it draws: judging never loads it.
    "evaluate": Room(
        {"records", "files", "progress", "ranges", "list_settings"}, {"numpy", "matplotlib"}
    ),
    # A script of traces runs within a package's own environment, and imports its pytest.
    "curate": Room(
        {"records", "files", "progress", "ranges", "problem_texts", "licenses", "list_settings"},
        {"numpy", "pytest"},
    ),
    # compile draws with matplotlib, imported where it draws.
    "compile": Room(LEAVES | COMPOSED["compile"], ARRAYS | {"flax", "optax", "matplotlib"}),
    "solve": Room(
        {"records", "files", "progress", "ranges", "list_settings", "problem_texts", "tokenizer"}
        | COMPOSED["solve"],
        set(),
    ),
    "rl": Room(
        {"records", "files", "progress", "ranges", "list_settings", "tokenizer", "sharding"}
        | {"checkpoint", "model"}
        | COMPOSED["rl"],
        ARRAYS,
    ),
    "api": Room(
        {"records", "ranges", "coercion", "suggestions", "tokenizer", "model", "sharding"}
        | INTERFACE,
        set(),
    ),
    "main": Room(
        LEAVES | STAGES | {"compile", "solve", "rl"}, {"gin", "matplotlib", "absl", "jax", "numpy"}
    ),
}

# The order of folders and top-level modules within a room, from the bottom up: each may import only
# from floors below its own. Rooms without a row have neither folders nor many modules.
FLOORS: dict[str, list[set[str]]] = {
    "data": [
        {"ambiguous_names"},
        {"documents", "languages", "dedup", "packing", "skipped_folders"},
        {"cache_folder", "corpus", "destination", "stats"},
        {"examples"},
        {"readers"},
        {"cleaning"},
        {"shards"},
        {"seqio_tasks"},
        {"assemble", "blend"},
        {"cache_command", "explain", "inspect", "task_metrics", "train_tokenizer"},
        {"build"},
    ],
    "tokenizer": [{"byte_alphabet", "whitespace"}, {"formats"}, {"library", "ranked"}, {"bpe"}],
    "sharding": [{"chips", "logical_axes", "mesh"}, {"topology"}],
    "remote": [{"paths"}, {"objects"}, {"mirror"}],
    "checkpoint": [
        {"card", "checksums", "own_files", "processes"},
        {"card_file", "lock", "step_folder"},
        {"low_rank"},
        {"reader"},
        {"writer"},
    ],
    "model": [
        {"config", "linear"},
        {"low_rank"},
        {"quantization", "rotary_scaling"},
        {"attention"},
        {"decoder"},
    ],
    "convert": [
        {"families", "new_folder", "rope_factors", "tokenizer_settings"},
        {"tokenizers"},
        {"foreign", "gguf_tokenizer", "text_ends"},
        {"foreign_config", "hf_weights"},
        {"gguf", "hf_folder", "positions"},
        {"hf_config"},
        {"hf_params"},
        {"convert", "export"},
    ],
    "hosts": [
        {"ending", "peers"},
        {"watch"},
        {"agreement", "joining"},
    ],
    "train": [
        {"lora"},
        {"attention_choice", "batches", "event_file", "loss", "preemption", "remat"}
        | {"early_stopping"}
        | {"profiler", "run_events", "runtime", "setting_ranges", "stability", "state"},
        {"goodput", "metrics", "optimizer", "policy_loss", "run_records", "throughput"},
        {"initialization", "step"},
        {"compute"},
        {"checks", "policy_step", "row_model"},
        {"validation"},
        {"job", "step_loop"},
        {"facts", "resume"},
        {"loop"},
    ],
    "compile": [
        {"hlo", "targets"},
        {"estimate", "sampling_target"},
        {"joint_target", "report", "search"},
        {"joint"},
        {"compile"},
    ],
    "rl": [
        {"advantages", "cases", "memorized", "rewards", "rollout", "rows", "watch"},
        {"judging", "prompts"},
        {"sampler"},
        {"experience"},
        {"keep", "kept_rows", "run"},
        {"policy", "rounds"},
    ],
    "sample": [
        {"sampling"},
        {"engine", "openai_schema"},
        {"batch_output", "chat_schema", "completions_file", "inputs"},
        {"shared_completions"},
        {"batch_run"},
        {"generate", "review", "serve"},
    ],
    "curate": [
        {"markdown"},
        {"blocks", "execution", "package_runs", "packages"},
        {"chains"},
        {"inputs"},
        {"problems"},
        {"docstrings", "functions"},
        {"candidates", "contests", "filters", "traces"},
    ],
    "evaluate": [
        {"sandbox", "verdicts"},
        {"languages", "metrics"},
        {"problems"},
        {"judging", "select"},
        {"libraries", "report", "verdict_log"},
        {"references"},
        {"evaluate"},
    ],
}

# (module, what importing it must not load). A stage loads only what it computes with.
NOT_LOADED = [
    ("codex_jax", ["numpy", "jax", "tensorflow"]),
    ("codex_jax.api.completion", ["jax", "flax", "tensorflow", "seqio", "grain", "matplotlib"]),
    ("codex_jax.records", ["jax", "tensorflow"]),
    ("codex_jax.data.packing.batches", ["tensorflow", "seqio"]),
    ("codex_jax.train.loop", ["tensorflow", "seqio", "tensorflow_text"]),
    ("codex_jax.sample.generate", ["tensorflow", "seqio", "tensorflow_text", "starlette"]),
    ("codex_jax.evaluate.evaluate", ["jax", "flax", "tensorflow", "matplotlib"]),
    ("codex_jax.curate.chains", ["jax", "flax", "tensorflow"]),
    ("codex_jax.curate.candidates", ["jax", "flax", "tensorflow", "numpy"]),
    ("codex_jax.main.cli", ["gin", "numpy", "jax", "tensorflow"]),
]


class Import(NamedTuple):
    """An imported module, with the line that imports it."""

    path: pathlib.Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: imports {self.module}"


def sources() -> list[pathlib.Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sources()}


def room_of(module: str) -> str:
    """codex_jax.train.step → train; the root package → ''."""
    parts = module.split(".")
    return {"__main__": "main"}.get(parts[1], parts[1]) if len(parts) > 1 else ""


def imports(path: pathlib.Path) -> Iterator[Import]:
    """Every import of a file, those inside functions too; of ours, the deepest module named."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(_without_types_of_the_interface(path)):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                deeper = f"{source}.{alias.name}"
                yield Import(path, node.lineno, deeper if deeper in MODULES else source)


def _without_types_of_the_interface(path: pathlib.Path) -> ast.Module:
    """A file's tree; of the root package, without the names that only type checkers import."""
    tree = ast.parse(path.read_text())
    if path == PACKAGE / "__init__.py":
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    return tree


def faults(imported: Import, room: str) -> str | None:
    """The rule that an import breaks, or None."""
    top = imported.module.split(".")[0]
    if top == "codex_jax":
        target = room_of(imported.module)
        allowed = ROOMS[room].rooms | {"", room} if room else set()
        if target not in allowed:
            return f"{imported}; {room or 'the root'} may import {sorted(allowed - {''})}"
    elif top not in sys.stdlib_module_names:
        allowed = ROOMS[room].packages if room else set()
        if top not in allowed:
            return f"{imported}; {room or 'the root'} may use packages {sorted(allowed)}"
    return None


def floor_of(module: str) -> tuple[str, str, int]:
    """Returns (room, folder or top-level module, floor) of a module in a room with floors."""
    room, name = module.split(".")[1:3]
    floors = [number for number, names in enumerate(FLOORS[room]) if name in names]
    assert len(floors) == 1, f"{module}: give {name} one floor in FLOORS[{room!r}]"
    return room, name, floors[0]


def has_floor(module: str) -> bool:
    return module.count(".") > 1 and module.split(".")[1] in FLOORS


def floor_fault(edge: Import) -> str | None:
    """The rule of FLOORS that an import within a room breaks, or None."""
    source = module_name(edge.path)
    if not (has_floor(source) and has_floor(edge.module)):
        return None
    (room, importer, upper), (other, imported, lower) = floor_of(source), floor_of(edge.module)
    if room != other or importer == imported or upper > lower:
        return None
    return f"{edge}; {room}/{importer} may import only from floors below its own, not {imported}"


def test_every_room_is_in_the_table():
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms <= set(ROOMS), f"no row in the table for {rooms - set(ROOMS)}"


def test_stages_never_meet_and_leaves_stand_alone():
    for leaf in LEAVES:
        assert ROOMS[leaf].rooms <= {"files", "ranges", "remote"}, (
            f"{leaf}, a leaf, imports another"
        )
    for stage in STAGES:
        assert not ROOMS[stage].rooms - LEAVES, f"{stage} imports what is no leaf"
    for room, stages in COMPOSED.items():
        assert ROOMS[room].rooms - LEAVES == stages, f"{room} is composed of {stages}"


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_follow_the_table(path):
    room = room_of(module_name(path))
    broken = [fault for imported in imports(path) if (fault := faults(imported, room))]
    assert not broken, "\n".join(broken)


def test_a_broken_rule_is_named_with_file_and_line():
    path = PACKAGE / "records.py"
    assert "codex_jax/records.py:3: imports jax; records may use packages ['numpy']" in faults(
        Import(path, 3, "jax"), "records"
    )
    assert "evaluate may import" in faults(Import(path, 1, "codex_jax.train.loop"), "evaluate")
    assert faults(Import(path, 1, "codex_jax.records"), "train") is None


# Rules that aren't met yet; the mark goes as soon as they are.


@pytest.mark.parametrize("room", FLOORS)
def test_folders_follow_their_floors(room):
    edges = [edge for path in (PACKAGE / room).rglob("*.py") for edge in imports(path)]
    faults = [fault for edge in edges if (fault := floor_fault(edge))]
    assert not faults, "\n".join(faults)


def test_every_room_with_folders_has_floors():
    folders = {p.parent.parent.name for p in PACKAGE.glob("*/*/__init__.py")}
    assert folders <= set(FLOORS)


def test_a_broken_floor_is_named_with_file_and_line():
    path = PACKAGE / "sample" / "sampling" / "params.py"
    upward = Import(path, 7, "codex_jax.sample.engine.engine")
    assert "sample/sampling/params.py:7" in floor_fault(upward)
    assert "not engine" in floor_fault(upward)
    engine = PACKAGE / "sample" / "engine" / "engine.py"
    assert floor_fault(Import(engine, 7, "codex_jax.sample.sampling.params")) is None


def test_no_cycle_among_folders():
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if has_floor(module):
            node = ".".join(module.split(".")[:3])
            targets = {e.module for e in imports(path) if has_floor(e.module)}
            graph.setdefault(node, set()).update(".".join(t.split(".")[:3]) for t in targets)
    graph = {node: targets - {node} for node, targets in graph.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the cycle
    assert graph


def test_no_module_cycles():
    graph = {
        module: {imported.module for imported in imports(path) if imported.module in MODULES}
        - {module}
        for module, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the cycle
    assert graph


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_sizes(path):
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE, f"{path}: does it hold two nouns?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = node.end_lineno - node.lineno + 1
            assert size <= LONGEST_FUNCTION, f"{path}:{node.lineno}: {node.name} has {size} lines"


def line_counts(folder: pathlib.Path) -> list[int]:
    return sorted(path.read_text("utf-8").count("\n") for path in folder.rglob("*.py"))


def test_files_are_short_as_a_rule():
    # An __init__.py of a line would flatter the median.
    counts = [count for count in line_counts(PACKAGE) if count > 6]
    assert statistics.median(counts) <= MEDIAN_FILE
    assert statistics.quantiles(counts, n=10)[-1] <= NINTH_DECILE_FILE


def test_tests_are_about_as_long_as_the_source():
    share = sum(line_counts(ROOT / "tests")) / sum(line_counts(PACKAGE))
    assert share >= LEAST_TEST_SHARE, f"{share:.2f} lines of tests by line of source"


@pytest.mark.parametrize(("module", "unwanted"), NOT_LOADED, ids=[m for m, _ in NOT_LOADED])
def test_not_loaded(module, unwanted):
    probe = f"import sys, {module}; print(*sorted(set(sys.modules) & set({unwanted!r})))"
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"importing {module} loads {done.stdout}"


def test_help_loads_nothing_heavy_and_answers_at_once():
    command = [sys.executable, "-X", "importtime", "-m", "codex_jax", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"jax", "flax", "tensorflow", "gin", "numpy"}
    # Bare: coverage starts in every subprocess of the suite, and is not what is timed here.
    bare = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command[:1] + command[3:], capture_output=True, check=True, env=bare)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5, seconds  # of CPU time: others may use the cores
