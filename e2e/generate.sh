#!/usr/bin/env bash
# generate.sh           rewrites every generated file
# generate.sh --check   fails when one of them differs from what the code says
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh
aidp=$(aidp_binary)
crd=crds/aidp.dev_aidataprotectionpolicies.yaml
fresh=$(mktemp); trap 'rm -f "$fresh"' EXIT
"$aidp" crd >"$fresh"
if [ "${1:-}" = --check ]; then
  diff -u "$crd" "$fresh" || die "$crd is not what the code says: run 'make generate' and commit the result"
else
  cp "$fresh" "$crd"
fi
