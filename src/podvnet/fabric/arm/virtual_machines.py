"""Microsoft.Compute/virtualMachines: enough of a VM to place NICs on it.

Source: Azure document "Create a virtual machine with multiple NICs" (one NIC is primary, all are in one virtual
network), "Default outbound access in Azure" (a VM without another way out gets a public address of Azure's choice).
"""

from __future__ import annotations

from typing import Any

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.machine_identity import identities_of, settle_identity
from podvnet.fabric.arm.network_interfaces import attach, detach
from podvnet.fabric.arm.network_interfaces import intent_of as nic_intent_of
from podvnet.fabric.arm.private_endpoint_nics import endpoint_of
from podvnet.fabric.arm.public_ip_prefixes import zones_of
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import (
    NETWORK_INTERFACES,
    OUTBOUND_POOL,
    VIRTUAL_MACHINES,
    Document,
    World,
)
from podvnet.model.arm_error import ArmError
from podvnet.model.intent import VirtualMachine
from podvnet.model.resource_id import ResourceId, parse

_PROFILES = ("osProfile", "storageProfile", "diagnosticsProfile", "securityProfile")
_WORDS = ("priority", "licenseType")
"""Kept and shown as they come, these and the profiles; nothing here depends on them."""
_SECRETS = {"adminpassword", "customdata"}
"""Members of osProfile that the resource manager takes and never shows. Nothing needs them, so they are not kept."""


class VirtualMachines:
    """The type."""

    full_type = VIRTUAL_MACHINES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a VM. Its NICs are attached by :func:`place_nics`, once it is in the world."""
        document = head(resource, body)
        document |= {key: value for key, value in (("zones", zones_of(body)), ("plan", body.mapping("plan"))) if value}
        identity = settle_identity(resource, body, world)
        if identity:
            document["identity"] = identity
        properties = body.fields("properties")
        properties.allow("provisioningState", "vmId", "timeCreated", "instanceView", *_PROFILES, *_WORDS)
        hardware = properties.fields("hardwareProfile")
        size = hardware.text("vmSize", "Standard_D2s_v5")
        profile = properties.fields("networkProfile")
        kept: Document = {key: _without_secrets(properties.mapping(key)) for key in _PROFILES if properties.has(key)}
        kept |= {key: properties.text(key) for key in _WORDS if properties.has(key)}
        linker = Linker(resource, document["location"], world)
        nics = [self._nic(each, linker, resource, world) for each in profile.each("networkInterfaces")]
        self._check_nics(profile, nics, world)
        for fields in (hardware, profile, properties, body):
            fields.refuse_unread()
        nics.sort(key=lambda each: not each["properties"]["primary"])
        if not nics[0]["properties"]["primary"]:
            nics[0]["properties"]["primary"] = True
        previous = world.get(resource)
        document["properties"] = {
            "provisioningState": "Succeeded",
            "vmId": stable_guid(resource, "vm"),
            "hardwareProfile": {"vmSize": size},
            "networkProfile": {"networkInterfaces": nics},
        } | kept
        document["_fabric"] = previous["_fabric"] if previous else {"running": True}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A VM may always go; its NICs stay, but for those of :func:`gone_with`."""

    @staticmethod
    def _nic(fields: Fields, linker: Linker, machine: ResourceId, world: World) -> Document:
        properties = fields.fields("properties")
        primary = properties.flag("primary", default=False)
        option = properties.choice("deleteOption", "Detach", "Delete", "Detach")
        properties.refuse_unread()
        found = linker.named(fields, NETWORK_INTERFACES)
        if endpoint_of(found):
            what = f"Network Interface {found['id']} is used by existing resource {endpoint_of(found)}"
            raise fields.error("NicInUse", what, "id")
        user = world.machine_of(parse(found["id"]), but=machine)
        if user:
            raise fields.error("NicInUse", f"Network Interface {found['id']} is used by existing VM {user['id']}", "id")
        kept = {"deleteOption": option} if option == "Delete" else {}
        return {"id": found["id"], "properties": {"primary": primary} | kept}

    @staticmethod
    def _check_nics(profile: Fields, nics: list[Document], world: World) -> None:
        if not nics:
            raise profile.error("InvalidParameter", "a VM needs at least one NIC", "networkInterfaces")
        if len({nic["id"].lower() for nic in nics}) < len(nics):
            raise profile.error("InvalidParameter", "a NIC is listed twice", "networkInterfaces")
        primaries = sum(nic["properties"]["primary"] for nic in nics)
        if primaries > 1 or (primaries == 0 and len(nics) > 1):
            raise profile.error(
                "InvalidParameter", f"exactly one NIC must be primary, not {primaries}", "networkInterfaces"
            )
        networks = {nic_intent_of(world.documents[nic["id"].lower()]).virtual_network.key for nic in nics}
        if len(networks) > 1:
            raise profile.error(
                "SubnetsNotInSameVnet", "all NICs of a VM must be in one virtual network", "networkInterfaces"
            )


def gone_with(machine: Document) -> set[str]:
    """The keys of the NICs that are deleted with a VM, as their ``deleteOption`` asks."""
    nics = machine["properties"]["networkProfile"]["networkInterfaces"]
    return {nic["id"].lower() for nic in nics if nic["properties"].get("deleteOption") == "Delete"}


def place_nics(world: World) -> None:
    """Make every NIC say which VM it is on, and give the primary NIC of each VM its default outbound address.

    Raises:
        ArmError: a NIC of a VM has gone to another virtual network than the VM's other NICs, or there is no default
            outbound address left.
    """
    for machine in world.of_type(VIRTUAL_MACHINES):
        _refuse_parted(machine, world)
    users = {
        nic["id"].lower(): (machine, position)
        for machine in world.of_type(VIRTUAL_MACHINES)
        for position, nic in enumerate(machine["properties"]["networkProfile"]["networkInterfaces"])
    }
    nics = [(nic, *users.get(nic["id"].lower(), (None, 0))) for nic in world.of_type(NETWORK_INTERFACES)]
    entitled = {
        nic["id"] for nic, machine, position in nics if machine and position == 0 and _default_outbound(nic, world)
    }
    taken = {nic["_fabric"].get("outbound", "") for nic, _, _ in nics if nic["id"] in entitled}
    for nic, machine, position in nics:
        outbound = None
        if nic["id"] in entitled:
            outbound = nic["_fabric"].get("outbound") or _free_outbound(taken)
            taken.add(outbound)
        if _placement(nic) == ((machine["id"], position == 0, outbound) if machine else None):
            continue
        placed = attach(nic, machine["id"], primary=position == 0, outbound=outbound) if machine else detach(nic)
        if placed != nic:
            world.put(placed)


def _refuse_parted(machine: Document, world: World) -> None:
    entries = machine["properties"]["networkProfile"]["networkInterfaces"]
    if len(entries) < 2:
        return
    configurations = [world.documents[each["id"].lower()]["properties"]["ipConfigurations"][0] for each in entries]
    networks = {parse(each["properties"]["subnet"]["id"]).parent for each in configurations}
    if len(networks) > 1:
        raise ArmError(
            "SubnetsNotInSameVnet",
            f"all NICs of VM {machine['id']} must be in one virtual network, not in"
            f" {' and '.join(sorted(map(str, networks)))}",
            target=machine["id"],
        )


def _placement(nic: Document) -> tuple[str, bool, str | None] | None:
    """Where a NIC's document says it is: the VM, whether first, and its default outbound address."""
    properties = nic["properties"]
    if "virtualMachine" not in properties:
        return None
    return properties["virtualMachine"]["id"], properties["primary"], nic["_fabric"].get("outbound")


def host_name(machine: Document) -> str:
    """What a VM calls itself: the computer name of its OS profile, or its own name."""
    name: str = machine["properties"].get("osProfile", {}).get("computerName", "")
    return name or str(machine["name"])


def intent_of(document: Document) -> VirtualMachine:
    """The VM as the compilers see it."""
    properties = document["properties"]
    return VirtualMachine(
        id=parse(document["id"]),
        vm_id=properties["vmId"],
        location=document["location"],
        size=properties["hardwareProfile"]["vmSize"],
        nics=tuple(parse(nic["id"]) for nic in properties["networkProfile"]["networkInterfaces"]),
        running=document["_fabric"]["running"],
        tags=tuple(sorted(document.get("tags", {}).items())),
        identities=identities_of(document),
        host_name=host_name(document),
    )


def _without_secrets(profile: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in profile.items() if key.lower() not in _SECRETS}


def _default_outbound(nic: Document, world: World) -> bool:
    # Asked of every VM at every write, so the id is taken apart as text.
    subnet_key = nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].lower()
    network = world.documents[subnet_key.rsplit("/", 2)[0]]
    return any(
        subnet["id"].lower() == subnet_key and subnet["properties"].get("defaultOutboundAccess", True)
        for subnet in network["properties"]["subnets"]
    )


def _free_outbound(taken: set[str]) -> str:
    for address in OUTBOUND_POOL.hosts():
        if str(address) not in taken:
            return str(address)
    raise ArmError(
        "PublicIPCountLimitReached",
        f"all {OUTBOUND_POOL.num_addresses - 2} default outbound addresses of {OUTBOUND_POOL} are given out;"
        " set defaultOutboundAccess: false on subnets that need none",
    )
