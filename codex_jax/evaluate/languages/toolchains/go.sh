#!/bin/sh
# Go: compiled packages of the standard library, three packages of ours, compiler and linker.
set -e
go list -export -f '{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}' std > packages
while IFS='=' read -r name path; do
    case $path in
        /tmp/*)
            copy=$(basename "$path")
            cp "$path" "$copy"
            echo "$name=/kit/go/$copy"
            ;;
        *) echo "$name=$path" ;;
    esac
done < packages > importcfg
for name in testing "done"; do
    go tool compile -o $name.a -p codexjax/$name -importcfg importcfg -pack /kit/drivers/$name.go
    echo "packagefile codexjax/$name=/kit/go/$name.a" >> importcfg
done
assert=github.com/stretchr/testify/assert
go tool compile -o assert.a -p $assert -importcfg importcfg -pack /kit/drivers/assert.go
echo "packagefile $assert=/kit/go/assert.a" >> importcfg
tools=$(go env GOTOOLDIR)
cp "$tools/compile" "$tools/link" .
