"""One call of a runtime: environment and stdin, read into a ``Request`` or refused with the right code.

The order is that of the specification and of its common library, so that a runtime sees the error it expects: a bad
environment (4) before bad JSON (6) before a bad name (7) before a bad version (1) before the rest of the configuration.
Only what a verb needs is looked at: podman asks VERSION with ``dummy`` for a namespace and an empty container id.

``PODVNET_*`` variables come from the shim, which never forwards any it was given: ``PODVNET_PROGRAM`` is the name it
was executed by, ``PODVNET_NETNS_ERRNO`` the errno of a failed open of ``CNI_NETNS``.

Sources: CNI specification 1.1.0 section 2 "Parameters" and section 5 "Error"; CNI conventions for ``CNI_ARGS``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from podvnet.model.address import Address, Mac
from podvnet.model.pod_ask import PodAsk
from podvnet.plugin.document import Document, decode, parse_address
from podvnet.plugin.error import CniError, Code, quoted
from podvnet.plugin.network_config import NetworkConfig, interface_name_fault, parse_network_config
from podvnet.plugin.pod_ask import ARGS, parse_ask_args
from podvnet.plugin.runtime_config import unicast_mac
from podvnet.plugin.version import NEWEST, scan_version

_CONTAINER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}")
_ERRNO: Final = re.compile(r"[0-9]{1,4}")
_REMEMBERED_SIZE: Final = 8192
"""Bytes of a configuration worth remembering; larger ones are nobody's."""


class Command(StrEnum):
    """The verbs of CNI 1.1.0, as ``CNI_COMMAND`` spells them."""

    ADD = "ADD"
    DEL = "DEL"
    CHECK = "CHECK"
    GC = "GC"
    STATUS = "STATUS"
    VERSION = "VERSION"


class Program(StrEnum):
    """The names the shim is installed under; the second makes it the IPAM delegate of another plug-in."""

    PLUGIN = "azure-vnet"
    IPAM = "azure-vnet-ipam"


_NEEDED: Final = MappingProxyType(
    {
        Command.ADD: ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
        Command.DEL: ("CNI_CONTAINERID", "CNI_IFNAME"),
        Command.CHECK: ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
        Command.GC: (),
        Command.STATUS: (),
        Command.VERSION: (),
    }
)


@dataclass(frozen=True, slots=True)
class Request:
    """A call that is well-formed; whether it can be served is the agent's to find out.

    ``container_id``, ``netns_path`` and ``ifname`` are "" for GC, STATUS and VERSION; ``netns_path`` may be "" for DEL,
    and stale. ``netns_error`` is the errno the shim met when it opened it, 0 for none. ``args`` is ``CNI_ARGS``,
    ``args_ask`` what they ask of the virtual network (ADD only).
    ``config`` of VERSION is nameless: VERSION has none.
    """

    command: Command
    program: Program
    container_id: str
    netns_path: str
    netns_error: int
    ifname: str
    args: Mapping[str, str]
    netns_override: bool
    config: NetworkConfig
    args_ask: PodAsk | None = None

    @property
    def pod_namespace(self) -> str:
        """The Kubernetes namespace, "" outside Kubernetes."""
        return self.args.get("K8S_POD_NAMESPACE", "")

    @property
    def pod_name(self) -> str:
        """The pod's name; podman puts the container's name there."""
        return self.args.get("K8S_POD_NAME", "")

    @property
    def pod_uid(self) -> str:
        """The pod's UID, "" outside Kubernetes."""
        return self.args.get("K8S_POD_UID", "")

    @property
    def ask(self) -> PodAsk | None:
        """What is asked of the virtual network: by ``runtimeConfig``, else by ``args.cni``, else by ``CNI_ARGS``."""
        return self.config.runtime_config.ask or self.args_ask

    @property
    def pod(self) -> str:
        """``namespace/name``, "" when the runtime does not say."""
        return f"{self.pod_namespace}/{self.pod_name}" if self.pod_name else ""

    @property
    def wanted_addresses(self) -> tuple[Address, ...]:
        """The addresses asked for, strongest wish only.

        The ``ips`` capability, else ``args.cni.ips``, else ``IP=`` of ``CNI_ARGS`` (podman's only way; the conventions
        have it ignored beside ``args.cni``), else the configuration's ``ipam.ipAddress``.
        """
        runtime = self.config.runtime_config
        chosen = runtime.ips or runtime.hinted_ips or _addresses(self.args.get("IP", ""))
        if chosen or self.config.ipam.ip_address is None:
            return chosen
        return (self.config.ipam.ip_address,)

    @property
    def wanted_mac(self) -> Mac | None:
        """The MAC asked for by the ``mac`` capability, else by ``MAC=`` of ``CNI_ARGS``."""
        text = self.args.get("MAC", "")
        return self.config.runtime_config.mac or (unicast_mac(text) if text else None)


def parse_request(environment: Mapping[str, str], stdin: bytes) -> Request:
    """Read one call; whatever the input, the only exception is ``CniError``, with the version to answer in.

    ``environment`` holds the ``CNI_*`` and ``PODVNET_*`` variables of the shim (bytes outside UTF-8 as surrogates).
    """
    try:
        return _parse_request(environment, stdin)
    except CniError as error:
        error.cni_version = error.cni_version or scan_version(stdin)
        raise


def _parse_request(environment: Mapping[str, str], stdin: bytes) -> Request:
    command = _read_command(environment)
    container_id, netns_path, ifname = _read_attachment(environment, command)
    program = _read_program(environment)
    if command is Command.VERSION:
        args: Mapping[str, str] = MappingProxyType({})
        config = NetworkConfig(name="", cni_version=NEWEST)
    elif command is Command.DEL or len(stdin) > _REMEMBERED_SIZE:
        document = Document(decode(stdin), lenient=command is Command.DEL)
        args = _read_args(environment, command, document)
        config = parse_network_config(document, verb=command, ipam_only=program is Program.IPAM)
    else:
        args = _read_args(environment, command, Document({}))
        config = _remembered_config(stdin, command, ipam_only=program is Program.IPAM)
    return Request(
        command=command,
        program=program,
        container_id=container_id,
        netns_path=netns_path,
        netns_error=_read_netns_error(environment),
        ifname=ifname,
        args=args,
        netns_override=environment.get("CNI_NETNS_OVERRIDE", "").lower() in ("1", "true"),
        config=config,
        args_ask=parse_ask_args(args) if command is Command.ADD and not args.keys().isdisjoint(ARGS) else None,
    )


@lru_cache(maxsize=64)
def _remembered_config(stdin: bytes, command: Command, *, ipam_only: bool) -> NetworkConfig:
    """Read a configuration, once: for every pod of a network a runtime sends the same bytes."""
    return parse_network_config(Document(decode(stdin)), verb=command, ipam_only=ipam_only)


def _read_command(environment: Mapping[str, str]) -> Command:
    text = environment.get("CNI_COMMAND", "")
    if not text:
        raise CniError(Code.BAD_ENVIRONMENT, "CNI_COMMAND is not set", "a container runtime sets it")
    try:
        return Command(text)
    except ValueError:
        raise CniError(
            Code.BAD_ENVIRONMENT, f"CNI_COMMAND is {quoted(text)}", f"it must be one of {', '.join(Command)}"
        ) from None


def _read_attachment(environment: Mapping[str, str], command: Command) -> tuple[str, str, str]:
    needed = _NEEDED[command]
    if not needed:
        return "", "", ""
    container_id, netns_path, ifname = (
        environment.get(f"CNI_{part}", "") for part in ("CONTAINERID", "NETNS", "IFNAME")
    )
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        raise CniError(
            Code.BAD_ENVIRONMENT, f"{command} needs {', '.join(missing)}", "the runtime must set what is missing"
        )
    if not _CONTAINER_ID.fullmatch(container_id):
        raise CniError(
            Code.BAD_ENVIRONMENT,
            f"CNI_CONTAINERID {quoted(container_id)} is malformed",
            "it must begin with a letter or digit and go on with letters, digits, '_', '.', '-', 255 at most",
        )
    fault = interface_name_fault(ifname)
    if fault or not _is_text(ifname):
        raise CniError(Code.BAD_ENVIRONMENT, f"CNI_IFNAME {quoted(ifname)} {fault or 'is not UTF-8'}")
    if not _is_text(netns_path):
        raise CniError(Code.BAD_ENVIRONMENT, f"CNI_NETNS {quoted(netns_path)} is not a path in UTF-8")
    return container_id, netns_path, ifname


def _read_program(environment: Mapping[str, str]) -> Program:
    text = environment.get("PODVNET_PROGRAM", Program.PLUGIN)
    try:
        return Program(text)
    except ValueError:
        raise CniError(
            Code.BAD_ENVIRONMENT,
            f"PODVNET_PROGRAM is {quoted(text)}: the plug-in was executed by a name it does not know",
            f"install it as {' and '.join(Program)}",
        ) from None


def _read_netns_error(environment: Mapping[str, str]) -> int:
    text = environment.get("PODVNET_NETNS_ERRNO", "0")
    if not _ERRNO.fullmatch(text):
        raise CniError(Code.BAD_ENVIRONMENT, f"PODVNET_NETNS_ERRNO {quoted(text)} is not an errno")
    return int(text)


def _read_args(environment: Mapping[str, str], command: Command, document: Document) -> Mapping[str, str]:
    """Read ``CNI_ARGS``, ``K=V;K=V``; unknown keys are kept. For DEL what cannot be read is left out with a warning."""
    args: dict[str, str] = {}
    if not _NEEDED[command]:
        return MappingProxyType(args)
    for pair in filter(None, environment.get("CNI_ARGS", "").split(";")):
        key, equals, value = pair.partition("=")
        fault = _args_fault(key, value) if equals and key else "is not of the form KEY=VALUE"
        if fault:
            document.reject(CniError(Code.CANNOT_DECODE, f"CNI_ARGS: {quoted(pair)} {fault}"))
        else:
            args[key] = value
    return MappingProxyType(args)


def _args_fault(key: str, value: str) -> str:
    if not _is_text(key) or not _is_text(value):
        return "is not UTF-8"
    try:
        if key == "IP":
            _addresses(value)
        elif key == "MAC" and value:
            unicast_mac(value)
    except ValueError:
        return "is no IP address" if key == "IP" else "is no MAC address an interface can have"
    return ""


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(parse_address(part.strip()) for part in text.split(",") if part.strip())


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value
