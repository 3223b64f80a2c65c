#!/bin/sh
# Fails when generated Go code differs from what its source gives today. It
# generates into a temporary folder and leaves the tree alone. The configuration
# reference is held to its source by a test of internal/config.
#
# Usage: gen-check.sh OAPI_CODEGEN   (from the root of the tree)
set -eu

generator=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

stale=0
for config in $(find . -name node_modules -prune -o -name oapi-codegen.yaml -print); do
	folder=$(dirname "$config")
	output=$(sed -n 's/^output: *//p' "$config")
	if [ -z "$output" ]; then
		echo "$config: has no output" >&2
		exit 1
	fi
	cp "$config" "$scratch/oapi-codegen.yaml"
	(cd "$scratch" && "$generator" -config oapi-codegen.yaml "$root/schema/openapi.yaml")
	if ! cmp -s "$scratch/$output" "$folder/$output"; then
		echo "$folder/$output is stale: run make gen" >&2
		stale=1
	fi
done
exit $stale
