#!/usr/bin/env bash
# Prints the Python 3.11 that .venv is to be made of: of those that are found, the one that runs fastest. An interpreter
# that was built without optimisation, as version managers do by default, takes a fifth more of every call.
set -euo pipefail

# The best of five rounds, in microseconds; nothing where the interpreter cannot make a .venv.
pace='
import ensurepip, ssl, sqlite3, sys, time, venv

class Row:
    def __init__(self, key, value):
        self.key, self.value = key, value

def work():
    rows = {key: Row(key, str(key)) for key in range(20_000)}
    return sum(len(row.value) + row.key for row in rows.values())

def seconds():
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

if sys.version_info[:2] == (3, 11):
    print(round(min(seconds() for _ in range(5)) * 1e6))
'

best='' best_time=''
for candidate in python3.11 /usr/bin/python3.11 /usr/local/bin/python3.11 python3; do
  time=$("$candidate" -c "$pace" 2>/dev/null) || continue
  # The first one stays unless another is clearly faster.
  if [[ -n $time && ( -z $best || $((time * 10)) -lt $((best_time * 9)) ) ]]; then
    best=$candidate best_time=$time
  fi
done
if [[ -z $best ]]; then
  echo 'no Python 3.11 with venv, ssl and sqlite3 is to be found; install one, or name it with make PYTHON=...' >&2
  exit 1
fi
echo "$best"
