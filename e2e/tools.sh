#!/usr/bin/env bash
# tools.sh NAME...: builds or installs each tool unless the cache has it, and prints the path of its executable.
#   moto        AWS emulator of the journey and the demo (Apache-2.0)
#   cargo-deny  licences, bans and sources of the dependencies
#   fakecloud   AWS emulator that enforces policies (AGPL: only ever a separate process of tests)
#   versitygw   S3 server that lacks half of the S3 API (Apache-2.0)
#   helm        renders, checks and installs the chart; AIDP_HELM names another one (Apache-2.0)
#   promtool    tests the chart's alerts (Apache-2.0)
#   monitoring-crds  folder with the CRDs of the Prometheus operator, against which the chart's objects are checked (Apache-2.0)
# Every version is pinned here or in the file next to the tool; the path in the cache changes with it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

CARGO_DENY=0.18.9 FAKECLOUD=0.51.0 VERSITYGW=v1.8.0 PROMETHEUS_OPERATOR=v0.84.0

moto() {
  need_python
  local req=$E2E/moto/requirements.txt dir
  dir=$AIDP_CACHE/tools/moto-$(key "$req" "$(python3 --version)")
  [ -x "$dir/bin/moto_server" ] || locked moto make_moto "$dir" "$req"
  echo "$dir/bin/moto_server"
}
make_moto() {
  [ -x "$1/bin/moto_server" ] && return
  say "installing the AWS emulator moto into $1 (once, ~20 s)"
  # A venv can't be moved, so it is built in place and becomes valid by its last step.
  rm -rf "$1" && mkdir -p "$(dirname "$1")" && python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" >&2 || { rm -rf "$1"; die "pip could not install $2"; }
}

# cargo_tool NAME VERSION MINUTES FLAG...
cargo_tool() {
  local name=$1 version=$2 minutes=$3 dir; shift 3
  dir=$AIDP_CACHE/tools/$name-$version
  [ -x "$dir/bin/$name" ] || locked "$name" make_cargo_tool "$name" "$version" "$minutes" "$dir" "$@"
  echo "$dir/bin/$name"
}
make_cargo_tool() {
  local name=$1 version=$2 minutes=$3 dir=$4; shift 4
  [ -x "$dir/bin/$name" ] && return
  need cargo "Install Rust from https://rustup.rs/."
  say "building $name $version into $dir (once, ~$minutes min)"
  # Outside the work tree: the project's own toolchain file, lock file and lints must not reach into a tool's build.
  (cd "$AIDP_CACHE" && CARGO_TARGET_DIR=$AIDP_CACHE/tools/.build-$name CARGO_PROFILE_DEV_DEBUG=0 \
    cargo install "$name" --version "$version" --locked --quiet --root "$dir" "$@" >&2) || die "cargo could not install $name $version"
  rm -rf "$AIDP_CACHE/tools/.build-$name"
}

versitygw() {
  local dir=$AIDP_CACHE/tools/versitygw-$VERSITYGW
  [ -x "$dir/bin/versitygw" ] || locked versitygw make_versitygw "$dir"
  echo "$dir/bin/versitygw"
}
make_versitygw() {
  [ -x "$1/bin/versitygw" ] && return
  need_go
  say "building versitygw $VERSITYGW into $1 (once, ~1 min)"
  GOBIN=$1/bin GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=mod go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW" >&2
}

# Pinned with the control plane, from whose builder it comes; a folder of given Kubernetes binaries does not hold it.
helm() {
  if [ -n "${AIDP_HELM:-}" ]; then echo "$AIDP_HELM"; return; fi
  local folder; folder=$(KUBEBUILDER_ASSETS='' "$E2E/controlplane/build.sh" helm) && echo "$folder/helm"
}

promtool() {
  local dir; dir=$AIDP_CACHE/tools/promtool-$(key "$E2E/promtool/go.mod" "$E2E/promtool/go.sum")
  [ -x "$dir/promtool" ] || locked promtool make_promtool "$dir"
  echo "$dir/promtool"
}
make_promtool() {
  [ -x "$1/promtool" ] && return
  need_go
  say "building promtool into $1 (once, ~2 min)"
  mkdir -p "$1"
  # Without the dozens of service discoveries, whose clients are most of Prometheus.
  (cd "$E2E/promtool" && GOTOOLCHAIN=local CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly \
    go build -trimpath -tags remove_all_sd -ldflags '-s -w' -o "$1/promtool.new" github.com/prometheus/prometheus/cmd/promtool >&2) \
    || die "go build of promtool failed"
  mv "$1/promtool.new" "$1/promtool"
}

monitoring_crds() {
  need_go
  local dir; dir=$(cd / && GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download -json "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR" \
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') || die "the Prometheus operator's module could not be downloaded"
  echo "$dir/example/prometheus-operator-crd"
}

need openssl "Debian, Ubuntu: apt-get install openssl."
mkdir -p "$AIDP_CACHE/tools"
for tool in "$@"; do
  case $tool in
    moto) moto ;;
    cargo-deny) cargo_tool cargo-deny "$CARGO_DENY" 4 --no-default-features ;;
    fakecloud) cargo_tool fakecloud "$FAKECLOUD" 10 --debug ;;
    versitygw) versitygw ;;
    helm) helm ;;
    promtool) promtool ;;
    monitoring-crds) monitoring_crds ;;
    *) die "unknown tool '$tool': moto, cargo-deny, fakecloud, versitygw, helm, promtool or monitoring-crds" ;;
  esac
done
