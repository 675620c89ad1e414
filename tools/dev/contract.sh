#!/usr/bin/env bash
# Checks the contract: generated code is what the protos say, buf lint, buf breaking against the last landed state.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
tools/dev/generate.sh "$fresh" >/dev/null 2>&1
for package in laurel buf; do
    if ! diff -r --exclude=__pycache__ "libs/$package" "$fresh/$package"; then
        echo "libs/$package is not what the protos say: run make proto" >&2
        exit 1
    fi
done
buf lint
buf format --diff --exit-code >/dev/null || { echo "protos are not formatted: run make format" >&2; exit 1; }

# Against main as it was before this change: the remote's; where this is main itself, what it was 4 hours before.
base=$(git rev-parse --quiet --verify origin/main || true)
if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    base=$(git rev-list -1 --before=$(($(git show -s --format=%ct HEAD) - 14400)) HEAD)
fi
if [ -n "$base" ] && git cat-file -e "$base:buf.yaml" 2>/dev/null; then
    buf breaking --against ".git#ref=$base"
    echo "contract: compatible with $(git show -s --format='%h %s' "$base")"
else
    echo "contract: nothing landed yet to compare with"
fi
