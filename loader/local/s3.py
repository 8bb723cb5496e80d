"""The embedded S3: rclone's server, with its files on this machine's disk."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from loader.local.processes import Registry, free_port

BUCKET = "raw-landing"


def start(folder: Path, registry: Registry, secret: Mapping[str, str]) -> int:
    """Start it if it does not run, with one bucket; returns its port.

    Raises:
        ConfigError: it does not start.
    """
    if port := registry.running("s3"):
        return port
    home = folder / "s3"
    (home / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
    port = free_port(registry.port("s3"))
    rclone = Path(sys.executable).with_name("rclone")
    command = [
        str(rclone), "serve", "s3", str(home / "data"), "--addr", f"127.0.0.1:{port}",
        "--config", os.devnull, "--cache-dir", str(home / "cache"), "--vfs-cache-mode", "off",
        # No checksums of its own beside those of the requests and of the parts.
        "--etag-hash", "", "--no-checksum", "--ignore-checksum",
    ]  # fmt: skip
    # In the environment, because arguments can be read by everyone.
    registry.start(
        "s3", command, port, home / "log", {"RCLONE_AUTH_KEY": f'"local,{secret["s3"]}"'}
    )
    return port
