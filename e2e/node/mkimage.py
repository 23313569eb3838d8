#!/usr/bin/env python3
"""mkimage.py NAME:TAG OUT.tar ROOT ENTRYPOINT...

A single-layer image from the folder ROOT, without Docker: an OCI layout (https://github.com/opencontainers/image-spec)
that also carries docker's manifest.json, so `ctr images import`, `docker load`, `kind load image-archive` and `k3d image
import` all take it. Reproducible: the same folder gives the same bytes. IMAGE_USER sets the user (default 65532). IMAGE_DOCKERFILE names
a Dockerfile whose last stage says user, entry point and labels; what it copies into the image is the caller's to do."""
import hashlib, io, json, os, platform, re, shlex, sys, tarfile

reference, out, root, entrypoint = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def last_stage(text):
    """What the last stage of a Dockerfile says of the image's configuration."""
    arguments, stage = {}, {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            arguments, stage = {}, {"Labels": {}}
        elif instruction == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif instruction == "LABEL":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                stage["Labels"][name] = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], value)
        elif instruction == "USER":
            stage["User"] = rest
        elif instruction == "ENTRYPOINT":
            stage["Entrypoint"] = json.loads(rest)
    return stage


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

settings = {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin:/bin"], "User": os.environ.get("IMAGE_USER", "65532")}
if "IMAGE_DOCKERFILE" in os.environ:
    with open(os.environ["IMAGE_DOCKERFILE"]) as dockerfile:
        settings |= last_stage(dockerfile.read())
if not os.access(os.path.join(root, settings["Entrypoint"][0].lstrip("/")), os.X_OK):
    sys.exit(f"{reference}: the entry point {settings['Entrypoint'][0]} is no executable in {root}")

config = compact({
    "architecture": architecture,
    "os": "linux",
    "config": settings,
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
