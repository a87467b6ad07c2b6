#!/bin/sh
# One command for a GPU: parity with the CPU, training, sampling and int8 beside their bounds, in one
# table; under 8 minutes on one H100. Options go to gpu.py (--stages, --toy, --output).
#
#   pip install 'jax[cuda13]' -e . && sh benchmarks/gpu.sh
#
# Offline, it needs wheels of: jax, jaxlib, jax-cuda13-plugin, jax-cuda13-pjrt and their nvidia-*
# libraries, flax, optax, orbax-checkpoint, jaxtyping, numpy, tiktoken, tokenizers, tqdm; and torch
# and transformers for the column beside ours (left out where they are missing).
set -eu
cd "$(dirname "$0")/.."
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH TF_CPP_MIN_LOG_LEVEL=2
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
