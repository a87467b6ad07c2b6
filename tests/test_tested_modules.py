"""Every module has a test file of its name, or a row here that says which test covers it."""

import pathlib

from tests.test_architecture import ROOT, sources

# test file: modules without a test file of their own whose behavior it holds
COVERED_BY = {
    "data/test_cache_command.py": ["data.seqio_tasks.beam_cache", "data.seqio_tasks.beam_pipeline"],
    "data/test_task_metrics.py": ["data.seqio_tasks.task_evaluators"],
    "data/test_registry.py": [
        "data.packing.validation",
        "data.seqio_tasks.task_shards",
    ],
    "hosts/test_real_processes.py": ["hosts"],
    "test_architecture.py": ["codex_jax"],
    "test_sharding.py": [
        "sharding.chips",
        "sharding.logical_axes",
        "sharding.mesh",
        "sharding.topology",
    ],
    "test_tokenizer.py": [
        "tokenizer.bpe",
        "tokenizer.byte_alphabet",
        "tokenizer.formats",
        "tokenizer.library",
        "tokenizer.ranked",
        "tokenizer.whitespace",
    ],
    "compile/test_compile.py": ["compile.search"],
    "checkpoint/test_lock.py": ["checkpoint.processes"],
    "checkpoint/test_writer.py": ["checkpoint.own_files"],
    "convert/test_convert.py": [
        "convert.foreign_config",
        "convert.hf_folder",
    ],
    "convert/test_hf_params.py": [
        "convert.families",
        "convert.families.gpt",
        "convert.families.llama",
        "convert.families.table",
        "convert.hf_weights",
        "convert.positions",
    ],
    "curate/test_contests.py": ["curate.contests.formats", "curate.contests.judging"],
    "curate/test_extraction.py": ["curate.packages.definitions", "curate.packages.purity"],
    "curate/test_filter.py": ["curate.filters.decontamination", "curate.markdown"],
    "curate/test_functions.py": ["curate.execution"],
    "curate/test_traces.py": ["curate.traces.cpython", "curate.traces.run_tests"],
    "data/test_build.py": ["data.assemble"],
    "data/test_corpus.py": ["data.skipped_folders"],
    "data/test_files.py": ["data.readers.json_lines", "data.readers.open_file"],
    "data/test_pii.py": ["data.cleaning.addresses", "data.cleaning.secret_tokens"],
    "data/test_licenses.py": ["data.readers.license_files", "data.readers.license_names"],
    "data/test_build_resume.py": ["data.shards.shards"],
    "data/test_render.py": ["data.documents"],
    "data/test_pairs.py": ["data.examples.dedent"],
    "data/test_tasks.py": ["data.seqio_tasks.lazy_import"],
    "evaluate/test_command_runner.py": ["evaluate.sandbox.guest.command"],
    "sample/test_stop_strings.py": ["sample.sampling.byte_automaton"],
    "evaluate/test_evaluate.py": [
        "evaluate.judging.judge",
        "evaluate.judging.worker",
        "evaluate.metrics.summary",
    ],
    "evaluate/test_benchmarks.py": ["evaluate.problems.translated"],
    "evaluate/test_formats.py": [
        "evaluate.judging.oracles",
        "evaluate.problems.mbpp",
        "evaluate.problems.mbpp_plus",
    ],
    "evaluate/test_guest.py": [
        "evaluate.sandbox.guest.cleanup",
        "evaluate.sandbox.guest.compiler",
        "evaluate.sandbox.guest.confine",
        "evaluate.sandbox.guest.forkserver",
        "evaluate.sandbox.guest.program",
        "evaluate.sandbox.guest.relay",
        "evaluate.sandbox.guest.server_io",
        "evaluate.sandbox.guest.template",
    ],
    "evaluate/test_html_report.py": ["evaluate.report.plots"],
    "evaluate/test_infrastructure.py": ["evaluate.sandbox.processes"],
    "evaluate/test_languages.py": [
        "evaluate.languages.drivers.driver",
        "evaluate.languages.toolchain_sandbox",
    ],
    "evaluate/test_registry.py": ["evaluate.languages.spec"],
    "evaluate/test_sandbox.py": [
        "evaluate.sandbox.backends",
        "evaluate.sandbox.channel",
        "evaluate.sandbox.python_sandbox",
    ],
    "evaluate/test_toolchain_server.py": ["evaluate.sandbox.guest.child_process"],
    "evaluate/test_value_codec.py": [
        "evaluate.sandbox.guest.module_types",
    ],
    "main/test_cli.py": ["main.help_text"],
    "main/test_run.py": ["main.dry_run"],
    "main/test_bindings.py": ["suggestions"],
    "main/test_resolve.py": ["main.config_text"],
    "api/test_python_interface.py": ["api.completion", "api.judging", "api.training"],
    "model/test_attention.py": ["model.attention.core"],
    "model/test_decoder.py": ["model"],
    "sample/test_engine.py": [
        "sample.engine.decode",
        "sample.engine.executor",
        "sample.engine.prefill",
        "sample.engine.sample_slots",
        "sample.engine.state",
    ],
    "sample/test_generate.py": ["sample.batch_run"],
    "sample/test_gpu_attention.py": ["sample.engine.flat_cache"],
    "sample/test_int8.py": ["sample.engine.shardings"],
    "sample/test_prefix_attention.py": ["sample.engine.kv_cache"],
    "sample/test_serve.py": [
        "sample.serve.app",
        "sample.serve.completion",
        "sample.serve.errors",
        "sample.serve.metrics",
        "sample.serve.responses",
    ],
    "curate/test_chains.py": ["curate.blocks"],
    "rl/test_policy.py": ["rl.run"],
    "solve/test_solve.py": ["solve.solver"],
    "train/test_loop.py": [
        "train.attention_choice",
        "train.checks",
        "train.compute",
        "train.job",
        "train.metrics",
        "train.step_loop",
        "train.remat",
        "train.state",
    ],
}


def short_name(path: pathlib.Path) -> str:
    """codex_jax/train/step.py -> train.step; the package itself -> codex_jax."""
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts).removesuffix(".__init__").replace("__init__", "codex_jax")


def modules() -> dict[str, pathlib.Path]:
    """Modules that hold code: not __main__, nor an __init__.py of a few lines."""
    paths = [path for path in sources() if path.name != "__main__.py"]
    paths = [p for p in paths if p.name != "__init__.py" or p.read_text().count("\n") > 6]
    return {short_name(path): path for path in paths}


def own_tests(path: pathlib.Path) -> list[pathlib.Path]:
    """Test files with the module's name: among its room's tests, or beside the rooms' folders."""
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    room = path.relative_to(ROOT).with_suffix("").parts[1]
    tests = (ROOT / "tests").rglob(f"test_{stem}.py")
    return [t for t in tests if t.relative_to(ROOT / "tests").parts[0] in (room, t.name)]


ROWS = [(name, test) for test, names in COVERED_BY.items() for name in names]


def test_every_module_has_a_test():
    listed = {name for name, _ in ROWS}
    missing = [n for n, path in modules().items() if n not in listed and not own_tests(path)]
    assert not missing, f"add tests of these names, or rows to COVERED_BY: {missing}"


def test_every_row_is_needed_once():
    names = [name for name, _ in ROWS]
    assert len(names) == len(set(names))
    assert set(names) <= set(modules()), set(names) - set(modules())
    assert [n for n in names if n != "codex_jax" and own_tests(modules()[n])] == []


def test_every_test_of_a_row_exists():
    assert [test for test in COVERED_BY if not (ROOT / "tests" / test).exists()] == []


def test_a_module_finds_the_test_of_its_name():
    assert own_tests(ROOT / "codex_jax" / "records.py") == [ROOT / "tests" / "test_records.py"]
    assert own_tests(ROOT / "codex_jax" / "train" / "no_such_module.py") == []
    assert short_name(ROOT / "codex_jax" / "train" / "step.py") == "train.step"
