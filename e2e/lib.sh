# shellcheck shell=bash
# Shared by every script in e2e/: where the cache is, how a tool is named by what it is built from, what to say when
# something is missing. Sourced, never run.

# Built tools live outside the work tree, so that a fresh clone finds them again. `make clean-cache` removes them.
AIDP_CACHE=${AIDP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aidp}
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# need COMMAND HINT: stops with the hint when COMMAND is not installed.
need() { command -v "$1" >/dev/null 2>&1 || die "'$1' is not installed. $2"; }

need_go() {
  need go "The control plane of the tests is built from Go modules. Install Go 1.26 or newer from https://go.dev/dl/ (Debian and Ubuntu backports: golang-1.26-go; macOS: brew install go), or name a folder that holds etcd, kube-apiserver and kubectl in KUBEBUILDER_ASSETS, or a running cluster in KUBECONFIG."
  local v; v=$(go env GOVERSION); v=${v#go}; v=${v%%[!0-9.]*}
  printf '1.26\n%s\n' "$v" | sort -V -C || die "Go $v is too old: the pinned Kubernetes modules need Go 1.26 or newer (https://go.dev/dl/)."
}
need_python() {
  need python3 "The AWS emulator (moto) runs on it. Install Python 3.10 or newer with its venv module (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)."
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "$(python3 --version) is too old for the AWS emulator: Python 3.10 or newer is needed."
  python3 -c 'import ensurepip, venv' 2>/dev/null || die "python3 lacks its venv module (Debian, Ubuntu: apt-get install python3-venv)."
}
need_basics() {
  need curl "Debian, Ubuntu: apt-get install curl."
  need openssl "It makes the control plane's certificates. Debian, Ubuntu: apt-get install openssl."
}

# key WORD|FILE...: 16 hex digits that change whenever one of the words, or the content of one of the files, changes.
key() {
  local a; for a in "$@"; do if [ -f "$a" ]; then printf 'file %s\n' "$(basename "$a")"; cat "$a"; else printf 'word %s\n' "$a"; fi; done \
    | openssl dgst -sha256 -r | cut -c1-16
}

# locked NAME COMMAND...: one process at a time per NAME where flock exists. Without it two may build the same thing
# twice; the result is moved into place in one step either way.
locked() {
  local name=$1; shift; mkdir -p "$AIDP_CACHE/locks"
  if command -v flock >/dev/null 2>&1; then (flock 9; "$@") 9>"$AIDP_CACHE/locks/$name"; else "$@"; fi
}

# free_ports N: N free TCP ports of the loopback interface, one a line. They lie below those that kernels take for outgoing
# connections (Linux: from 32768), so that a server that is stopped and started again finds its port still free.
free_ports() {
  python3 - "$1" <<'PY'
import random, socket, sys
held = []
for port in random.sample(range(10000, 20000), 1000):
    if len(held) == int(sys.argv[1]):
        break
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        continue
    held.append(s)
    print(port)
PY
}

# wait_until SECONDS WHAT COMMAND...: polls COMMAND; on timeout says what did not happen and returns 1.
wait_until() {
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { say "gave up waiting: $what"; return 1; }
    sleep 0.1
  done
}

# stop_pid PID: TERM, five seconds of grace, then KILL.
stop_pid() {
  kill "$1" 2>/dev/null || return 0
  local i; for ((i = 0; i < 50; i++)); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$1" 2>/dev/null || true
}

# aidp_binary: path of the debug build of the operator, up to date. Built as the tests build it (their features of the
# dependencies), so that the AWS SDK is not compiled a second time.
aidp_binary() {
  if [ -n "${AIDP_BIN:-}" ]; then echo "$AIDP_BIN"; return; fi
  need cargo "Install Rust from https://rustup.rs/."
  local root; root=$(dirname "$E2E")
  (cd "$root" && cargo test --quiet --workspace --no-run >&2) || die "the operator does not compile"
  local target; target=$(cd "$root" && cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
  echo "$target/debug/aidp"
}
