#!/usr/bin/env bash
# Installs what the programs of this folder need below bin/clients, one directory an ecosystem, by each one's own package
# client. A directory has a file "ready" with the checksum of what it was made from, and is made anew when that changes.
# Tool chains that are missing are named, and their programs skipped by the tests.
set -uo pipefail
src=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$src/../.." && pwd)/bin/clients
mkdir -p "$bin"
failed=0

# make_ready ECOSYSTEM TOOL FILE…: runs make_ECOSYSTEM where the checksum of the files is not what it was.
make_ready() {
  local name=$1 tool=$2 sum
  shift 2
  if ! command -v "$tool" >/dev/null; then
    echo "tests/clients/$name: $tool is not installed" >&2
    failed=1
    return
  fi
  sum=$(cd "$src/$name" && cat $* | sha256sum) # $* unquoted: patterns expand in the folder
  if [ "$(cat "$bin/$name/ready" 2>/dev/null)" = "$sum" ]; then return; fi
  echo "tests/clients/$name: installing"
  rm -f "$bin/$name/ready"
  mkdir -p "$bin/$name"
  if (cd "$src/$name" && "make_$name" "$bin/$name"); then
    echo "$sum" >"$bin/$name/ready"
  else
    echo "tests/clients/$name: could not be installed" >&2
    failed=1
  fi
}

venv() { python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt; }
make_python() { venv "$1"; }
make_dbt() { venv "$1"; }
make_node() { cp package.json "$1" && cd "$1" && npm install --no-progress --silent --no-audit --no-fund; }
make_java() { mvn -q -B -DskipTests package; }
make_golang() { go build -o "$1/databasesql" .; }
make_rust() { cargo build --quiet --release --locked --target-dir "$1"; }

make_ready python python3 requirements.txt
make_ready dbt python3 requirements.txt
make_ready node npm package.json
make_ready java mvn pom.xml 'src/main/java/*.java'
make_ready golang go go.mod go.sum '*.go'
make_ready rust cargo Cargo.toml Cargo.lock 'src/*.rs'
exit $failed
