"""compile: reading a program's text, the front, and a real step for a TPU that isn't here."""

import dataclasses
import importlib.util
import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.compile import estimate, hlo, search
from codex_jax.compile.estimate import Estimate
from codex_jax.compile.search import Point, Search
from codex_jax.compile.targets import TrainTarget
from codex_jax.main import cli
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer

LIBTPU = importlib.util.find_spec("libtpu") is not None
needs_libtpu = pytest.mark.skipif(not LIBTPU, reason="needs libtpu: pip install -e '.[tpu]'")

PROGRAM = """\
HloModule jit_step, is_scheduled=true

%add.1 (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
}

%all-reduce-scatter.1 (input.1: bf16[64,8]) -> bf16[16,8] {
  %input.1 = bf16[64,8]{1,0} parameter(0)
  %all-reduce.9 = bf16[64,8]{1,0} all-reduce(%input.1), to_apply=%add.1
  ROOT %dynamic-slice.1 = bf16[16,8]{1,0} dynamic-slice(%all-reduce.9)
}

%started.1 (part: bf16[16,8]) -> bf16[32,8] {
  %all-gather.2 = bf16[32,8]{1,0} all-gather(%part), channel_id=79, dimensions={0}
  ROOT %custom-call.2 = bf16[32,8]{1,0} custom-call(%part, %all-gather.2)
}

%beside.1 (part: bf16[16,8]) -> bf16[32,8] {
  %all-gather.3 = bf16[32,8]{1,0} all-gather(%part), channel_id=79, dimensions={0}
  ROOT %tuple.2 = bf16[32,8]{1,0} tuple(%product, %all-gather.3)
}

%called.1 (part: bf16[4,8], when: token[]) -> bf16[16,8] {
  ROOT %all-gather.4 = bf16[16,8]{1,0} all-gather(%part), channel_id=80, dimensions={0}
}

%condition.1 (state: (s32[], f32[8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(12)
  ROOT %less = pred[] compare(%index, %limit), direction=LT
}

%body.1 (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %gathered = bf16[64,8]{1,0:T(8,128)(2,1)} all-gather(%part), replica_groups={{0,1}}
  %keys = bf16[4,8]{1,0} collective-permute(%part), channel_id=1
  %values = (bf16[4,8]{1,0}, bf16[4,8]{1,0}) collective-permute-start(%part), channel_id=1
  %fusion.1 = f32[1024]{0:T(1024)} fusion(%gathered), metadata={op_name="jit(step)/while/body/closed_call/dot"}, backend_config={"estimated_cycles":"100"}
  %start = bf16[32,8]{1,0} fusion(%part), kind=kCustom, calls=%started.1
  %product = bf16[32,8]{1,0} fusion(%part, %start), kind=kOutput, calls=%beside.1
  %scattered = bf16[16,8]{1,0} fusion(%fusion.1), kind=kCustom, calls=%all-reduce-scatter.1, backend_config={"estimated_cycles":"7"}
  %sparse = ((bf16[4,8], token[]), bf16[16,8]) call-start(%part), async_execution_thread="sparsecore", to_apply=%called.1
  %kernel = f32[8]{0} custom-call(%x), custom_call_target="tpu_custom_call", backend_config={"body":
}}, metadata={op_name="jit(step)/splash"}, backend_config={"estimated_cycles":"3"}
}

ENTRY %main.1 (arg: f32[8]) -> f32[8] {
  %arg = f32[2048]{0} parameter(0), metadata={op_name="state.params[\\'up\\']"}
  %onchip = f32[4096]{0:T(1024)S(1)} fusion(%arg), backend_config={"estimated_cycles":"1000"}
  %while.1 = (s32[], f32[8]) while(%init), condition=%condition.1, body=%body.1
  %total = (f32[8]{0}, f32[]) all-reduce(%a, %b), to_apply=%add.1
}
"""  # noqa: E501


def test_a_program_is_added_up_over_its_loops():
    cost = hlo.read(PROGRAM)
    assert cost.cycles == 1000 + 12 * (100 + 7 + 3)
    assert cost.kernels == 12
    assert cost.collectives == {
        "all-gather": (3 * 12, 12 * (64 + 32 + 16) * 8 * 2, 12 * (32 + 16) * 8 * 2),
        "all-reduce": (1, 8 * 4 + 4, 0),
        "reduce-scatter": (12, 12 * 64 * 8 * 2, 0),
        "collective-permute": (2 * 12, 2 * 12 * 4 * 8 * 2, 0),
    }


LOOP = r"""
HloModule jit_decode, is_scheduled=true

%until.1 (state: (s32[], pred[8])) -> pred[] {
  %slots = s32[]{:T(128)} constant(640)
  %busy = s32[8]{0} get-tuple-element(%state), index=1
  %below.1 = pred[8]{0} compare(%busy, %slots), direction=LT
  ROOT %any.1 = pred[] reduce(%below.1, %false), to_apply=%or.1
}

%nothing.1 (x: f32[8]) -> f32[8] {
  ROOT %x = f32[8]{0} parameter(0)
}

%something.1 (x: f32[8]) -> f32[8] {
  ROOT %fusion.7 = f32[8]{0} fusion(%x), backend_config={"estimated_cycles":"20"}
}

%turn.1 (state: (s32[], pred[8])) -> (s32[], pred[8]) {
  %fusion.6 = f32[8]{0} fusion(%y), backend_config={"estimated_cycles":"5"}
  %either = f32[8]{0} conditional(%p, %x, %y), branch_computations={%nothing.1, %something.1}
}

ENTRY %main.1 (state: f32[512]) -> f32[512] {
  %state = f32[512]{0:T(512)} parameter(0), metadata={op_name="state.rows"}
  %copied = f32[512]{0:T(512)} copy(%state), backend_config={"estimated_cycles":"1000"}
  %loop = (s32[], pred[8]) while(%start), condition=%until.1, body=%turn.1
}
"""


def test_an_iteration_of_a_loop_without_a_trip_count():
    assert hlo.read(LOOP).cycles == 1000 + 5 + 20
    iteration = hlo.read(LOOP, one_iteration=True)
    assert iteration.cycles == 5 + 20
    assert iteration.values[0].source == "state.rows"


def test_the_largest_values_are_in_hbm_and_have_sources():
    first, second, *_ = hlo.read(PROGRAM).values
    assert first == hlo.Value(8192, "f32[2048]", r"state.params[\'up\']")
    assert second == hlo.Value(4096, "f32[1024]", "jit(step)/dot")


TINY = TrainTarget(
    topology="v5e:2x2",
    slices=1,
    model=DecoderConfig(vocab_size=256, layers=2, width=128, heads=2, max_length=256),
    mesh=MeshShape(),
    batch_size=8,
    sequence_length=256,
    compute=Compute(dtype="bfloat16", remat="minimal"),
    optimizer=Optimizer(),
)


@hypothesis.given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20), st.booleans()), max_size=12)
)
def test_the_front_is_what_nothing_beats(rows):
    points = [
        Point(TINY, Estimate(fits=fits, temporaries=size << 28, seconds=float(seconds)))
        for seconds, size, fits in rows
    ]
    best = search.pareto_front(points)
    fitting = [p for p in points if p.estimate.fits]
    for point, other in itertools.product(best, fitting):
        faster = other.rate > point.rate and other.estimate.hbm <= point.estimate.hbm
        smaller = other.rate >= point.rate and other.estimate.hbm < point.estimate.hbm
        assert not faster
        assert not smaller
    front = {(p.rate, p.estimate.hbm) for p in best}
    for point in fitting:
        beaten = any(r >= point.rate and h <= point.estimate.hbm for r, h in front)
        assert beaten, "every point that fits is on the front or beaten by one that is"


def test_a_search_tries_each_with_each():
    space = Search(batch_sizes=(8, 16), remats=("none", "full"), fsdp_sizes=(2, 4))
    settings = [(j.batch_size, j.compute.remat, j.mesh.fsdp) for j in search.targets(space, TINY)]
    assert settings == list(itertools.product((8, 16), ("none", "full"), (2, 4)))


@pytest.mark.parametrize("name", ["batch_sizes", "fsdp_sizes", "tensor_sizes"])
def test_a_search_refuses_a_size_twice(name):
    with pytest.raises(InputError, match=f"{name} has 8 twice; set it to distinct entries"):
        Search(**{name: (8, 4, 8)})


def test_the_name_of_a_result_is_that_of_its_job():
    other = dataclasses.replace(TINY, batch_size=16)
    assert (
        estimate.cache_key(TINY)
        == estimate.cache_key(dataclasses.replace(TINY))
        != estimate.cache_key(other)
    )


def command(tmp_path, *more):
    sizes = "--vocab_size=256 --layers=2 --width=128 --heads=2 --batch_size=8 --sequence_length=256"
    paths = [f"--cache_dir={tmp_path}", "--dtype=bfloat16", "--topology=v5e:2x2"]
    return ["compile", *sizes.split(), *paths, *more]


@needs_libtpu
def test_a_real_step_is_compiled_once(tmp_path, capsys, monkeypatch):
    assert cli.main(command(tmp_path, "--remat=minimal")) == 0
    page = capsys.readouterr().out
    for part in ("HBM a device", "XLA's estimate", "MFU", "all-gather", "largest values"):
        assert part in page
    monkeypatch.setattr(TrainTarget, "lower", lambda _: pytest.fail("compiled again"))
    assert cli.main(command(tmp_path, "--remat=minimal")) == 0
    assert capsys.readouterr().out == page


@needs_libtpu
def test_rows_split_across_chips_attend_by_kernels_in_a_ring(tmp_path, capsys):
    sizes = ["--sequence_length=512", "--max_length=512", "--gin.MeshShape.context=2"]
    assert cli.main(command(tmp_path, *sizes)) == 0
    page = capsys.readouterr().out
    for part in ("fsdp 2 × context 2", "attention kernels", "collective-permute"):
        assert part in page


@needs_libtpu
def test_a_real_sampling_loop_stands_beside_its_roofline(tmp_path, capsys):
    sizes = [
        "--gin.Sampling.batch_size=8",
        "--samples=4",
        "--max_prompt_tokens=64",
        "--max_new_tokens=64",
        "--tensor=2",
    ]
    assert cli.main(command(tmp_path, *sizes)) == 0
    page = capsys.readouterr().out
    for part in ("sampling loop of 8 rows", "fsdp 2 × tensor 2", "roofline", "all-reduce"):
        assert part in page


BATCH = [
    "--prompts_per_batch=4",
    "--gin.Sampling.batch_size=8",
    "--samples=4",
    "--max_prompt_tokens=64",
    "--max_new_tokens=64",
    "--tensor=2",
]


@needs_libtpu
def test_policy_and_sampler_are_compiled_for_one_mesh(tmp_path, capsys):
    words = [word for word in command(tmp_path) if "batch_size" not in word]
    assert cli.main([*words, *BATCH]) == 0
    first, *pages = capsys.readouterr().out.split("\n\n")
    assert first.startswith("policy gradients of 4 prompts × 4 samples, on v5e:2x2, fsdp 2 ×")
    for name in ("trainer", "sampler", "a batch", "prefill", "sampling", "handing over"):
        assert name in first
    assert [page.split(" ")[0] for page in pages] == ["a", "sampling", "gradient", "weights"]
    assert "MFU" in pages[2]
    assert "roofline" in pages[1]


@pytest.mark.parametrize(
    ("flag", "words"), [("--search", "remove Policy's"), ("--hlo_output=x", "text of one program")]
)
def test_a_batch_of_policy_gradients_has_no_search_and_no_single_text(
    flag, words, tmp_path, capsys
):
    assert cli.main([*command(tmp_path), *BATCH[:1], flag]) == 2
    assert words in capsys.readouterr().err


@needs_libtpu
def test_what_does_not_fit_says_so_with_status_1(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(command(tmp_path, "--batch_size=4194304"))
    assert left.value.code == 1
    assert "exceeds available HBM (15.75G)" in capsys.readouterr().out


@needs_libtpu
def test_a_search_is_a_table_and_a_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    flags = ["--search", "--batch_sizes=(8,)", "--remats=('none','full')", "--fsdp_sizes=(4, 3)"]
    assert cli.main(command(tmp_path, *flags, f"--output={tmp_path / 'out'}")) == 0
    page = capsys.readouterr().out
    assert "* 8 rows, " in page
    assert "3 does not fit" not in page
    assert "does not fit 4 devices" in page
    assert (tmp_path / "out" / "front.png").stat().st_size > 1000
    assert (tmp_path / "out" / "points.json").exists()


@needs_libtpu
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--fsdp=3"], "does not fit 4 devices; set MeshShape"),
        (["--batch_size=6"], "is not a multiple of 4"),
        (["--topology=v9:2x2"], "is unknown; expected CHIP:AxB"),
        (["--width=126", "--heads=1"], "does not divide; set MeshShape.fsdp"),
    ],
)
def test_what_cannot_be_compiled_is_one_line(flags, words, tmp_path, capsys):
    assert cli.main(command(tmp_path, *flags)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--batch_size=0", "compile.batch_size is 0"),
        ("--batch_size=-4", "compile.batch_size is -4"),
        ("--sequence_length=0", "compile.sequence_length is 0"),
        ("--slices=-1", "compile.slices is -1"),
        ("--gin.Sampling.batch_size=0", "Sampling.batch_size is 0"),
        ("--gin.Policy.prompts_per_batch=0", "Policy.prompts_per_batch is 0"),
        ("--gin.Search.batch_sizes=(0, 8)", "Search.batch_sizes is 0"),
        ("--gin.Search.fsdp_sizes=(-1,)", "Search.fsdp_sizes is -1"),
    ],
)
def test_sizes_of_nothing_are_a_line(tmp_path, capsys, flag, message):
    assert cli.main(command(tmp_path, flag)) == 2
    assert message in capsys.readouterr().err
