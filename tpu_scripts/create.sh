#!/usr/bin/env bash
# create.sh --name=N --zone=Z --type=v5litepod-16 [--project=P] [--runtime=R] [--spot=yes] [--dry-run]
#
# Queues a request for a TPU slice. It costs nothing until it is ACTIVE: see wait.sh.
#   --type     accelerator type: v4-…, v5litepod-…, v5p-…, v6e-…
#   --runtime  image of the hosts; the type's own unless given
#   --spot     yes: cheaper, and may be taken away

set -euo pipefail
# shellcheck source=tpu_scripts/flags.sh
source "$(dirname "$0")/flags.sh"
type='' runtime='' spot=''
read_flags type runtime spot -- "$@"
require type

if [[ ! $runtime ]]; then
    case $type in
        v4-*) runtime=tpu-ubuntu2204-base ;;
        v5litepod-*) runtime=v2-alpha-tpuv5-lite ;;
        v5p-*) runtime=v2-alpha-tpuv5 ;;
        v6e-*) runtime=v2-alpha-tpuv6e ;;
        *) die "--type=$type: no runtime known for it; set --runtime" ;;
    esac
fi

tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$type" \
    --runtime-version="$runtime" ${spot:+--spot}
