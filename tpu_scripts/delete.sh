#!/usr/bin/env bash
# delete.sh --name=N --zone=Z [--project=P] [--dry-run]
#
# Deletes the queued resource and its hosts with all that is on them, in whatever state it is.

set -euo pipefail
# shellcheck source=tpu_scripts/flags.sh
source "$(dirname "$0")/flags.sh"
read_flags -- "$@"

tpus queued-resources delete "$name" --force --quiet
