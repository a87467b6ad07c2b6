# A Bash program: asked for calls (a line of quoted words each), or run with its own tests.
if [[ $1 = tests ]]; then
    exec {codex_jax_in}<&0 </dev/null
    codex_jax_file=$3
    set --
    codex_jax_end=0
    source "$codex_jax_file"
    codex_jax_status=$? # of the last test, or of a file that can't be parsed
    [[ $codex_jax_status = 0 ]] || exit "$codex_jax_status"
    [[ $codex_jax_end = 1 ]] || exit 0
    IFS= read -r -u "$codex_jax_in" REPLY
    printf '%s\n' "$REPLY" >&3
    exit 0
fi
codex_jax_text() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    text=${text//$'\r'/\\r}
    printf '"%s"' "${text//[[:cntrl:]]/?}"
}
exec {codex_jax_in}<&0 </dev/null
codex_jax_entry=$2
if ! codex_jax_why=$(bash -n "$3" 2>&1); then
    printf '{"unready": ["SyntaxError", "syntax error", %s, null]}\n' "$(codex_jax_text "${codex_jax_why:0:300}")" >&3
    exit 0
fi
source "$3"
if ! declare -F "$codex_jax_entry" >/dev/null; then
    printf '{"unready": ["Exception", "error", "no such function", null]}\n' >&3
    exit 0
fi
printf '{"ready": true}\n' >&3
while IFS= read -r -u "$codex_jax_in" codex_jax_line; do
    eval "set -- $codex_jax_line"
    codex_jax_found=$("$codex_jax_entry" "$@" 3>&-)
    codex_jax_status=$?
    if [[ $codex_jax_status -gt 125 ]]; then
        printf '{"raised": ["Exception", "exit status", "%s", null]}\n' "$codex_jax_status" >&3
    else
        printf '{"value": %s}\n' "$(codex_jax_text "$codex_jax_found")" >&3
    fi
done
exit 0
