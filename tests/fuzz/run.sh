#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: coverage-guided fuzzing, one target after the other, on a copy of the committed corpus. Ends at
# the first crash or timeout, with the input that did it. `run.sh keep [TARGET...]` then puts into tests/fuzz/corpus, of each target, the
# few short inputs that reach most code that the committed ones don't; it builds nothing.
# Needs nightly Rust (rustup toolchain install nightly), a C++ compiler, and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")"
export RUSTUP_TOOLCHAIN=nightly
targets=(document merge equivalence decide request manifest prove)
grown=target/grown

binary() { echo "target/$(rustc -vV | sed -n 's/^host: //p')/release/$1"; }

if [ "${1:-}" = keep ]; then
  shift; [ $# = 0 ] || targets=("$@")
  # Every run of `cargo test` tries all that is committed, and long inputs cost more than they show.
  most=35 longest=2k
  for target in "${targets[@]}"; do
    [ -d "$grown/$target" ] || continue
    control=target/$target.merge
    rm -rf "$control" target/merged; cp -r "corpus/$target" target/merged
    find "$grown/$target" -type f -size "+$longest" -delete
    "$(binary "$target")" -merge=1 -merge_control_file="$control" target/merged "$grown/$target" 2>"target/$target.log" \
      || { tail -n 40 "target/$target.log" >&2; exit 1; }
    # libFuzzer's control file: how many files, how many of them committed, their names; then for each by its number, among
    # others, COV and the edges that none before it reached.
    awk -v most="$most" '
      NR == 1 { all = $1 } NR == 2 { committed = $1 } NR > 2 && NR <= all + 2 { name[NR - 3] = $0 }
      $1 == "COV" && $2 >= committed && NF > 2 { print NF - 2, name[$2] | "sort -k1,1nr -k2 | head -n " most }
    ' "$control" | while read -r _ file; do cp "$file" "corpus/$target/"; done
    printf '%-12s %s inputs, %s bytes\n' "$target" "$(find "corpus/$target" -type f | wc -l)" "$(cat "corpus/$target"/* | wc -c)"
  done
  exit
fi

seconds=${1:?seconds per target}; shift
# No address sanitizer: the project forbids unsafe code, and without it twice as many inputs are tried.
cargo fuzz build --fuzz-dir . --sanitizer none --release
[ $# = 0 ] || targets=("$@")
for target in "${targets[@]}"; do
  mkdir -p "$grown/$target"
  # 16 KiB: near the 20 KB that a bucket policy may have. An input that takes five seconds counts as a hang.
  "$(binary "$target")" "$grown/$target" "corpus/$target" -dict=policy.dict -max_total_time="$seconds" -timeout=5 \
    -max_len=16384 -rss_limit_mb=1024 -artifact_prefix="target/$target-" -print_final_stats=1 2>"target/$target.log" \
    || { tail -n 40 "target/$target.log" >&2; exit 1; }
  printf '%-12s %s\n' "$target" "$(grep -E '^Done|cov:' "target/$target.log" | tail -n 2 | tr '\n' ' ')"
done
