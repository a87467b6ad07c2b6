#!/bin/sh
# run.sh COMMAND [ARGUMENT...]: runs Bazel on a copy of this checkout without a network.
#
#   sh tests/bazel/run.sh build //...
#   sh tests/bazel/run.sh test //:files_test
#
# @rules_python and @pip are two small local repositories made here: the first passes Bazel's own
# Python rules on, the second has an empty target for each package of constraints.txt, which the
# interpreter of .venv, that runs the tests, brings along. The others are what
# Bazel's own tools load. Bazel 4 (Debian's bazel-bootstrap) reads the WORKSPACE.bazel made here; Bazel 7
# and later read MODULE.bazel, and fetch the real repositories.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
python=$root/.venv/bin/python
scratch=$(mktemp -d)
trap 'stop; rm -rf "$scratch"' EXIT

run() {
    (cd "$scratch/tree" && HOME=$scratch PATH=$scratch/bin:$PATH bazel \
        --output_user_root="$scratch/cache" --max_idle_secs=30 "$@")
}

stop() {
    run shutdown >/dev/null 2>&1 || true
    chmod -R u+w "$scratch"
}

mkdir "$scratch/tree" "$scratch/bin"
(cd "$root" && tar -cf - BUILD codex_jax gin_configs tests) | tar -xf - -C "$scratch/tree"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$scratch/bin/python3"
chmod +x "$scratch/bin/python3"

# repository NAME FOLDER PREFIX RULE...: a local repository whose FOLDER:defs.bzl passes on native rules.
repository() {
    mkdir -p "$scratch/$1/$2"
    touch "$scratch/$1/WORKSPACE.bazel" "$scratch/$1/$2/BUILD"
    echo "local_repository(name = \"$1\", path = \"$scratch/$1\")" >>"$scratch/tree/WORKSPACE.bazel"
    defs=$scratch/$1/$2/defs.bzl prefix=$3
    shift 3
    for rule; do echo "${prefix}_$rule = native.${prefix}_$rule"; done >"$defs"
}

repository rules_python python py binary library test
repository rules_cc cc cc binary import library test toolchain toolchain_suite
repository rules_java java java binary import library runtime toolchain
repository pip . ""
repository remote_coverage_tools . ""
cat >"$scratch/remote_coverage_tools/BUILD" <<EOF
filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])
EOF

"$python" - "$root/constraints.txt" "$scratch/pip" <<'EOF'
"""Writes a target for each pinned package, named as rules_python names it."""
import importlib.metadata, pathlib, re, sys

for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    name, _, version = line.partition("==")
    if line.startswith("#") or not version:
        continue
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        installed = version  # of an extra that isn't installed; only its users would miss it
    if installed != version:
        sys.exit(f"{name} {installed} is installed, {version} is pinned: run make install")
    label = re.sub(r"[-_.]+", "_", name).lower()
    (folder := pathlib.Path(sys.argv[2], label)).mkdir()
    rule = f'py_library(name = "{label}", visibility = ["//visibility:public"])\n'
    (folder / "BUILD").write_text(rule)
EOF

command=$1
shift
case $command in
test) set -- --test_output=errors "$@" ;;
esac
run "$command" --override_repository=remote_coverage_tools="$scratch/remote_coverage_tools" \
    --test_env=PATH="$scratch/bin:$PATH" --action_env=PATH="$scratch/bin:$PATH" "$@"
