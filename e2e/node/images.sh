#!/usr/bin/env bash
# images.sh OUTDIR AIDP_BINARY COREDNS_BINARY: the images of the node tests as archives, made without Docker.
#   registry.local/pause:1  registry.local/probe:1   the probe
#   registry.local/coredns:1                         cluster DNS
#   registry.local/aidp:e2e                          the operator, with the root file system that the Dockerfile gives it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
out=${1:?folder for the archives} aidp=${2:?the aidp binary} coredns=${3:?the coredns binary}
need_go; need_python
mkdir -p "$out"; work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

(cd "$here/probe" && GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off go build -trimpath -ldflags '-s -w' -o "$work/probe/probe" .)
python3 "$here/mkimage.py" registry.local/pause:1 "$out/pause.tar" "$work/probe" /probe pause >&2
python3 "$here/mkimage.py" registry.local/probe:1 "$out/probe.tar" "$work/probe" /probe >&2

mkdir -p "$work/coredns" && cp -L "$coredns" "$work/coredns/coredns"
IMAGE_USER=0 python3 "$here/mkimage.py" registry.local/coredns:1 "$out/coredns.tar" "$work/coredns" /coredns >&2

# The operator's shared libraries are those of distroless "cc": the C library and the C compiler's runtime.
root=$work/aidp; mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
cp "$aidp" "$root/usr/bin/aidp"
ldd "$aidp" | awk '/=> \//{print $3} /^\t\/lib/{print $1}' | while read -r lib; do
  mkdir -p "$root$(dirname "$lib")"; cp -L "$lib" "$root$lib"
done
[ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/etc/passwd"
IMAGE_DOCKERFILE=$here/../../Dockerfile python3 "$here/mkimage.py" registry.local/aidp:e2e "$out/aidp.tar" "$root" >&2
