#!/bin/sh
# python_versions.sh [PYTEST ARGUMENT...]: the tests under each Python from 3.11 on that is installed.
#
#   sh benchmarks/python_versions.sh tests/test_files.py tests/evaluate
#
# Each interpreter of VERSIONS gets an environment of its own in a scratch folder, with the pinned versions
# of constraints.txt. Prints one line an interpreter: passed, failed (with the log's path), or not installed.
# Exit status 1 where one fails.
set -u

cd "$(dirname "$0")/.." || exit 2
case ${1-} in
-h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit 0
    ;;
esac

# Prints the path of a Python of this version: on PATH, or among pyenv's.
find_python() {
    for python in "$(command -v "python$1")" "$HOME/.pyenv/versions/$1".*/bin/python; do
        if "$python" -c "" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

scratch=$(mktemp -d)
chmod 755 "$scratch" # programs in a sandbox, which import its packages, run as another user
status=0
for version in ${VERSIONS:-3.11 3.12 3.13}; do
    if ! python=$(find_python "$version"); then
        echo "Python $version: not installed"
        continue
    fi
    log=$scratch/$version.log
    if {
        sh .ci/venv "$python" "$scratch/$version" &&
            "$scratch/$version/bin/python" -m pip install --quiet -c constraints.txt \
                -e '.[data,report,dev]' &&
            "$scratch/$version/bin/python" -m pytest -q -n 2 --dist=worksteal "$@"
    } >"$log" 2>&1; then
        echo "Python $version: passed; $(tail -n 1 "$log")"
    else
        echo "Python $version: failed; see $log"
        status=1
    fi
    rm -rf "${scratch:?}/$version"
done
[ "$status" != 0 ] || rm -rf "$scratch"
exit "$status"
