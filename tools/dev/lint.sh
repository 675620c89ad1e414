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
    # The first line says so where the runner puts no transaction around it, see kit/migrate.py.
    within=--assume-in-transaction
    [[ $(head -n 1 "$file") == "-- outside of a transaction" ]] && within=--no-assume-in-transaction
    sed 's/{role}/laurel_role/g' "$file" | squawk --config .squawk.toml $within --stdin-filepath "$file"
done
