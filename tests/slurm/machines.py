"""Machines pretended on this one: each with a name, a network and an address of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_ENTER = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'


def why_none() -> str | None:
    """Return why there can be none here, or None if there can."""
    if missing := [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]:
        return f"{' and '.join(missing)} not installed: apt-get install iproute2 util-linux"
    if os.geteuid() != 0:
        return "making machines of their own needs root"
    tried = subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], check=False)
    return "this kernel or container allows no namespaces" if tried.returncode else None


class Machines:
    """Machines on one bridge, which this one is on as well; they share its disk and cores."""

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self.names = names
        self._hosts = folder / "hosts"
        self._id = secrets.token_hex(3)
        self._net = f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(256)}"
        self.here = f"{self._net}.1"

    def address(self, name: str) -> str:
        """Return a machine's address."""
        return f"{self._net}.{self.names.index(name) + 11}"

    def start(self) -> None:
        """Make them."""
        lines = ["127.0.0.1 localhost", *(f"{self.address(name)} {name}" for name in self.names)]
        self._hosts.write_text("\n".join(lines) + "\n")
        _ip(f"link add {self._bridge} type bridge")
        _ip(f"addr add {self.here}/24 dev {self._bridge}")
        _ip(f"link set {self._bridge} up")
        for name in self.names:
            network, cable = self._network(name), f"vld{self._id}{self.names.index(name)}"
            _ip(f"netns add {network}")
            _ip(f"link add {cable} type veth peer name eth0 netns {network}")
            _ip(f"link set {cable} master {self._bridge} up")
            _ip(f"-n {network} addr add {self.address(name)}/24 dev eth0")
            _ip(f"-n {network} link set eth0 up")
            _ip(f"-n {network} link set lo up")

    def stop(self) -> None:
        """Remove them, but not the processes on them."""
        for name in self.names:
            _ip(f"netns del {self._network(name)}", check=False)
        _ip(f"link del {self._bridge}", check=False)

    def on(self, name: str) -> list[str]:
        """Return the words that start a command on one of them."""
        enter = ["sh", "-c", _ENTER, "sh", str(self._hosts), name]
        network = f"--net=/run/netns/{self._network(name)}"
        return ["nsenter", network, "unshare", "--uts", "--mount", *enter]

    @property
    def _bridge(self) -> str:
        return f"vld{self._id}"

    def _network(self, name: str) -> str:
        return f"vld{self._id}-{name}"


def _ip(words: str, *, check: bool = True) -> None:
    subprocess.run(["ip", *words.split()], check=check, capture_output=not check)
