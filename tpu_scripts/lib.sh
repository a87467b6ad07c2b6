# Sourced by every script here: flags, --help from the script's own header, gcloud shown or run.
# shellcheck shell=bash disable=SC2034 # variables of those who source it

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
host_script=codex_jax/tpu_scripts/host.sh

die() {
    echo "${0##*/}: $*" >&2
    exit 2
}

say() { echo "${0##*/}: $*" >&2; }

# Every script has these; its own, with their defaults, it assigns before read_flags.
name='' zone='' project='' dry_run='' into=logs
required=(name zone) words=() pairs=() takes_words='' set_flags=' '

# note WORDS...: a line of a launch, shown and written down.
note() { echo "$(date -u +%FT%TZ) $name: $*" | tee -a "$into/$name/launch.log" >&2; }

# read_flags OWN... -- ARGUMENTS...
# Sets the variables of the flags given, dashes as underscores. From the first word on that is no
# flag, the arguments go to the array `words`.
read_flags() {
    local known=(name zone project)
    while [[ $1 != -- ]]; do
        known+=("$1")
        shift
    done
    shift
    while (($#)) && [[ $1 == -* ]]; do
        case $1 in
            -h | --help)
                sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
                exit 0
                ;;
            --dry-run | --dry_run) dry_run=yes ;;
            --)
                shift
                break
                ;;
            --*) set_flag "${1#--}" ;;
            *) die "no flag $1; see --help" ;;
        esac
        shift
    done
    words=("$@")
    [[ ! ${words[*]} || $takes_words ]] || die "${words[0]}: unexpected word; see --help"
    require "${required[@]}"
    [[ ! $name || $name =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ ]] ||
        die "--name=$name: expected lowercase letters, digits and dashes, a letter first"
    require_plain zone project
}

# set_flag NAME=VALUE, of those in read_flags' `known`.
set_flag() {
    local candidate variable=${1%%=*}
    variable=${variable//-/_}
    for candidate in "${known[@]}"; do
        [[ $variable == "$candidate" ]] || continue
        [[ $1 == *=?* ]] || die "--${1%%=*} has no value; write --${1%%=*}=VALUE"
        [[ $set_flags != *" $variable "* ]] || die "--${1%%=*} is set twice; set it once"
        set_flags+="$variable "
        printf -v "$variable" %s "${1#*=}"
        return
    done
    die "no flag --${1%%=*}; see --help"
}

# require FLAG...: each must have a value.
require() {
    local flag
    for flag in "$@"; do
        [[ ${!flag} ]] || die "--$flag is not set; see --help"
    done
}

# require_switch FLAG...: each is yes or no; no becomes empty, for ${flag:+...}.
require_switch() {
    local flag
    for flag in "$@"; do
        case ${!flag} in
            yes | '') ;;
            no) printf -v "$flag" '' ;;
            *) die "--$flag=${!flag}: expected yes or no" ;;
        esac
    done
}

# require_number FLAG...: each is a whole number.
require_number() {
    local flag
    for flag in "$@"; do
        [[ ${!flag} =~ ^(0|[1-9][0-9]{0,8})$ ]] ||
            die "--${flag//_/-}=${!flag}: expected a whole number"
    done
}

# require_seconds FLAG...: each is a number of seconds, fractions too.
require_seconds() {
    local flag
    for flag in "$@"; do
        [[ ${!flag} =~ ^[0-9]{1,9}(\.[0-9]+)?$ ]] || die "--$flag=${!flag}: expected seconds"
    done
}

# require_plain FLAG...: each is a name that no shell, manifest or URL reads otherwise, or empty.
require_plain() {
    local flag
    for flag in "$@"; do
        [[ ! ${!flag} || ${!flag} =~ ^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$ ]] ||
            die "--${flag//_/-}=${!flag@Q}: expected letters, digits and any of . _ : / @ + -"
    done
}

# require_bucket FLAG: a bucket's name, or empty.
require_bucket() {
    [[ ! ${!1} || ${!1} =~ ^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$ ]] ||
        die "--$1=${!1@Q}: expected a bucket's name alone, such as my-bucket"
}

# read_pairs TEXT: A=1,B=2 as the array `pairs`.
read_pairs() {
    local pair
    pairs=()
    [[ ! $1 ]] || IFS=, read -rd '' -a pairs < <(printf '%s\0' "$1") || true
    for pair in "${pairs[@]}"; do
        [[ $pair =~ ^[A-Za-z_][A-Za-z_0-9]*= ]] || die "--env: ${pair@Q}: expected NAME=VALUE"
    done
}

# quoted WORD...: as they would be typed.
quoted() {
    local word shown=()
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=,@+~-]+$ ]] || word=${word@Q}
        shown+=("$word")
    done
    echo "${shown[*]}"
}

# act COMMAND...: runs it, or under --dry-run prints it.
act() {
    if [[ $dry_run ]]; then quoted "$@"; else "$@"; fi
}

# tpus ARGUMENTS...: gcloud compute tpus, in our zone and project.
tpus() {
    act gcloud compute tpus "$@" --zone="$zone" ${project:+--project="$project"}
}

# on_workers COMMAND: a shell command on every worker of every slice at once. What it prints stays
# on stdout; what gcloud says beside it ("Attempting to connect…") goes to stderr.
on_workers() {
    tpus queued-resources ssh "$name" --node=all --worker=all --command="$1"
}

# is_final FILE: whether gcloud's words in FILE name an error that another try won't mend.
is_final() {
    grep -Eq 'PERMISSION_DENIED|INVALID_ARGUMENT|UNAUTHENTICATED|FAILED_PRECONDITION|NOT_FOUND|ALREADY_EXISTS|quota|Quota|argument |arguments:|SSH Key is not present|could not be parsed|gcloud auth login|required property' "$1"
}

# request_state: the queued resource's state; ABSENT where there is none, UNKNOWN after an error
# that may pass (the network, a 503). Any other error ends the script with gcloud's words.
request_state() {
    local errors state
    errors=$(mktemp)
    if state=$(tpus queued-resources describe "$name" --format='value(state.state)' 2>"$errors"); then
        echo "${state:-UNKNOWN}"
    elif grep -q NOT_FOUND "$errors"; then
        echo ABSENT
    elif is_final "$errors"; then
        cat "$errors" >&2
        rm "$errors"
        return 1
    else
        say "gcloud failed, trying again: $(tail -n 1 "$errors")"
        echo UNKNOWN
    fi
    rm -f "$errors"
}
