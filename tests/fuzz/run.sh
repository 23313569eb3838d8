#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: coverage-guided fuzzing, one target after the other, on a copy of the committed corpus. Ends at
# the first crash or timeout, with the input that did it. `run.sh keep` puts a minimal set of inputs that reach more code
# than the committed ones into tests/fuzz/corpus.
# Needs nightly Rust (rustup toolchain install nightly), a C++ compiler, and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")"
export RUSTUP_TOOLCHAIN=nightly
targets=(document merge equivalence decide request manifest prove)
grown=target/grown

# No address sanitizer: the project forbids unsafe code, and without it twice as many inputs are tried.
cargo fuzz build --fuzz-dir . --sanitizer none --release
binary() { echo "target/$(rustc -vV | sed -n 's/^host: //p')/release/$1"; }

if [ "${1:-}" = keep ]; then
  for target in "${targets[@]}"; do
    [ -d "$grown/$target" ] || continue
    # Long inputs cost every later run more than they show.
    find "$grown/$target" -type f -size +4k -delete
    "$(binary "$target")" -merge=1 "corpus/$target" "$grown/$target" 2>&1 | grep -E 'MERGE-OUTER: [0-9]+ new files'
  done
  exit
fi

seconds=${1:?seconds per target}; shift
[ $# = 0 ] || targets=("$@")
for target in "${targets[@]}"; do
  mkdir -p "$grown/$target"
  # 16 KiB: near the 20 KB that a bucket policy may have. An input that takes five seconds counts as a hang.
  "$(binary "$target")" "$grown/$target" "corpus/$target" -dict=policy.dict -max_total_time="$seconds" -timeout=5 \
    -max_len=16384 -rss_limit_mb=1024 -artifact_prefix="target/$target-" -print_final_stats=1 2>"target/$target.log" \
    || { tail -n 40 "target/$target.log" >&2; exit 1; }
  printf '%-12s %s\n' "$target" "$(grep -E '^Done|cov:' "target/$target.log" | tail -n 2 | tr '\n' ' ')"
done
