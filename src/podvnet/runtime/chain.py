"""Executes the plug-ins of a conflist as libcni does.

Source: CNI specification 1.1.0, sections 2 (execution protocol) and 4 (plug-in delegation): ADD in order with the
previous result, DEL in reverse, the same environment for all.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_TIMEOUT = 180.0


class ChainError(Exception):
    """A plug-in refused. ``document`` is the error object it printed."""

    def __init__(self, plugin: str, document: Json) -> None:
        details = f" ({document['details']})" if document.get("details") else ""
        super().__init__(f"{plugin}: {document.get('msg', 'no message')}{details}")
        self.plugin = plugin
        self.document = document


@dataclass(frozen=True, slots=True)
class Chain:
    """A conflist and where its programs are.

    Attributes:
        conflist: the configuration list.
        bin_dirs: searched in order.
    """

    conflist: Json
    bin_dirs: tuple[Path, ...]

    @classmethod
    def load(cls, conf_dir: Path, bin_dirs: tuple[Path, ...], name: str = "") -> Chain:
        """Read the first conflist of a directory, or the one of a network name.

        Raises:
            FileNotFoundError: there is none.
        """
        for path in sorted(conf_dir.glob("*.conflist")):
            conflist = json.loads(path.read_text(encoding="utf-8"))
            if name in {"", conflist.get("name")}:
                return cls(conflist, bin_dirs)
        msg = f"no conflist{f' of network {name}' if name else ''} in {conf_dir}; `podvnet install` writes one"
        raise FileNotFoundError(msg)

    def add(self, call: Call) -> Json:
        """Run ADD through the chain; on a failure run DEL, as runtimes do.

        Returns:
            The last plug-in's result.

        Raises:
            ChainError: which plug-in refused, and why.
        """
        result: Json = {}
        try:
            for plugin in self.conflist["plugins"]:
                result = self.execute("ADD", plugin, call, previous=result or None)
        except ChainError:
            self.delete(call, previous=None)
            raise
        return result

    def delete(self, call: Call, previous: Json | None) -> None:
        """Run DEL through the chain in reverse."""
        for plugin in reversed(self.conflist["plugins"]):
            self.execute("DEL", plugin, call, previous=previous)

    def check(self, call: Call, previous: Json) -> None:
        """Run CHECK through the chain."""
        for plugin in self.conflist["plugins"]:
            self.execute("CHECK", plugin, call, previous=previous)

    def execute(self, command: str, plugin: Json, call: Call, *, previous: Json | None) -> Json:
        """Execute one plug-in.

        Raises:
            ChainError: it failed, or printed nothing where it must.
        """
        config = {**plugin, "name": self.conflist["name"], "cniVersion": self.conflist.get("cniVersion", "")}
        capabilities = config.pop("capabilities", {})
        runtime_config = {key: call.capabilities[key] for key in capabilities if key in call.capabilities}
        if runtime_config:
            config["runtimeConfig"] = runtime_config
        if previous is not None:
            config["prevResult"] = previous
        finished = subprocess.run(
            [self._program(plugin["type"])],
            input=json.dumps(config).encode(),
            env=call.environment(command, self.bin_dirs),
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
        document = _document(finished.stdout)
        if finished.returncode != 0 or (command == "ADD" and not document):
            words = finished.stderr.decode(errors="replace").strip() or f"exit code {finished.returncode}"
            raise ChainError(plugin["type"], document or {"code": 999, "msg": words})
        return document

    def _program(self, kind: str) -> Path:
        for directory in self.bin_dirs:
            if os.access(directory / kind, os.X_OK):
                return directory / kind
        searched = ", ".join(map(str, self.bin_dirs))
        raise ChainError(kind, {"code": 4, "msg": f"there is no program {kind!r} in {searched}"})


@dataclass(frozen=True, slots=True)
class Call:
    """What a call is about: a container, its namespace, the name of the interface."""

    container: str
    sandbox: str
    ifname: str = "eth0"
    args: str = ""
    capabilities: Json = field(default_factory=dict)

    def environment(self, command: str, bin_dirs: tuple[Path, ...]) -> dict[str, str]:
        """The environment of the specification; ``PATH`` for the programs that plug-ins run."""
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": self.sandbox,
            "CNI_IFNAME": self.ifname,
            "CNI_ARGS": self.args,
            "CNI_PATH": ":".join(map(str, bin_dirs)),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }


def _document(output: bytes) -> Json:
    try:
        document = json.loads(output) if output.strip() else {}
    except ValueError:
        return {"code": 999, "msg": f"it printed no JSON: {output[:200]!r}"}
    return document if isinstance(document, dict) else {"code": 999, "msg": "it printed no JSON object"}
