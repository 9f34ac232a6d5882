"""The documents of the world as the intent that compilers read."""

from __future__ import annotations

from typing import cast

from podvnet.fabric.arm import internet_hosts, network_interfaces, virtual_machines, virtual_networks
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    NETWORK_INTERFACES,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.model.intent import Intent, InternetHost, NetworkInterface, VirtualMachine, VirtualNetwork

IntentValue = VirtualNetwork | NetworkInterface | VirtualMachine | InternetHost


class IntentReader:
    """Turns worlds into intents; a document that has not changed is not read again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Document, IntentValue]] = {}

    def read(self, world: World) -> Intent:
        """The intent of a world. Resources that no packet obeys yet have no place in it."""
        intent = Intent()
        known: dict[int, tuple[Document, IntentValue]] = {}
        for key, document in world.documents.items():
            if document["type"] not in _READERS:
                continue
            cached = self._known.get(id(document))
            value = cached[1] if cached and cached[0] is document else _value(document)
            known[id(document)] = (document, value)
            _place(intent, key, value)
        self._known = known
        return intent


_READERS = {
    VIRTUAL_NETWORKS: virtual_networks.intent_of,
    NETWORK_INTERFACES: network_interfaces.intent_of,
    VIRTUAL_MACHINES: virtual_machines.intent_of,
    INTERNET_HOSTS: internet_hosts.intent_of,
}


def _value(document: Document) -> IntentValue:
    return cast("IntentValue", _READERS[document["type"]](document))


def _place(intent: Intent, key: str, value: IntentValue) -> None:
    match value:
        case VirtualNetwork():
            intent.virtual_networks[key] = value
        case NetworkInterface():
            intent.nics[key] = value
        case VirtualMachine():
            intent.machines[key] = value
        case InternetHost():
            intent.internet_hosts[key] = value
