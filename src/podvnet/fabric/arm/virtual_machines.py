"""Microsoft.Compute/virtualMachines: enough of a VM to place NICs on it.

Source: Azure document "Create a virtual machine with multiple NICs" (one NIC is primary, all are in one virtual
network), "Default outbound access in Azure" (a VM without another way out gets a public address of Azure's choice).
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.network_interfaces import attach, detach
from podvnet.fabric.arm.network_interfaces import intent_of as nic_intent_of
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
from podvnet.model.resource_id import ResourceId, Scope, parse

_KEPT = ("osProfile", "storageProfile", "diagnosticsProfile", "securityProfile", "priority", "licenseType")


class VirtualMachines:
    """The type."""

    full_type = VIRTUAL_MACHINES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a VM. Its NICs are attached by :func:`place_nics`, once it is in the world."""
        document = head(resource, body)
        body.allow("zones", "identity", "plan")
        properties = body.fields("properties")
        properties.allow("provisioningState", "vmId", "timeCreated", "instanceView", *_KEPT)
        hardware = properties.fields("hardwareProfile")
        size = hardware.text("vmSize", "Standard_D2s_v5")
        profile = properties.fields("networkProfile")
        scope = Scope(resource.subscription, resource.resource_group)
        nics = [self._nic(each, scope, resource, world) for each in profile.each("networkInterfaces")]
        self._check_nics(profile, nics, world)
        for fields in (hardware, profile, properties, body):
            fields.refuse_unread()
        nics.sort(key=lambda each: not each["properties"]["primary"])
        if not nics[0]["properties"]["primary"]:
            nics[0]["properties"]["primary"] = True
        previous = world.get(resource)
        kept = {key: properties.mapping(key) for key in _KEPT[:2] if properties.has(key)}
        document["properties"] = {
            "provisioningState": "Succeeded",
            "vmId": stable_guid(resource, "vm"),
            "hardwareProfile": {"vmSize": size},
            "networkProfile": {"networkInterfaces": nics},
        } | kept
        document["_fabric"] = previous["_fabric"] if previous else {"running": True}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A VM may always go; its NICs stay."""

    @staticmethod
    def _nic(fields: Fields, scope: Scope, machine: ResourceId, world: World) -> Document:
        text = fields.required("id")
        properties = fields.fields("properties")
        primary = properties.flag("primary", default=False)
        properties.allow("deleteOption")
        properties.refuse_unread()
        fields.refuse_unread()
        try:
            nic = parse(text, scope)
        except ValueError as problem:
            raise fields.error("LinkedInvalidPropertyId", str(problem), "id") from None
        found = world.get(nic)
        if found is None or found["type"] != NETWORK_INTERFACES:
            raise fields.error(
                "InvalidResourceReference", f"Resource {nic} referenced by {machine} was not found", "id"
            )
        user = world.machine_of(nic, but=machine)
        if user:
            raise fields.error("NicInUse", f"Network Interface {nic} is used by existing VM {user['id']}", "id")
        return {"id": found["id"], "properties": {"primary": primary}}

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


def place_nics(world: World) -> None:
    """Make every NIC say which VM it is on, and give the primary NIC of each VM its default outbound address."""
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


def _placement(nic: Document) -> tuple[str, bool, str | None] | None:
    """Where a NIC's document says it is: the VM, whether first, and its default outbound address."""
    properties = nic["properties"]
    if "virtualMachine" not in properties:
        return None
    return properties["virtualMachine"]["id"], properties["primary"], nic["_fabric"].get("outbound")


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
    )


def _default_outbound(nic: Document, world: World) -> bool:
    subnet_id = parse(nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"])
    network = world.documents[subnet_id.parent.key]
    return any(
        subnet["id"].lower() == subnet_id.key and subnet["properties"]["defaultOutboundAccess"]
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
