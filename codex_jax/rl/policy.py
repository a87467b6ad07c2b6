"""`codex-jax rl`: policy gradients from verdicts, in one process on one mesh. Begin to read here.

A batch: the policy samples programs, the sandbox judges them, advantages weigh their tokens, an
optimizer step changes the weights, and the sampler takes them. Batch n of prompts, and the samples
of given weights, are functions of (problems, seed, n): a resumed run continues as if straight.
"""

import dataclasses
import json
import os
import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from codex_jax import InputError, list_settings, ranges
from codex_jax.checkpoint import Checkpoints, FolderLock, Retention
from codex_jax.model import DecoderConfig
from codex_jax.rl import watch
from codex_jax.rl.experience import Collector
from codex_jax.rl.judging import Judge, Sandbox, check_sandbox
from codex_jax.rl.prompts import BatchSizes, Prompts, read_problems
from codex_jax.rl.rewards import Reward, find_reward, needs_cases
from codex_jax.rl.rollout import Rollout, check_rollout
from codex_jax.rl.run import Run, Schedule
from codex_jax.rl.sampler import Sampler, SamplerSettings, check_sizes
from codex_jax.rl.watch import StopRules, Watch
from codex_jax.sample.batch_run import longest_prompt
from codex_jax.sample.engine.load import read_card
from codex_jax.sample.engine.memory import shard_bytes
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.text_ends import TextEnds, read_ends
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer
from codex_jax.train.compute import Compute
from codex_jax.train.initialization import Source, select_model
from codex_jax.train.job import Job, make_job
from codex_jax.train.loop import claim_directory, make_saver
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.resume import restore_or_init, split_names
from codex_jax.train.run_records import open_records
from codex_jax.train.setting_ranges import check_ranges
from codex_jax.train.stability import Stability
from codex_jax.train.state import TrainState

_RANGES = {
    name: ranges.integer(1, ranges.INT32_MAX) for name in ("steps", "log_every", "save_every")
}

_OPTIMIZER = Optimizer(learning_rate=1e-4, warmup_steps=5, schedule="constant", weight_decay=0.0)
_SAMPLING = SamplingParams(temperature=1.0, top_p=1.0)


def learn(
    *,
    problems: str,
    tokenizer: str,
    init_from: str,
    checkpoint_dir: str,
    steps: int,
    init_step: int | None = None,
    rollout: Rollout = Rollout(),
    rewards: Sequence[str] | str = ("passes",),
    sampling_params: SamplingParams = _SAMPLING,
    sandbox: Sandbox = Sandbox(),
    stop_rules: StopRules = StopRules(),
    optimizer: Optimizer = _OPTIMIZER,
    mesh: MeshShape = MeshShape(),
    compute: Compute = Compute(),
    stability: Stability = Stability(),
    resume_with: Sequence[str] | str = (),
    seed: int = 0,
    log_every: int = 1,
    save_every: int = 10,
    retention: Retention = Retention(),
    operative_config: str = "",
) -> dict[str, Any]:
    """Improves a model by the verdicts on its own samples, or resumes; returns the last metrics.

    Args:
      problems: JSON Lines of problems to learn from, each with two cases or more.
      tokenizer: The tokenizer.json that the model was trained with.
      init_from: Folder of the checkpoint with the weights to begin with.
      checkpoint_dir: Folder of the checkpoints and metrics.jsonl.
      steps: Optimizer steps of the whole run.
      init_step: Step of that checkpoint; default: the newest.
      rollout: Samples of a batch.
      rewards: Names of rewards (passes, share_of_cases, parses), or module:function; summed. A text
        has commas between them.
      sampling_params: Of the samples; other than temperature 1 without filters is off-policy.
      sandbox: Limits of the programs, and where they run.
      stop_rules: Limits at which the run stops itself.
      optimizer: The optimizer and its schedule.
      mesh: Devices along each mesh axis, for trainer and sampler.
      compute: The trainer's precision and memory savers.
      stability: Response to steps that would harm the model.
      resume_with: Names, as in "learning_rate,steps", that change from the newest checkpoint on.
      seed: Of the prompts' order and the samples.
      log_every: Batches between lines on the screen.
      save_every: Batches between checkpoints.
      retention: Checkpoints that are kept.
      operative_config: The configuration's text, for the card.

    Raises:
      InputError: settings that don't fit, a faulty reward, no sandbox, or a reason to stop.
      Preempted: SIGTERM came; the step that it names is saved, and the exit status is 75.
    """
    settings = types.SimpleNamespace(**locals())
    _check_settings(settings)
    claim_directory(checkpoint_dir)
    return _start(settings)


def _start(settings: Any) -> dict[str, Any]:
    """Reads what the settings name, and runs."""
    rewards = {name: find_reward(name) for name in _reward_names(settings)}
    source = Source(settings.init_from, settings.init_step)
    bpe = Tokenizer.load(settings.tokenizer)
    ends = read_ends(read_card(source.directory, source.step, settings.tokenizer, bpe), bpe)
    prompts = _make_prompts(settings, bpe, ends)
    job = _make_job(settings, prompts, source)
    with Judge(prompts.cases, settings.sandbox, by_case=needs_cases(rewards)) as judge:
        return _run(settings, job, prompts, bpe, ends, judge, rewards)


def _make_prompts(settings: Any, tokenizer: Tokenizer, ends: TextEnds) -> Prompts:
    rollout: Rollout = settings.rollout
    sizes = BatchSizes(
        rollout.prompts_per_batch,
        rollout.samples_per_prompt,
        rollout.max_new_tokens,
        multiple=16 if jax.default_backend() == "cpu" else 128,
    )
    return Prompts(
        read_problems(settings.problems),
        tokenizer,
        ends.begin_ids,
        sizes,
        shadow_share=rollout.shadow_share,
        heals=rollout.token_healing,
        seed=settings.seed,
    )


def _make_job(settings: Any, prompts: Prompts, source: Source) -> Job:
    """Checks the model and the devices, and makes the job with the card of its checkpoints."""
    model = select_model(None, settings.checkpoint_dir, source, prompts)
    _check_lengths(prompts, model, settings.rollout.max_new_tokens)
    configs = (settings.optimizer, settings.mesh, settings.compute, settings.stability)
    numbers = {"steps": settings.steps, "seed": settings.seed}
    job = make_job(prompts, model, source, *configs, numbers, settings.operative_config)
    check_sizes(model, job.mesh, settings.rollout.sampler_rows)
    return _describe(job, settings, source)


def _run(
    settings: Any,
    job: Job,
    prompts: Prompts,
    tokenizer: Tokenizer,
    ends: TextEnds,
    judge: Judge,
    rewards: Mapping[str, Reward],
) -> dict[str, Any]:
    """Restores the newest checkpoint, or begins, and runs to the end."""
    rollout, folder = settings.rollout, settings.checkpoint_dir
    dtypes = (settings.compute.dtype, settings.compute.param_dtype, rollout.sampler_dtype)
    with (
        FolderLock(folder) as lock,
        Checkpoints(folder, settings.retention) as checkpoints,
        open_records(checkpoints.directory) as (records, upload),
    ):
        path = records / "metrics.jsonl"
        begin = restore_or_init(checkpoints, job, split_names(settings.resume_with))
        _check_weights(begin.state.params, folder if begin.step else settings.init_from)
        sampler = _make_sampler(job, begin.state, tokenizer, ends, prompts, settings)
        sizes = {"prompts_per_batch": rollout.prompts_per_batch, "refills": rollout.refills}
        history = watch.read_history(path, begin.step)
        run = Run(
            job=job,
            prompts=prompts,
            rollout=rollout,
            sampler=sampler,
            collector=Collector(prompts, sampler, judge, rewards, **sizes),
            watch=Watch(settings.stop_rules, is_exact=set(dtypes) == {"float32"}, history=history),
            save=make_saver(checkpoints, lock, begin.card, upload),
            schedule=Schedule(settings.steps, settings.log_every, settings.save_every),
        )
        return run.run(begin, path)


def _check_weights(params: Any, directory: str) -> None:
    """Refuses weights that no sample can be drawn by.

    Raises:
      InputError: some aren't finite.
    """
    are_finite = jax.jit(lambda tree: [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)])
    if not all(map(bool, are_finite(params))):
        raise InputError(
            f"{directory} holds weights that are NaN or infinite; set init_from to another "
            "checkpoint"
        )


def _check_settings(settings: Any) -> None:
    """Checks the settings that need no model.

    Raises:
      InputError: the first one that isn't in its range, or doesn't fit another.
    """
    ranges.check("rl", settings, _RANGES)
    checked = ("seed", "init_step", "optimizer", "compute", "stability", "retention")
    check_ranges({name: getattr(settings, name) for name in checked})
    rollout: Rollout = settings.rollout
    check_rollout(rollout)
    check_sandbox(settings.sandbox)
    ranges.check("StopRules", settings.stop_rules, watch.RANGES)
    if not settings.init_from:
        raise InputError("init_from is empty; set it to the checkpoint that the run improves")
    if os.path.realpath(settings.init_from) == os.path.realpath(settings.checkpoint_dir):
        raise InputError("checkpoint_dir is init_from; set checkpoint_dir to another folder")
    _check_samples(settings)
    if settings.steps % rollout.updates_per_batch:
        raise InputError(
            f"rl.steps is {settings.steps}; set it to a multiple of Rollout.updates_per_batch, "
            f"{rollout.updates_per_batch}"
        )
    if settings.compute.z_loss:
        raise InputError("Compute.z_loss is set; set it to 0: a policy gradient has no such term")


def _reward_names(settings: Any) -> tuple[str, ...]:
    return list_settings.split_names("rewards", settings.rewards)


def _check_samples(settings: Any) -> None:
    """Checks rewards' names, and that samples of a prompt differ.

    Raises:
      InputError: the first setting that is of no use.
    """
    names = _reward_names(settings)
    if not names:
        raise InputError("rewards is empty; set it to passes, share_of_cases, parses or your own")
    list_settings.check_distinct(rewards=names)
    if settings.sampling_params.temperature == 0:
        raise InputError(
            "SamplingParams.temperature is 0, with which all samples of a prompt are equal; set it "
            "above 0"
        )


def _check_lengths(prompts: Prompts, model: DecoderConfig, new: int) -> None:
    requests = [
        Request(prompt.task_id, prompt.tokens, max_new_tokens=new) for prompt in prompts.by_length
    ]
    longest_prompt(requests, {"max_length": model.max_length, "vocab_size": model.vocab_size})


def _describe(job: Job, settings: Any, source: Source) -> Job:
    """Adds to the job's card all that samples and rewards depend on."""
    run = dict(job.card.run)
    for name in ("rollout", "sampling_params", "sandbox"):
        fields = dataclasses.asdict(getattr(settings, name))
        run |= {f"{name}.{k}": v for k, v in fields.items() if k != "workers"}
    run["rewards"] = list(_reward_names(settings))
    card = dataclasses.replace(
        job.card,
        run=json.loads(json.dumps(run)),
        begin_ids=source.card.begin_ids,
        origin=source.card.origin,
    )
    return dataclasses.replace(job, card=card)


def _make_sampler(
    job: Job,
    state: TrainState,
    tokenizer: Tokenizer,
    ends: TextEnds,
    prompts: Prompts,
    settings: Any,
) -> Sampler:
    rollout = settings.rollout
    sizes = SamplerSettings(
        samples=rollout.samples_per_prompt,
        rows=rollout.sampler_rows,
        max_new_tokens=rollout.max_new_tokens,
        stops=tuple(rollout.stops),
        params=settings.sampling_params,
        dtype=rollout.sampler_dtype,
    )
    held = shard_bytes((state, state.params))  # gradients are as large as the parameters
    options = {"longest_prompt": prompts.longest, "held": held}
    return Sampler(job.model, state.params, job.mesh, tokenizer, ends, sizes, **options)
