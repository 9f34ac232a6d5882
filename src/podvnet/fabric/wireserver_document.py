"""The wireserver's documents, built from the intent: versions, goal state, interfaces, and its errors.

Sources: the documents that Azure's Linux agent (WALinuxAgent, azurelinuxagent/common/protocol/wire.py) and the
original plug-in (azure-container-networking, ipam/azure.go, nmagent/) read; Azure document "What is IP address
168.63.129.16?".
"""

from __future__ import annotations

import hashlib
import uuid
from xml.etree.ElementTree import Element, SubElement, tostring

from podvnet.model.address import platform_mac
from podvnet.model.intent import Intent, NetworkInterface, VirtualMachine

PREFERRED_VERSION = "2012-11-30"
SUPPORTED_VERSIONS = ("2012-11-30", "2010-12-15")
"""The versions of the wire protocol that a request may name in ``x-ms-version``."""

NMAGENT_TYPES = ("GetSupportedApis", "GetInterfaceInfoV1")
"""What the network agent behind ``/machine/plugins?comp=nmagent`` can be asked."""

_PROBE_PORT = "16001"
"""Where Azure's Linux agent listens for a probe of classic load balancers; every goal state names it."""

_UNSERVED = ("HostingEnvironmentConfig", "SharedConfig", "ExtensionsConfig", "FullConfig", "Certificates", "ConfigName")
"""Parts of a goal state that are addresses of further documents. None is served, so they stay empty."""


def versions_document() -> bytes:
    """Build the answer of ``/?comp=versions``: the preferred version, then all that are understood."""
    root = Element("Versions")
    SubElement(SubElement(root, "Preferred"), "Version").text = PREFERRED_VERSION
    supported = SubElement(root, "Supported")
    for version in SUPPORTED_VERSIONS:
        SubElement(supported, "Version").text = version
    return _bytes(root)


def goal_state_document(machine: VirtualMachine, version: str, incarnation: int) -> bytes:
    """Build the answer of ``/machine?comp=goalstate``.

    Args:
        machine: the VM that asks. Its container id is derived from its resource id, as stable as that.
        version: the version of the wire protocol that the request names.
        incarnation: a number that grows with every change of what the VM should be; from 1.
    """
    container_id = str(uuid.uuid5(uuid.NAMESPACE_OID, machine.id.key))
    state = "Started" if machine.running else "Stopped"
    root = Element("GoalState")
    SubElement(root, "Version").text = version
    SubElement(root, "Incarnation").text = str(incarnation)
    expected = SubElement(root, "Machine")
    SubElement(expected, "ExpectedState").text = state
    SubElement(SubElement(expected, "LBProbePorts"), "Port").text = _PROBE_PORT
    container = SubElement(root, "Container")
    SubElement(container, "ContainerId").text = container_id
    instance = SubElement(SubElement(container, "RoleInstanceList"), "RoleInstance")
    SubElement(instance, "InstanceId").text = f"{container_id}._{machine.id.name}"
    SubElement(instance, "State").text = state
    configuration = SubElement(instance, "Configuration")
    for name in _UNSERVED:
        SubElement(configuration, name)
    return _bytes(root)


def interfaces_document(intent: Intent, machine: VirtualMachine) -> bytes:
    """Build the answer of ``type=getinterfaceinfov1``: the VM's NICs and their addresses, the primary ones first.

    A subnet with an IPv4 and an IPv6 prefix is listed once for each. ``IsPrimary`` marks the VM's own address of each
    IP version, the one a pod must never get: the primary ip-configuration, or for a version that has none the first.
    """
    root = Element("Interfaces")
    for index, nic in enumerate(intent.machine_nics(machine)):
        interface = SubElement(root, "Interface", MacAddress=platform_mac(nic.mac), IsPrimary=_boolean(index == 0))
        for prefix in intent.subnet_of(nic).prefixes:
            addresses = _addresses(nic, prefix.version)
            if not addresses:
                continue
            subnet = SubElement(interface, "IPSubnet", Prefix=str(prefix))
            for rank, address in enumerate(addresses):
                SubElement(subnet, "IPAddress", Address=address, IsPrimary=_boolean(rank == 0))
    return _bytes(root)


def supported_apis_document() -> bytes:
    """Build the answer of ``type=GetSupportedApis``. Clients read the ``type`` elements and no name above them."""
    root = Element("SupportedRequestTypes")
    for name in NMAGENT_TYPES:
        SubElement(root, "type").text = name
    return _bytes(root)


def error_document(code: str, message: str) -> bytes:
    """Build the body of a refusal: a code for programs, a message for people."""
    root = Element("Error")
    SubElement(root, "Code").text = code
    SubElement(root, "Message").text = message
    SubElement(root, "Details")
    return _bytes(root)


def goal_state_digest(intent: Intent, machine: VirtualMachine) -> str:
    """Digest everything of the intent that the platform tells this VM: two equal digests, one goal state.

    It covers the VM itself and, for each NIC, its MAC, addresses and prefixes; not what other VMs have, nor rules and
    routes, which the platform enforces without telling the VM.
    """
    told = (
        str(machine.id),
        machine.vm_id,
        machine.running,
        machine.tags,
        tuple(
            (nic.mac, tuple(map(str, intent.subnet_of(nic).prefixes)), _addresses(nic, 4), _addresses(nic, 6))
            for nic in intent.machine_nics(machine)
        ),
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _addresses(nic: NetworkInterface, version: int) -> list[str]:
    family = [config for config in nic.ip_configurations if config.address.version == version]
    return [str(config.address) for config in sorted(family, key=lambda config: not config.primary)]


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _bytes(root: Element) -> bytes:
    body: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return body
