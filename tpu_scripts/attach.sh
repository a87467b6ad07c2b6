#!/usr/bin/env bash
# attach.sh --name=N --zone=Z [--project=P] [--lines=20] [--dry-run]
#
# Shows what the run prints on every worker, each line with its worker's name, until it ends. Ctrl-C
# stops the showing; the run goes on. Ends with the run's status.
#   --lines  lines of each worker to begin with

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
lines=20
read_flags lines -- "$@"
require_number lines

on_workers "bash $host_script follow $lines"
