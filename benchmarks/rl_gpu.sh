#!/bin/sh
# Policy gradients on one GPU in less than 8 minutes: 64 prompts × 16 samples an update.
#
#   sh benchmarks/rl_gpu.sh CHECKPOINT TOKENIZER PROBLEMS OUTPUT [STEPS] [flags of codex-jax rl]
#
# CHECKPOINT is a folder that import or train wrote (SmolLM2-135M), PROBLEMS have two cases or more.
# It needs a sandbox on the machine (bubblewrap or gVisor), and no network. Ended after 460 seconds,
# it leaves OUTPUT/metrics.jsonl and the newest checkpoint; run again, it continues.
set -eu
cd "$(dirname "$0")/.."
checkpoint="$1" tokenizer="$2" problems="$3" output="$4" steps="${5:-60}"
shift 4
[ $# -gt 0 ] && shift
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH TF_CPP_MIN_LOG_LEVEL=2 PYTHONUNBUFFERED=1
timeout -s TERM "${SECONDS_LIMIT:-460}" "${PYTHON:-python3}" -m codex_jax rl \
    --init_from="$checkpoint" --tokenizer="$tokenizer" --problems="$problems" \
    --checkpoint_dir="$output" --steps="$steps" --save_every=10 \
    --prompts_per_batch=64 --samples_per_prompt=16 --refills=1 --max_new_tokens=160 \
    --sampler_rows=512 --sampler_dtype=bfloat16 --gin.Compute.dtype="'bfloat16'" \
    --microbatches=8 --learning_rate=1e-5 --gin.Sandbox.workers=16 "$@" || {
    status=$?
    [ "$status" -eq 124 ] || [ "$status" -eq 75 ] || exit "$status"
}
