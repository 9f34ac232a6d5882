"""podman of a user who is not root, in a VM of a lab. Needs Debian's slirp4netns and uidmap."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from podvnet.testing import image
from podvnet.testing.engine import IMAGE
from podvnet.testing.lab import Lab

_USER, _HOME = "reader", "/opt/reader"
_SETTINGS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]  # where the tests run nobody may raise them
log_driver = "k8s-file"
[network]
network_backend = "cni"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
_PREPARE = f"""set -e
useradd --user-group --no-create-home --home-dir {_HOME} {_USER}
mkdir -p {_HOME} /run/user/$(id -u {_USER})
chown {_USER}: {_HOME} /run/user/$(id -u {_USER})
mknod -m 666 /opt/tun c 10 200
mount --bind /opt/tun /dev/net/tun
"""
_BECOME = f"""set -e
for place in $(findmnt --list --noheadings --output TARGET --types cgroup,cgroup2); do
    [ ! -w "$place/cgroup.procs" ] || echo $$ >"$place/cgroup.procs"
done
cd {_HOME}
exec setpriv --reuid={_USER} --regid={_USER} --clear-groups env --ignore-environment \
    HOME={_HOME} USER={_USER} XDG_RUNTIME_DIR=/run/user/$(id -u {_USER}) PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""
"""In the VM's part of the control groups, where the runtime looks for the group that it is in itself."""


class RootlessPodman:
    """podman of one user of a VM, made for it. The VM's end ends what it runs."""

    def __init__(self, lab: Lab, vm: str) -> None:
        self._lab = lab
        self._vm = vm

    def start(self) -> None:
        """Make the user, with a network device to reach the VM's network by, and load the image."""
        self._lab.inside(self._vm, "sh", "-c", _PREPARE)
        self._write(".config/containers/containers.conf", _SETTINGS)
        with image.temporary(IMAGE, image.busybox) as archive:
            self._lab.inside(self._vm, "cp", str(archive), f"{_HOME}/image.tar")
        self.as_user("podman", "load", "-i", "image.tar")

    def write_network(self, conflist: Mapping[str, Any]) -> None:
        """Put a network where a rootless podman looks for networks."""
        self._write(f".config/cni/net.d/{conflist['name']}.conflist", json.dumps(conflist))

    def podman(self, *words: str) -> str:
        """Call podman; return what it says.

        Raises:
            CommandError: it failed.
        """
        return self.as_user("podman", *words).stdout

    def as_user(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as the user."""
        return self._lab.inside(self._vm, "sh", "-c", _BECOME, "sh", *argv, stdin=stdin)

    def _write(self, path: str, text: str) -> None:
        self.as_user("sh", "-c", f"mkdir -p $(dirname {path}); cat >{path}", stdin=text)
