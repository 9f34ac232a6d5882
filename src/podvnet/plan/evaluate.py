"""What becomes of a packet, and why.

This is the second implementation of what the kernel's tables do: it reads the values of the intent and knows nothing of
what is compiled from them, so that each can be held against the other. A packet is the first one of its flow: replies
pass where the first packet did.
"""

from __future__ import annotations

from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.gateway import VirtualNetworkGateway
from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.verdict import Trace
from podvnet.plan.entrances import is_of_internet
from podvnet.plan.topology import Topology
from podvnet.plan.walk import Walk


class SenderError(LookupError):
    """A source address that no NIC has, or NICs of several virtual networks."""


def evaluate(intent: Intent, flow: Flow, sender: NetworkInterface | None = None) -> Trace:
    """What becomes of one packet; :class:`Evaluator` is quicker for several.

    Args:
        intent: what there should be.
        flow: the packet.
        sender: the NIC that sends it; the one that has the source address when it is left out, or the internet, when
            it is a public one and so is the destination.

    Raises:
        SenderError: no sender is given, and none or several NICs have the source address.
    """
    return Evaluator(intent).evaluate(flow, sender)


class Evaluator:
    """Answers questions about one intent, which must not change meanwhile."""

    def __init__(self, intent: Intent) -> None:
        self.topology = Topology(intent)

    @property
    def intent(self) -> Intent:
        """What is asked about."""
        return self.topology.intent

    def evaluate(
        self, flow: Flow, sender: NetworkInterface | VirtualNetworkGateway | None = None, *, follow: bool = True
    ) -> Trace:
        """What becomes of a packet.

        Args:
            flow: the packet.
            sender: the NIC that sends it, or the gateway that gets it from on premises; when it is left out the NIC
                that has the source address, or the internet for a packet from a public address to one of the fabric, or
                the site on premises that has the source.
            follow: go on where an appliance sends what it got; otherwise the trace ends there.

        Raises:
            SenderError: no sender is given, and none or several NICs have the source address.
        """
        if sender is None and not (self.is_from_internet(flow) or self.is_from_on_premises(flow)):
            sender = self.sender(flow.source)
        return Walk(self.topology, flow, follow=follow).run(sender)

    def is_from_internet(self, flow: Flow) -> bool:
        """Whether nobody but the internet can send a packet: to a public address of the fabric, from one no NIC has."""
        topology = self.topology
        return (
            not topology.holders(flow.source)
            and is_of_internet(flow.source)
            and topology.entrances.knows(flow.destination)
        )

    def is_from_on_premises(self, flow: Flow) -> bool:
        """Whether a site on premises has the source of a packet, and no NIC does."""
        return self.topology.is_on_premises(flow.source)

    def sender(self, address: Address) -> NetworkInterface:
        """The NIC that has an address.

        Raises:
            SenderError: none, or several in different virtual networks.
        """
        found = self.topology.holders(address)
        if len(found) == 1:
            return found[0]
        if not found:
            raise SenderError(f"no NIC has the address {address}")
        places = ", ".join(f"{nic.id.name} in {nic.virtual_network.name}" for nic in found)
        raise SenderError(f"{address} is an address of several NICs ({places}); name one of them")
