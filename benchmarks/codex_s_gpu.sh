#!/bin/sh
# Codex-S and Codex-D of SmolLM2-135M on a GPU machine without network: training and samples, for at
# most --seconds; a second call goes on in the same --work. What comes back is judged by codex_s.py.
#
#   python benchmarks/codex_s.py pack --help            # where there is a network: fills INPUT
#   sh benchmarks/codex_s_gpu.sh INPUT OUTPUT [--seconds 460] [--stages base,problems] [--steps 3]
#
# INPUT may hold wheels of packages that are missing there: gin-config, grain, array-record,
# portpicker, gguf. Everything that is done lies in OUTPUT at once.
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
packages="${TMPDIR:-/tmp}/codex_s_packages"
if ls "$1"/wheels/*.whl >/dev/null 2>&1 && [ ! -d "$packages" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$packages" "$1"/wheels/*.whl
fi
PYTHONPATH="$PWD:$packages${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH TF_CPP_MIN_LOG_LEVEL=2 PYTHONUNBUFFERED=1
exec "$python" benchmarks/codex_s_gpu.py "$@"
