"""The plug-in object of a network configuration, as the runtime hands it over on stdin.

Keys are the original azure-vnet's, so that its conflists work unchanged; ``nonMasquerade``, ``mtu`` and ``ipam.ipv6``
are ours. No key is passed over in silence. Each is one of: honoured (a field of ``NetworkConfig``); without effect here
and harmless (a warning, when it is set to something); asking for a thing we do not do (``CniError`` 2, naming key and
value); unknown (a warning: runtimes and users add keys, so it is no error). A value of the wrong type or range is
``CniError`` 7.

Called as the IPAM delegate of another plug-in, only ``ipam`` and what the runtime fills in are ours; the other keys
belong to the parent and are not looked at.

Sources: CNI specification 1.1.0 section 1, "Plugin configuration objects"; CNI conventions.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from podvnet.model.address import Address, Prefix
from podvnet.model.attachment import Mode
from podvnet.plugin.document import Document
from podvnet.plugin.error import CniError, Code, quoted
from podvnet.plugin.result import Dns, Result, parse, parse_dns
from podvnet.plugin.runtime_config import RuntimeConfig, parse_runtime_config
from podvnet.plugin.version import MINIMUM, SUPPORTED, UNSTATED, effective_version, has_verb, is_supported

IPAM_TYPE: Final = "azure-vnet-ipam"
DEFAULT_BRIDGE: Final = "azure0"
VALID_ATTACHMENTS: Final = "cni.dev/valid-attachments"
VALID_ATTACHMENTS_SLIP: Final = "cni.dev/attachments"
"""The key libcni's GC filled by mistake before it knew the right one; newer ones fill both."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}")
_E = TypeVar("_E", bound=StrEnum)


class Environment(StrEnum):
    """Where ``azure-vnet-ipam`` learns the VM's addresses from; the last two are ours."""

    AZURE = "azure"
    MAS = "mas"
    FILE = "fileIpam"
    NULL = "null"
    IMDS = "imds"
    ARM = "arm"


class Ipv6(StrEnum):
    """Whether pods of a network get an IPv6 address beside the IPv4 one."""

    AUTO = "auto"
    """When one is free on the NIC."""
    REQUIRED = "required"
    """Always; without one ADD fails."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IpamConfig:
    """The ``ipam`` object; ``subnet`` limits the choice to one subnet, ``ip_address`` asks for that address."""

    type: str = IPAM_TYPE
    environment: Environment = Environment.AZURE
    subnet: Prefix | None = None
    ip_address: Address | None = None
    ipv6: Ipv6 = Ipv6.AUTO


@dataclass(frozen=True, slots=True)
class Attachment:
    """One (container, interface) of a network that the runtime still knows."""

    container_id: str
    ifname: str


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """One network as the runtime describes it for this call.

    ``cni_version`` is a supported one and the one to answer in. ``master`` is the NIC, "" for the agent's choice;
    ``mtu`` in bytes, None for the NIC's. ``vnet_cidrs`` and ``non_masquerade`` are destinations that see the pod's own
    address; ``ip_masq`` is None when not said. ``valid_attachments`` matters to GC only: empty means that none are.
    """

    name: str
    cni_version: str = UNSTATED
    type: str = ""
    mode: Mode = Mode.TRANSPARENT
    master: str = ""
    bridge: str = DEFAULT_BRIDGE
    mtu: int | None = None
    ip_masq: bool | None = None
    ipam: IpamConfig = IpamConfig()
    dns: Dns = field(default_factory=Dns)
    non_masquerade: tuple[Prefix, ...] = ()
    vnet_cidrs: tuple[Prefix, ...] = ()
    ips_to_route_via_host: tuple[Address, ...] = ()
    runtime_config: RuntimeConfig = field(default_factory=RuntimeConfig)
    prev_result: Result | None = None
    valid_attachments: frozenset[Attachment] = frozenset()
    warnings: tuple[str, ...] = ()


# What each of these would need is not here, and leaving it out harms nobody.
_WITHOUT_EFFECT: Final = (
    ("logLevel", Document.text, "the agent's own configuration sets its log"),
    ("logTarget", Document.text, "the agent's own configuration sets its log"),
    ("env", Document.text, "it points the original at a test double"),
    ("cnsurl", Document.text, "no CNS is asked"),
    ("serviceCidrs", Document.comma_texts, "service addresses are kube-proxy's"),
    ("infraVnetAddressSpace", Document.text, "multi-tenancy only"),
    ("podNamespaceForDualNetwork", Document.texts, "multi-tenancy only"),
    ("enableExactMatchForPodName", Document.flag, "multi-tenancy only"),
    ("disableIPTableLock", Document.flag, "iptables is not used"),
    ("disableHairpinOnHostInterface", Document.flag, "the NIC's port follows the mode"),
    ("disableAsyncDelete", Document.flag, "no CNS is asked"),
    ("adapterName", Document.text, "Windows only"),
    ("windowsSettings", Document.child, "Windows only"),
    ("AdditionalArgs", Document.children, "Windows only"),
)
_IPAM_WITHOUT_EFFECT: Final = (
    ("queryInterval", Document.text, "the agent's own configuration sets it"),
    ("addressSpace", Document.text, "there is one address space"),
    ("mode", Document.text, "overlays are CNS's"),
)
_FOREIGN_MODES: Final = MappingProxyType(
    {
        "executionMode": ("default", ("v4swift", "baremetal"), "it hands the work to CNS or NNS; leave it out"),
        "ipv6Mode": ("", ("ipv6nat",), "give the NIC IPv6 addresses of the virtual network instead"),
    }
)


def parse_network_config(document: Document, *, verb: str = "ADD", ipam_only: bool = False) -> NetworkConfig:
    """Read the plug-in object for one verb.

    Raises ``CniError`` 7 for a missing or malformed name, then 1 for a version that we or the verb do not have, then
    2 or 7 for the rest; once the version is known the error carries it. A lenient ``document`` raises only the first
    two kinds.
    """
    name = _read_name(document)
    cni_version = _read_version(document, verb)
    try:
        return _parse(document, name, cni_version, ipam_only=ipam_only)
    except CniError as error:
        error.cni_version = cni_version
        raise


def interface_name_fault(name: str) -> str:
    """Say what keeps ``name`` from being an interface name, as a clause ("is longer than 15 bytes"); "" if nothing.

    The kernel's rules (``dev_valid_name``), and no ``%``: the kernel would take ``eth%d`` for a pattern to number.
    """
    if not name:
        return "is empty"
    if len(name.encode("utf-8", "surrogateescape")) > 15:
        return "is longer than 15 bytes"
    if name in (".", "..") or any(mark in name for mark in "/:%\0") or any(mark.isspace() for mark in name):
        return "must not be '.' or '..' nor contain '/', ':', '%' or white space"
    return ""


def _parse(document: Document, name: str, cni_version: str, *, ipam_only: bool) -> NetworkConfig:
    ipam = _parse_ipam(document.child("ipam"), ipam_only=ipam_only)
    runtime_config = parse_runtime_config(document.child("runtimeConfig"), document.child("args"))
    prev_result = _parse_prev_result(document, cni_version)
    attachments = _parse_attachments(document)
    own_type = document.text("type")
    if ipam_only:
        return NetworkConfig(
            name=name,
            cni_version=cni_version,
            type=own_type,
            ipam=ipam,
            runtime_config=runtime_config,
            prev_result=prev_result,
            valid_attachments=attachments,
            warnings=tuple(document.warnings),
        )
    _refuse_what_we_do_not_do(document)
    _warn_without_effect(document, _WITHOUT_EFFECT)
    fields = NetworkConfig(
        name=name,
        cni_version=cni_version,
        type=own_type,
        mode=_choice(document, "mode", Mode, Mode.TRANSPARENT, foreign=("transparent-vlan",)),
        master=_interface_name(document, "master", ""),
        bridge=_interface_name(document, "bridge", DEFAULT_BRIDGE),
        mtu=document.integer("mtu", 68, 65535) or None,
        ip_masq=_always_translating(document),
        ipam=ipam,
        dns=parse_dns(document.child("dns")),
        non_masquerade=document.networks("nonMasquerade"),
        vnet_cidrs=document.networks("vnetCidrs"),
        ips_to_route_via_host=document.addresses("ipsToRouteViaHost"),
        runtime_config=runtime_config,
        prev_result=prev_result,
        valid_attachments=attachments,
    )
    document.value("capabilities")  # to be stripped by runtimes, says the specification; none does
    document.warn([key for key in document.unread() if not key.startswith("cni.dev/")], "not a key of azure-vnet")
    return replace(fields, warnings=tuple(document.warnings)) if document.warnings else fields


def _read_name(document: Document) -> str:
    name = document.value("name")
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    if name is None or name == "":
        raise CniError(Code.INVALID_CONFIG, "the network configuration has no name", "give it a 'name'")
    if not isinstance(name, str):
        raise CniError(Code.INVALID_CONFIG, "name must be a string")
    raise CniError(
        Code.INVALID_CONFIG,
        f"the network name {quoted(name)} is malformed",
        "it must begin with a letter or digit and go on with letters, digits, '_', '.', '-', 255 at most",
    )


def _read_version(document: Document, verb: str) -> str:
    stated = document.value("cniVersion")
    if stated is not None and not isinstance(stated, str):
        raise CniError(Code.INVALID_CONFIG, 'cniVersion must be a string, such as "1.0.0"')
    version = effective_version(stated or "")
    if not is_supported(version):
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"cniVersion {quoted(version)} is not supported",
            f"set cniVersion of the network to one of {', '.join(SUPPORTED)}",
        )
    if not has_verb(version, verb):
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"{verb} does not exist in cniVersion {version}",
            f"set cniVersion of the network to {MINIMUM[verb]} or newer",
            cni_version=version,
        )
    return version


def _parse_ipam(source: Document, *, ipam_only: bool) -> IpamConfig:
    ipam_type = source.text("type") or IPAM_TYPE
    if ipam_type != IPAM_TYPE and not ipam_only:
        source.reject(
            CniError(
                Code.UNSUPPORTED_FIELD,
                f"ipam.type {quoted(ipam_type)} is not supported: azure-vnet gives addresses of the virtual network",
                f"set ipam.type to {IPAM_TYPE!r}",
            )
        )
    config = IpamConfig(
        type=ipam_type,
        environment=_choice(source, "environment", Environment, Environment.AZURE, foreign=("ipv6NodeIpam",)),
        subnet=source.network("subnet"),
        ip_address=source.address("ipAddress"),
        ipv6=_choice(source, "ipv6", Ipv6, Ipv6.AUTO, foreign=()),
    )
    _warn_without_effect(source, _IPAM_WITHOUT_EFFECT)
    source.warn(source.unread(), f"not a key of {IPAM_TYPE}")
    return config


def _parse_prev_result(document: Document, cni_version: str) -> Result | None:
    source = document.child("prevResult", code=Code.CANNOT_DECODE)
    if not source:
        return None
    try:
        return parse(source.values, cni_version)
    except CniError as error:
        document.reject(error)
        return None


def _parse_attachments(document: Document) -> frozenset[Attachment]:
    # Absent or null means that none is valid, so GC removes them all: cnitool sends no key, CRI-O's library null.
    key = VALID_ATTACHMENTS_SLIP if document.value(VALID_ATTACHMENTS) is None else VALID_ATTACHMENTS
    attachments = set()
    for source in document.children(key):
        container_id, ifname = source.text("containerID"), source.text("ifname")
        if not container_id or not ifname:
            source.reject_value("containerID", "and ifname must both be given")
        else:
            attachments.add(Attachment(container_id, ifname))
    return frozenset(attachments)


def _refuse_what_we_do_not_do(document: Document) -> None:
    for key in ("multiTenancy", "enableSnatOnHost"):
        if document.flag(key):
            document.reject(
                CniError(Code.UNSUPPORTED_FIELD, f"{key} true is not supported", f"set {key} to false or leave it out")
            )
    for key, (default, foreign, remedy) in _FOREIGN_MODES.items():
        found = document.text(key)
        if found in foreign:
            document.reject(CniError(Code.UNSUPPORTED_FIELD, f"{key} {quoted(found)} is not supported", remedy))
        elif found not in ("", default):
            document.reject_value(key, f"{quoted(found)} is unknown; leave it out")


def _always_translating(document: Document) -> bool | None:
    """``ipMasq``: translation is the agent's, for all networks of the VM; one network cannot turn it off."""
    wanted = document.flag("ipMasq")
    if wanted is False:
        remedy = "name the destinations that must see pods' own addresses in nonMasquerade"
        document.reject(CniError(Code.UNSUPPORTED_FIELD, "ipMasq false is not supported", remedy))
    return wanted


def _choice(source: Document, key: str, kind: type[_E], default: _E, *, foreign: tuple[str, ...]) -> _E:
    text = source.text(key)
    if not text:
        return default
    try:
        return kind(text)
    except ValueError:
        code = Code.UNSUPPORTED_FIELD if text in foreign else source.code
        remedy = f"choose one of {', '.join(kind)}"
        source.reject(CniError(code, f"{source.place(key)} {quoted(text)} is not supported", remedy))
        return default


def _interface_name(document: Document, key: str, default: str) -> str:
    name = document.text(key) or default
    fault = interface_name_fault(name) if name else ""
    if fault:
        document.reject_value(key, f"{quoted(name)} is no interface name: it {fault}")
        return default
    return name


def _warn_without_effect(document: Document, table: tuple[tuple[str, Callable[..., object], str], ...]) -> None:
    for key, read, why in table:
        if read(document, key):
            document.warn([key], why)
