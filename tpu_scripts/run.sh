#!/usr/bin/env bash
# run.sh --name=N --zone=Z [--project=P] [--dry-run] VERB [FLAGS OF THE VERB...]
#
# Runs a verb of codex-jax on every worker, in the tree that setup.sh copied; each keeps what it
# prints in logs/VERB.log (see logs.sh). Ends with the verb's status.
#
#   run.sh --name=pod --zone=us-central2-b train gin_configs/model/85m.gin gin_configs/train/codex.gin

set -euo pipefail
# shellcheck source=tpu_scripts/flags.sh
source "$(dirname "$0")/flags.sh"
takes_words=yes
read_flags -- "$@"
((${#words[@]})) || die "no verb; see --help"

on_workers "set -o pipefail; cd codex_jax; mkdir -p logs;\
 CODEX_JAX_DISTRIBUTED=1 .venv/bin/codex-jax ${words[*]@Q} 2>&1 | tee -a logs/${words[0]}.log"
