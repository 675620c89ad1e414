#!/usr/bin/env bash
# Style, types, import rules, dependencies, migrations and files; stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"

step() { printf '%s\n' "lint: $*" && "$@"; }
step ruff check
step ruff format --check
step mypy libs/kit libs/rules services tools/cli
step lint-imports
step deptry .
step yamllint --strict -c .yamllint.yaml deploy
step check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
# Migrations: {role} is filled in by the runner; what squawk warns of in tables that are made in the same file is no lock.
for file in libs/kit/migrations/*.sql services/*/migrations/*.sql; do
    sed 's/{role}/laurel_role/g' "$file" | squawk --config .squawk.toml --stdin-filepath "$file"
done
