"""netavark's plug-in protocol, in the words of CNI: podman's own network stack drives the same agent.

netavark executes the plug-in with a verb and the path of the container's namespace as arguments, and a document on
stdin. The shim passes them on; here they become a CNI request, and what the agent answers becomes what netavark reads.

==========  ============================================  =============================================
verb        stdin                                         stdout
==========  ============================================  =============================================
info        nothing                                       versions; the shim answers it
create      the network as podman's user wants it         the network as it is to be kept
setup       network, container, its wishes                a status block
teardown    the same                                      nothing
==========  ============================================  =============================================

Source: netavark, "Description of the netavark plugin API", api_version 1.0.0. podman uses plug-ins from 4.5 on, with
netavark 1.6.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from podvnet.plugin.document import Document, decode
from podvnet.plugin.error import CniError, Code, quoted
from podvnet.plugin.network_config import IPAM_TYPE, parse_network_config
from podvnet.plugin.result import Result, parse

VARIABLE: Final = "PODVNET_NETAVARK"
"""The variable in which the shim passes the verb."""

_VERSION: Final = "1.0.0"
_OPTIONS: Final = {"mode": "mode", "mtu": "mtu", "vnet-prefix": "vnetCidrs", "non-masquerade": "nonMasquerade"}
"""Keys of a conflist by the names that ``podman network create --opt`` has for them."""
_SUBNET: Final = "subnet"
_COMMANDS: Final = {"setup": "ADD", "teardown": "DEL"}


def create(stdin: bytes) -> bytes:
    """Return the network that podman is to keep, for one that its user asks for.

    Raises ``CniError`` 2 for what no container of the network could have, 6 and 7 for what cannot be read.
    """
    values = decode(stdin)
    network = Document(values, "network")
    if network.flag("internal"):
        raise CniError(
            Code.UNSUPPORTED_FIELD, "an internal network is not supported", "deny the internet by a security group"
        )
    subnets = [each.text(_SUBNET) for each in network.children("subnets")]
    if len(subnets) > 1:
        raise CniError(Code.UNSUPPORTED_FIELD, "a container is in one subnet of its VM's NIC", "give one --subnet")
    options = _options(network) | ({_SUBNET: subnets[0]} if subnets else {})
    # The address is the agent's to give: podman's own IPAM and name server are out of the way, and it takes no offence
    # at a subnet that the VM has itself.
    kept = values | {"subnets": [], "options": options, "ipam_options": {"driver": "none"}, "dns_enabled": False}
    parse_network_config(Document(_conflist(Document(kept, "network"))))
    return msgspec.json.encode(kept)


def as_cni(environment: Mapping[str, str], stdin: bytes) -> tuple[dict[str, str], bytes]:
    """Return environment and stdin of the CNI request that ``setup`` or ``teardown`` means.

    Raises ``CniError`` 4 for another verb, 2 for published ports, 6 and 7 for what cannot be read; ``teardown`` reads
    leniently.
    """
    verb = environment[VARIABLE]
    if verb not in _COMMANDS:
        raise CniError(Code.BAD_ENVIRONMENT, f"{quoted(verb)} is no verb of netavark", "see `azure-vnet info`")
    request = Document(decode(stdin), "request", lenient=verb == "teardown")
    wishes = request.child("network_options")
    if verb == "setup" and request.children("port_mappings"):
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            "ports cannot be published on this network",
            "call the container at its own address, which all of the virtual network reaches; or use podman 4 with CNI",
        )
    config = _conflist(request.child("network"))
    config["runtimeConfig"] = {
        "ips": [str(each) for each in wishes.addresses("static_ips")],
        "mac": wishes.text("static_mac"),
    }
    variables = {
        "CNI_COMMAND": _COMMANDS[verb],
        "CNI_CONTAINERID": request.text("container_id"),
        "CNI_IFNAME": wishes.text("interface_name"),
        "CNI_ARGS": f"K8S_POD_NAME={request.text('container_name')}",
    }
    return {**environment, **variables}, msgspec.json.encode(config)


def reply(verb: str, code: int, output: bytes) -> bytes:
    """Return what netavark reads, for what a runtime of CNI would: exit code and stdout."""
    if code:
        error = decode(output)
        details = error.get("details")
        return msgspec.json.encode({"error": f"{error['msg']}: {details}" if details else error["msg"]})
    return _status_block(parse(decode(output), _VERSION)) if verb == "setup" else output


def _status_block(result: Result) -> bytes:
    interfaces = {link.name: _interface(result, at) for at, link in enumerate(result.interfaces) if link.sandbox}
    return msgspec.json.encode(
        {
            "dns_search_domains": result.dns.search,
            "dns_server_ips": result.dns.nameservers,
            "interfaces": interfaces,
        }
    )


def _interface(result: Result, index: int) -> dict[str, object]:
    subnets = [
        {"ipnet": str(each.address), "gateway": str(each.gateway)} for each in result.ips if each.interface == index
    ]
    return {"mac_address": result.interfaces[index].mac, "subnets": subnets}


def _conflist(network: Document) -> dict[str, object]:
    """The plug-in object of CNI that a network of podman means."""
    options = _options(network)
    subnet = options.pop(_SUBNET, "")
    ipam = {"type": IPAM_TYPE, "ipv6": "auto" if network.flag("ipv6_enabled") else "none"}
    config: dict[str, object] = {
        "cniVersion": _VERSION,
        "name": network.text("name"),
        "type": "azure-vnet",
        "ipam": ipam | ({"subnet": subnet} if subnet else {}),
    }
    for name, value in options.items():
        config[_OPTIONS[name]] = int(value) if name == "mtu" and value.isdigit() else value
    return config


def _options(network: Document) -> dict[str, str]:
    options = network.mapping("options")
    for name in sorted(options.keys() - _OPTIONS.keys() - {_SUBNET}):
        remedy = f"there are {', '.join([*_OPTIONS, _SUBNET])}"
        network.reject(CniError(Code.UNSUPPORTED_FIELD, f"{quoted(name)} is no option of azure-vnet", remedy))
        del options[name]
    return options
