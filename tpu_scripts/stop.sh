#!/usr/bin/env bash
# stop.sh --name=N --zone=Z [--project=P] [--grace=300] [--dry-run]
#
# Sends the run on every worker SIGTERM, and SIGKILL to what is left of it after a while. The hosts
# stay (see delete.sh).
#   --grace  seconds between the two

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
grace=300
read_flags grace -- "$@"
require_number grace

on_workers "bash $host_script stop $grace"
