#!/usr/bin/env bash
# Regenerates libs/laurel and libs/buf from the protos. Usage: tools/dev/generate.sh [OUT], OUT defaults to libs.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-libs}
export PATH="$PWD/.venv/bin:$PATH"
rm -rf "$out/laurel" "$out/buf"
mkdir -p "$out"
common=(-I protos -I third_party/protos)
python -m grpc_tools.protoc "${common[@]}" --python_out="$out" --mypy_out="readable_stubs:$out" \
    third_party/protos/buf/validate/validate.proto
# shellcheck disable=SC2046  # one argument a file is what is meant
python -m grpc_tools.protoc "${common[@]}" --python_out="$out" --mypy_out="readable_stubs:$out" \
    --grpc_python_out="$out" --mypy_grpc_out="only_async,readable_stubs:$out" \
    $(find protos -name '*.proto' | sort)
find "$out/laurel" -name '*_pb2_grpc.py*' | while read -r file; do
    service="${file%_pb2_grpc.py*}"
    grep -q '^service ' "protos/laurel/${service#"$out/laurel/"}.proto" || rm "$file"
done
find "$out/laurel" "$out/buf" -type d -exec touch {}/__init__.py {}/py.typed \;
