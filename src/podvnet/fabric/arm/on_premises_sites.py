"""Podvnet.Fabric/onPremisesSites: a router on premises, the networks behind it, and hosts in them.

Azure has no such type; its users have such sites. What a site says of its tunnels is what its device is told, so it can
be wrong: a key that differs from the connection's leads to no tunnel. The keys stand beside the document and are never
shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.bgp_settings import read_address, read_asn, read_speaker
from podvnet.fabric.arm.express_route_circuits import service_key, site_with
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.internet_hosts import check_public
from podvnet.fabric.arm.ipsec_policy import policy_of, read_policy
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.local_network_gateways import read_prefixes
from podvnet.fabric.arm.resource_type import check_name, head
from podvnet.fabric.arm.shared_key import read_key, read_md5_key
from podvnet.fabric.arm.world import (
    CIRCUITS,
    NETWORK_GATEWAYS,
    ON_PREMISES_SITES,
    PUBLIC_ADDRESSES,
    Document,
    World,
)
from podvnet.model.address import Address, Prefix
from podvnet.model.gateway import AZURE_ASN, OnPremisesHost, OnPremisesSite, SiteTunnel
from podvnet.model.resource_id import ResourceId, Scope, parse

_ASN = 65010


class OnPremisesSites:
    """The type."""

    full_type = ON_PREMISES_SITES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check a site: its addresses are its own, and its device can be told what it is to do."""
        document = head(resource, body)
        previous = world.get(resource)
        properties = body.fields("properties")
        properties.allow("provisioningState")
        public = _public(resource, properties, world)
        prefixes = read_prefixes(properties)
        if not prefixes or not all(each.prefixlen for each in prefixes):
            what = "a site has networks of its own: at least one prefix, and not 0.0.0.0/0"
            raise properties.error("InvalidRequestFormat", what, "addressPrefixes")
        speaker = read_speaker(properties, "bgpAddress")
        hosts = _hosts(properties, prefixes, speaker)
        tunnels, keys = _tunnels(resource, properties, document["location"], previous, world)
        circuits = _circuits(resource, properties, world)
        if tunnels and not public:
            raise properties.error("InvalidRequestFormat", "is required with tunnels", "publicAddress")
        if any(each["bgp"] for each in tunnels) and speaker is None:
            raise properties.error("InvalidRequestFormat", "is required with tunnels that speak BGP", "bgpAddress")
        known = previous["_fabric"]["circuitKey"] if previous and not properties.has("circuitSharedKey") else ""
        circuit_key = read_md5_key(properties, "circuitSharedKey") or known
        settled: Document = {
            "provisioningState": "Succeeded",
            "addressPrefixes": [str(each) for each in prefixes],
            "hosts": hosts,
            "asn": read_asn(properties, "asn", _ASN),
            "tunnels": tunnels,
            "circuits": circuits,
        }
        name = properties.text("fqdn")
        properties.refuse_unread()
        body.refuse_unread()
        settled |= {"publicAddress": public} if public else {}
        settled |= {"bgpAddress": str(speaker)} if speaker else {}
        settled |= {"fqdn": name} if name else {}
        document["properties"] = settled
        number = previous["_fabric"]["number"] if previous else world.free_number(ON_PREMISES_SITES)
        document["_fabric"] = {"number": number, "keys": keys, "circuitKey": circuit_key}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A site may always go; its circuits are not provisioned then."""


def intent_of(document: Document, world: World) -> OnPremisesSite:
    """The site as the compilers see it. A tunnel to an address that is no more is left out."""
    properties, own = document["properties"], document["_fabric"]
    return OnPremisesSite(
        id=parse(document["id"]),
        number=own["number"],
        public=_address_at(properties, "publicAddress"),
        prefixes=tuple(ip_network(each) for each in properties["addressPrefixes"]),
        hosts=tuple(OnPremisesHost(each["name"], ip_address(each["address"])) for each in properties["hosts"]),
        asn=properties["asn"],
        bgp_address=_address_at(properties, "bgpAddress"),
        tunnels=tuple(
            found for each in properties["tunnels"] if (found := _tunnel_of(each, own["keys"][each["name"]], world))
        ),
        circuits=tuple(each["serviceKey"] for each in properties["circuits"]),
        circuit_key=own["circuitKey"],
    )


def _address_at(properties: Document, key: str) -> Address | None:
    return ip_address(properties[key]) if key in properties else None


def _tunnel_of(tunnel: Document, key: str, world: World) -> SiteTunnel | None:
    """A tunnel with what it leaves to be found: the address of a public address, the BGP speaker behind it."""
    text = tunnel.get("remoteAddress")
    if text is None:
        found = world.documents.get(tunnel["publicIPAddress"]["id"].lower())
        if found is None:
            return None
        text = found["properties"]["ipAddress"]
    peer, asn = tunnel.get("bgpPeer"), tunnel.get("bgpAsn")
    if tunnel["bgp"]:
        speaker = _speaker_at(text, world)
        peer, asn = peer or speaker[0], asn or speaker[1]
    policies = tunnel["ipsecPolicies"]
    return SiteTunnel(
        remote=ip_address(text),
        shared_key=key,
        remote_prefixes=tuple(ip_network(each) for each in tunnel["remotePrefixes"]),
        bgp_peer=ip_address(peer) if peer else None,
        bgp_asn=asn or AZURE_ASN,
        policy=policy_of(policies[0]) if policies else None,
    )


def _speaker_at(public: str, world: World) -> tuple[str, int]:
    """The BGP speaker, and its autonomous system, of the gateway that has a public address."""
    for gateway in world.of_type(NETWORK_GATEWAYS):
        settings = gateway["properties"]["bgpSettings"]
        for each in settings["bgpPeeringAddresses"]:
            if public in each["tunnelIpAddresses"] and gateway["properties"]["enableBgp"]:
                return each["defaultBgpIpAddresses"][0], settings["asn"]
    return "", 0


def _public(resource: ResourceId, properties: Fields, world: World) -> str:
    text = properties.text("publicAddress")
    if not text:
        return ""
    address = read_address(properties, "publicAddress", text)
    check_public(properties, "publicAddress", address, resource, world)
    return str(address)


def _hosts(properties: Fields, prefixes: list[Prefix], speaker: Address | None) -> list[Document]:
    """The hosts: each in a network of the site, at an address of its own."""
    found: list[Document] = []
    for each in properties.each("hosts"):
        name, text = each.required("name"), each.required("address")
        check_name(name, name)
        each.refuse_unread()
        address = read_address(each, "address", text)
        around = next((prefix for prefix in prefixes if address in prefix), None)
        if around is None:
            raise each.error("InvalidRequestFormat", f"{address} is in none of the site's networks", "address")
        if address in _router(around) or address == speaker:
            raise each.error("InvalidRequestFormat", f"{address} is the router's", "address")
        if any(name.lower() == other["name"].lower() or str(address) == other["address"] for other in found):
            raise properties.error("InvalidRequestFormat", f"two have one name or address: {name}", "hosts")
        found.append({"name": name, "address": str(address)})
    return found


def _router(prefix: Prefix) -> Iterator[Address]:
    """The addresses of a network that are no host's: the network's own, the router's, the broadcast address."""
    yield prefix.network_address
    yield prefix.network_address + 1
    yield prefix.broadcast_address


def _tunnels(
    resource: ResourceId, properties: Fields, location: str, previous: Document | None, world: World
) -> tuple[list[Document], dict[str, str]]:
    """What the device is told of tunnels, and the keys by the names of these."""
    linker = Linker(resource, location, world)
    known: dict[str, str] = previous["_fabric"]["keys"] if previous else {}
    found: list[Document] = []
    keys: dict[str, str] = {}
    for each in properties.each("tunnels"):
        name = each.required("name")
        check_name(name, name)
        key = read_key(each, "sharedKey") or known.get(name, "")
        if not key:
            raise each.error("InvalidRequestFormat", "is required", "sharedKey")
        if name in keys:
            raise properties.error("InvalidRequestFormat", f"two are called {name!r}", "tunnels")
        found.append(_tunnel(name, each, linker))
        keys[name] = key
    return found, keys


def _tunnel(name: str, fields: Fields, linker: Linker) -> Document:
    settled: Document = {"name": name}
    text = fields.text("remoteAddress")
    public = linker.one(fields, "publicIPAddress", PUBLIC_ADDRESSES)
    if bool(text) == bool(public):
        what = "one of remoteAddress and publicIPAddress is required, and only one"
        raise fields.error("InvalidRequestFormat", what)
    if public:
        settled["publicIPAddress"] = {"id": public["id"]}
    else:
        settled["remoteAddress"] = str(read_address(fields, "remoteAddress", text))
    prefixes = read_prefixes(fields, "remotePrefixes")
    peer = read_speaker(fields, "bgpPeer")
    bgp = fields.flag("bgp", default=peer is not None)
    policies = [read_policy(each) for each in fields.each("ipsecPolicies")]
    if fields.has("bgpAsn"):
        settled["bgpAsn"] = read_asn(fields, "bgpAsn", AZURE_ASN, azure=True)
    fields.allow("bgpAsn")
    fields.refuse_unread()
    if len(policies) > 1:
        raise fields.error("InvalidRequestFormat", "one policy at most", "ipsecPolicies")
    if not bgp and (peer or "bgpAsn" in settled):
        raise fields.error("InvalidRequestFormat", "bgpPeer and bgpAsn are for a tunnel with BGP", "bgp")
    if not bgp and not prefixes:
        what = "without BGP the device must be told what is behind the gateway"
        raise fields.error("InvalidRequestFormat", what, "remotePrefixes")
    settled |= {"bgpPeer": str(peer)} if peer else {}
    return settled | {"bgp": bgp, "remotePrefixes": [str(each) for each in prefixes], "ipsecPolicies": policies}


def _circuits(resource: ResourceId, properties: Fields, world: World) -> list[Document]:
    """The circuits that the provider connects: by their service keys, or by their ids, which stand for these."""
    scope = Scope(resource.subscription, resource.resource_group)
    found: list[Document] = []
    for each in properties.each("circuits"):
        key = each.text("serviceKey")
        if key and each.has("id"):
            raise each.error("InvalidRequestFormat", "serviceKey or id, not both")
        if not key:
            key = service_key(each.identity(scope, CIRCUITS))
        each.allow("id")
        each.refuse_unread()
        other = site_with(key, world)
        if other and other["id"].lower() != resource.key:
            raise each.error("InvalidRequestFormat", f"{other['id']} has the circuit already")
        if {"serviceKey": key} in found:
            raise properties.error("InvalidRequestFormat", "a circuit is there twice", "circuits")
        found.append({"serviceKey": key})
    return found
