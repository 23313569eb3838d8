#!/usr/bin/env python3
"""mkimage.py NAME:TAG OUT.tar ROOT ENTRYPOINT...

A single-layer image from the folder ROOT, without Docker: an OCI layout (https://github.com/opencontainers/image-spec)
that also carries docker's manifest.json, so `ctr images import`, `docker load`, `kind load image-archive` and `k3d image
import` all take it. Reproducible: the same folder gives the same bytes. IMAGE_USER sets the user (default 65532)."""
import hashlib, io, json, os, platform, sys, tarfile

reference, out, root, entrypoint = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def digest(data):
    return hashlib.sha256(data).hexdigest()


def normalised(info):
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def entry(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def compact(value):
    return json.dumps(value, sort_keys=True).encode()


buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as tar:
    for name in sorted(os.listdir(root)):
        tar.add(os.path.join(root, name), name, filter=normalised)
layer = buffer.getvalue()

config = compact({
    "architecture": architecture,
    "os": "linux",
    "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin:/bin"], "User": os.environ.get("IMAGE_USER", "65532")},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer)]},
})
manifest = compact({
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:" + digest(config), "size": len(config)},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:" + digest(layer), "size": len(layer)}],
})
index = compact({
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:" + digest(manifest),
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference},
    }],
})
docker = compact([{
    "Config": "blobs/sha256/" + digest(config),
    "RepoTags": [reference],
    "Layers": ["blobs/sha256/" + digest(layer)],
}])
with tarfile.open(out, "w") as tar:
    entry(tar, "oci-layout", compact({"imageLayoutVersion": "1.0.0"}))
    entry(tar, "index.json", index)
    entry(tar, "manifest.json", docker)
    for blob in (config, manifest, layer):
        entry(tar, "blobs/sha256/" + digest(blob), blob)
print(f"{reference}: {len(layer) / 1048576:.1f} MiB uncompressed")
