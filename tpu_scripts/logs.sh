#!/usr/bin/env bash
# logs.sh --name=N --zone=Z [--project=P] [--into=logs] [--workers=N] [--dry-run]
#
# Fetches every worker's logs into INTO/NAME/worker-0, worker-1, …
#   --workers  how many there are; asked of the TPU unless given

set -euo pipefail
# shellcheck source=tpu_scripts/flags.sh
source "$(dirname "$0")/flags.sh"
into=logs workers=''
read_flags into workers -- "$@"

count() { tpus tpu-vm describe "$name" --format='value(networkEndpoints.len())'; }

if [[ ! $workers ]]; then
    # Shown rather than asked, the number is unknown: one stands for all.
    if [[ $dry_run ]]; then
        count
        workers=1
    else
        workers=$(count)
    fi
fi
for ((worker = 0; worker < workers; worker++)); do
    folder=$into/$name/worker-$worker
    act mkdir -p "$folder"
    tpus tpu-vm scp --recurse "$name:codex_jax/logs" "$folder" --worker="$worker"
done
