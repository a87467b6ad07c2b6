#!/usr/bin/env bash
# host.sh COMMAND ...: the part of these scripts that runs on a TPU host, in the home folder.
#
#   install COMMIT [BUCKET]  codex_jax.new takes codex_jax's place; Python, the pinned packages, the
#                            bucket at /gcs/BUCKET
#   start ATTEMPT COMMAND... runs COMMAND in codex_jax, without a terminal, under a lock
#   report                   the new lines of its log, and "@ WORKER STATE ATTEMPT STATUS STEP COMMIT"
#   follow LINES             its log until it ends
#   stop SECONDS             SIGTERM, and SIGKILL after so many seconds
#   contain COMMAND...       runs COMMAND in a container: its step goes to the termination message
#
# STATE is idle (nothing was started), running, ended (STATUS says how) or lost (the host or its
# supervisor died). STEP is how far the command came: the last step in metrics.jsonl for train, lines
# written for the others, - where that isn't known.

set -euo pipefail
tree=$HOME/codex_jax run=$HOME/codex_jax_run

die() {
    echo "host.sh: $*" >&2
    exit 1
}

# read_state NAME: a file of the run's, or -.
read_state() { cat "$run/$1" 2>/dev/null || echo -; }

is_running() { [[ -e $run/lock ]] && ! flock -n "$run/lock" true; }

# label: this host among all, NODE/worker-N; its name where no metadata server answers.
label() {
    local facts node worker
    if [[ ! -s $run/label ]]; then
        facts=$(curl -sf -m 5 -H Metadata-Flavor:Google \
            "http://${GCE_METADATA_IP:-metadata.google.internal}/computeMetadata/v1/instance/attributes/tpu-env" || true)
        node=$(sed -n "s/^NODE_ID: '\(.*\)'/\1/p" <<<"$facts")
        worker=$(sed -n "s/^WORKER_ID: '\(.*\)'/\1/p" <<<"$facts")
        mkdir -p "$run"
        echo "${node:+$node/worker-$worker}" | grep . >"$run/label" || hostname >"$run/label"
    fi
    cat "$run/label"
}

install() {
    ! is_running || die "a run is under way: stop it first (stop.sh)"
    [[ ! -d $tree/.venv ]] || mv "$tree/.venv" "$tree.new/"
    rm -rf "$tree.old"
    [[ ! -d $tree ]] || mv "$tree" "$tree.old"
    mv "$tree.new" "$tree"
    cd "$tree"
    export PATH=$HOME/.local/bin:$PATH
    command -v make >/dev/null || install_packages make
    # Ubuntu 22.04's own python3.11 is a release candidate.
    command -v uv >/dev/null || python3 -m pip install --quiet --user uv
    uv python install --quiet 3.11
    make install EXTRAS=gcs,tpu PYTHON="$(uv python find 3.11)"
    [[ ! ${2:-} ]] || mount_bucket "$2"
    rm -f "$run/label"
    label >/dev/null
    echo "$1" >"$tree/COMMIT"
}

# install_packages NAME...: apt's lock may be held by the updates of a fresh host's first minutes.
install_packages() {
    sudo apt-get -o DPkg::Lock::Timeout=600 -qq update
    sudo apt-get -o DPkg::Lock::Timeout=600 -qqy install "$@"
}

mount_bucket() {
    local folder=/gcs/$1 source=packages.cloud.google.com/apt
    ! mountpoint -q "$folder" || return 0
    if ! command -v gcsfuse >/dev/null; then
        curl -sf "https://$source/doc/apt-key.gpg" |
            sudo tee /usr/share/keyrings/cloud.google.asc >/dev/null
        echo "deb [signed-by=/usr/share/keyrings/cloud.google.asc] https://$source gcsfuse-$(lsb_release -cs) main" |
            sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
        install_packages gcsfuse
    fi
    sudo mkdir -p "$folder"
    sudo chown "$(id -u)" "$folder"
    gcsfuse --implicit-dirs "$1" "$folder"
}

start() {
    local attempt=$1
    shift
    [[ -e $tree/COMMIT ]] || die "no tree here: run setup.sh first"
    mkdir -p "$run"
    exec 9>>"$run/lock"
    if ! flock -w 5 9; then # a report may hold it for an instant
        [[ $(read_state attempt) == "$attempt" ]] || die "a run is under way: $(read_state command)"
        return
    fi
    [[ $(read_state attempt) != "$attempt" ]] || return 0 # it has ended already
    rm -f "$run/status" "$run/pid"
    echo "$attempt" >"$run/attempt"
    printf '%s\n' "$@" >"$run/words"
    echo "$*" >"$run/command"
    # The lock is held until the last process of the run is gone.
    setsid "$BASH" "$tree/tpu_scripts/host.sh" supervise "$@" </dev/null >>"$run/log" 2>&1 &
    for _ in {1..100}; do # what comes next, such as attach.sh or stop.sh, reads this file
        [[ ! -s $run/pid ]] || return 0
        sleep 0.1
    done
}

supervise() {
    local status=0
    cd "$tree"
    echo "$(date -u +%FT%TZ) attempt $(read_state attempt): $*"
    env "JAX_COMPILATION_CACHE_DIR=$(compiled)" "$@" &
    echo "$! $$" >"$run/pid"
    wait $! || status=$?
    echo "$(date -u +%FT%TZ) exit status $status"
    echo "$status" >"$run/status"
}

# compiled: the folder of compiled programs, which a restart finds again: in the bucket, if one is
# mounted, as process 0 alone writes there; --env=JAX_COMPILATION_CACHE_DIR=... sets another.
compiled() {
    local folder=$HOME mount
    for mount in "${GCS_FOLDER:-/gcs}"/*; do
        ! mountpoint -q "$mount" || folder=$mount
    done
    echo "$folder/codex_jax_compiled"
}

# step WORD...: how far the command of these words came.
step() {
    local word file='' count=''
    for word in "$@"; do
        case $word in
            train) file=/metrics.jsonl ;;
            --checkpoint[-_]dir=*) [[ ! $file ]] || file=${word#*=}/metrics.jsonl ;;
            --output=*) [[ $file ]] || count=${word#*=} ;;
        esac
    done
    if [[ $file == /metrics.jsonl || ! $file$count ]]; then
        echo -
    elif [[ $file ]]; then
        read_path "$file" | grep -o '"step": *[0-9]*' | tail -n 1 | grep -o '[0-9]*$' || echo 0
    else
        read_path "$count" | wc -l
    fi
}

read_path() {
    cd "$tree" 2>/dev/null || true
    case $1 in
        gs://*) gcloud storage cat "$1" || true; gcloud storage cat "$1.part-*" ;;
        *) cat "$1" "$1".part-* ;; # several hosts write a part each
    esac 2>/dev/null || true
}

report() {
    local state=idle status=- came=- first last=0
    local words=()
    if is_running; then
        state=running
    elif [[ -e $run/status ]]; then
        state=ended status=$(read_state status)
    elif [[ -e $run/attempt ]]; then
        state=lost
    fi
    [[ ! -e $run/words ]] || mapfile -t words <"$run/words"
    [[ $state == idle || $state == running ]] || came=$(step "${words[@]}")
    first=$(cat "$run/reported" 2>/dev/null || echo 0)
    [[ ! -e $run/log ]] || last=$(wc -l <"$run/log")
    if ((last > first)); then
        sed -n "$((first + 1)),${last}p" "$run/log" | tail -n 200 | sed "s|^|$(label): |"
        echo "$last" >"$run/reported"
    fi
    echo "@ $(label) $state $(read_state attempt) $status $came $(cat "$tree/COMMIT" 2>/dev/null || echo -)"
}

follow() {
    [[ -e $run/log ]] || die "$(label): no run was started here"
    local group
    read -r _ group <"$run/pid"
    tail -n "$1" -F --pid="$group" "$run/log" 2>/dev/null | sed -u "s|^|$(label): |"
    [[ $(read_state status) != - ]] || die "$(label): the run was lost"
    exit "$(read_state status)"
}

stop() {
    local child group
    is_running || return 0
    read -r child group <"$run/pid"
    kill -TERM "$child" 2>/dev/null || true
    flock -w "$1" "$run/lock" true && return
    kill -KILL -- "-$group" 2>/dev/null || true
    flock -w 30 "$run/lock" true || die "$(label): processes of the run are still there"
    echo 143 >"$run/status" # ended from outside, not lost
}

contain() {
    local status=0
    cd "$(dirname "$0")/.."
    tree=$PWD
    env "JAX_COMPILATION_CACHE_DIR=$(compiled)" "$@" &
    trap 'kill -TERM $! 2>/dev/null' TERM
    wait $! || status=$?
    while kill -0 $! 2>/dev/null; do # a signal ended the waiting, not the command
        status=0
        wait $! || status=$?
    done
    step "$@" >"${TERMINATION_MESSAGE:-/dev/termination-log}"
    exit "$status"
}

case ${1:-} in
    install | start | supervise | report | follow | stop | contain) "$@" ;;
    *) die "expected install, start, report, follow, stop or contain" ;;
esac
