#!/bin/sh
# Policy gradients on one GPU in less than 5 minutes: 64 prompts × 16 samples an update, and pass@1
# of held-out problems before and after.
#
#   sh benchmarks/rl_gpu.sh CHECKPOINT TOKENIZER PROBLEMS HELD_OUT OUTPUT [--steps=60] \
#       [--seconds=280] [flags of codex-jax rl]
#
# The result is OUTPUT/report.json; benchmarks/rl_gpu.py says more.
set -eu
cd "$(dirname "$0")/.."
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH TF_CPP_MIN_LOG_LEVEL=2 PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" benchmarks/rl_gpu.py "$@"
