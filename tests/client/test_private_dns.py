"""Private DNS zones by the real SDK: zones, record sets of every type, links, what is refused, and DNS names free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.mgmt.privatedns import PrivateDnsManagementClient

from podvnet.testing.cloud import Cloud

GROUP, ZONE = "dns", "corp.example"
RECORDS: dict[str, tuple[str, dict[str, Any]]] = {
    "A": ("web", {"aRecords": [{"ipv4Address": "10.1.0.10"}, {"ipv4Address": "10.1.0.11"}]}),
    "AAAA": ("web", {"aaaaRecords": [{"ipv6Address": "fd00::10"}]}),
    "CNAME": ("www", {"cnameRecord": {"cname": "web.corp.example"}}),
    "MX": ("@", {"mxRecords": [{"preference": 10, "exchange": "mail.corp.example"}]}),
    "PTR": ("ptr", {"ptrRecords": [{"ptrdname": "web.corp.example"}]}),
    "SRV": ("_sip._tcp", {"srvRecords": [{"priority": 1, "weight": 2, "port": 5060, "target": "web.corp.example"}]}),
    "TXT": ("*", {"txtRecords": [{"value": ["v=spf1 -all", 'a "b"']}]}),
}


@pytest.fixture(scope="module")
def dns(cloud: Cloud) -> Iterator[Any]:
    """The SDK's client, and a group with the zone and two networks."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    networks: Any = cloud.network.virtual_networks
    for number, name in enumerate(("hub", "spoke")):
        networks.begin_create_or_update(
            GROUP,
            name,
            {
                "location": "local",
                "properties": {
                    "addressSpace": {"addressPrefixes": [f"10.{number}.0.0/16"]},
                    "subnets": [{"name": "front", "properties": {"addressPrefix": f"10.{number}.0.0/24"}}],
                },
            },
        ).result()
    access = cloud.access
    client: Any = PrivateDnsManagementClient(access.credential(), access.subscription, **access.options())
    made = client.private_zones.begin_create_or_update(GROUP, ZONE, {"location": "global"}).result()
    assert (made.name, made.location, made.type) == (ZONE, "global", "Microsoft.Network/privateDnsZones")
    yield client
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def link(cloud: Cloud, network: str, **properties: Any) -> dict[str, Any]:
    place = f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network"
    inner = {"virtualNetwork": {"id": f"{place}/virtualNetworks/{network}"}, **properties}
    return {"location": "global", "properties": inner}


def code_of(refused: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str | None]:
    error = refused.value.error
    return refused.value.status_code, error.code if error else None


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_set_is_made_read_changed_and_deleted(dns: Any, kind: str) -> None:
    name, data = RECORDS[kind]
    member = next(iter(data))
    sets: Any = dns.record_sets
    made = sets.create_or_update(GROUP, ZONE, kind, name, {"properties": {"ttl": 60, **data}})
    fqdn = f"{ZONE}." if name == "@" else f"{name}.{ZONE}."
    assert (made.name, made.type, made.fqdn, made.ttl) == (name, f"Microsoft.Network/privateDnsZones/{kind}", fqdn, 60)
    assert made.is_auto_registered is False
    got = sets.get(GROUP, ZONE, kind, name)
    assert got.as_dict() == made.as_dict()
    assert got.as_dict()["properties"][member] == data[member]
    changed = sets.update(GROUP, ZONE, kind, name, {"properties": {"ttl": 90, "metadata": {"by": "test"}}})
    assert (changed.ttl, changed.metadata) == (90, {"by": "test"})
    assert changed.as_dict()["properties"][member] == data[member]
    assert name in [each.name for each in sets.list_by_type(GROUP, ZONE, kind)]
    assert (kind, name) in [(each.type.rsplit("/", 1)[1], each.name) for each in sets.list(GROUP, ZONE)]
    sets.delete(GROUP, ZONE, kind, name)
    with pytest.raises(HttpResponseError) as gone:
        sets.get(GROUP, ZONE, kind, name)
    assert gone.value.status_code == 404
    sets.delete(GROUP, ZONE, kind, name)


def test_a_zone_is_shown_with_counts_and_its_own_record(dns: Any) -> None:
    zone = dns.private_zones.get(GROUP, ZONE)
    assert (zone.number_of_record_sets, zone.max_number_of_record_sets) == (1, 25000)
    assert (zone.number_of_virtual_network_links, zone.max_number_of_virtual_network_links) == (0, 1000)
    assert [each.name for each in dns.private_zones.list_by_resource_group(GROUP)] == [ZONE]
    tagged = dns.private_zones.begin_update(GROUP, ZONE, {"tags": {"team": "net"}}).result()
    assert tagged.tags == {"team": "net"}
    soa = dns.record_sets.get(GROUP, ZONE, "SOA", "@")
    assert soa.soa_record is not None
    assert (soa.soa_record.host, soa.soa_record.email) == ("azureprivatedns.net", "azureprivatedns-host.microsoft.com")
    assert (soa.soa_record.minimum_ttl, soa.soa_record.refresh_time) == (10, 3600)
    again = dns.private_zones.begin_create_or_update(GROUP, ZONE, {"location": "global"}).result()
    assert again.number_of_record_sets == 1


def test_a_record_set_is_written_on_condition(dns: Any) -> None:
    sets: Any = dns.record_sets
    body = {"properties": {"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.1"}]}}
    first = sets.create_or_update(GROUP, ZONE, "A", "cond", body, match_condition=MatchConditions.IfMissing)
    with pytest.raises(ResourceExistsError):
        sets.create_or_update(GROUP, ZONE, "A", "cond", body, match_condition=MatchConditions.IfMissing)
    same = {"etag": first.etag, "match_condition": MatchConditions.IfNotModified}
    sets.create_or_update(GROUP, ZONE, "A", "other", body)
    second = sets.create_or_update(GROUP, ZONE, "A", "cond", {"properties": {**body["properties"], "ttl": 2}}, **same)
    assert second.etag != first.etag
    for late, arguments in ((sets.create_or_update, (body,)), (sets.update, (body,)), (sets.delete, ())):
        with pytest.raises(ResourceModifiedError):
            late(GROUP, ZONE, "A", "cond", *arguments, **same)
    for name in ("cond", "other"):
        sets.delete(GROUP, ZONE, "A", name)


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("A", "a..b", {"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.1"}]}, "not a valid relative domain name"),
    ("A", "x", {"aRecords": [{"ipv4Address": "10.0.0.1"}]}, "TTL"),
    ("A", "x", {"ttl": 1, "aRecords": []}, "1 to 20 records, not 0"),
    ("A", "x", {"ttl": 1, "aRecords": [{"ipv4Address": f"10.0.0.{n}"} for n in range(21)]}, "not 21"),
    ("A", "x", {"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.1"}] * 2}, "listed twice"),
    ("A", "x", {"ttl": 1, "aRecords": [{"ipv4Address": "fd00::1"}]}, "is no IPv4 address"),
    ("AAAA", "x", {"ttl": 1, "aaaaRecords": [{"ipv6Address": "10.0.0.1"}]}, "is no IPv6 address"),
    ("CNAME", "@", {"ttl": 1, "cnameRecord": {"cname": "a.b"}}, "zone apex"),
    ("CNAME", "x", {"ttl": 1, "cnameRecord": {"cname": "a b"}}, "is no domain name"),
    ("SOA", "x", {"ttl": 1, "soaRecord": {}}, "is at the zone's own name"),
    ("TXT", "x", {"ttl": 1, "txtRecords": [{"value": []}]}, "at most 4096 bytes"),
]


@pytest.mark.parametrize(("kind", "name", "properties", "message"), REFUSED)
def test_a_record_set_is_refused(dns: Any, kind: Any, name: str, properties: dict[str, Any], message: str) -> None:
    with pytest.raises(HttpResponseError, match=message) as refused:
        dns.record_sets.create_or_update(GROUP, ZONE, kind, name, {"properties": properties})
    assert code_of(refused) == (400, "BadRequest")


def test_nothing_is_beside_an_alias_and_the_zones_own_record_stays(dns: Any) -> None:
    sets: Any = dns.record_sets
    sets.create_or_update(GROUP, ZONE, "CNAME", "alias", {"properties": {"ttl": 1, "cnameRecord": {"cname": "a.b"}}})
    with pytest.raises(HttpResponseError, match="cannot be beside one of type 'CNAME'") as beside:
        sets.create_or_update(
            GROUP, ZONE, "A", "Alias", {"properties": {"ttl": 1, "aRecords": [{"ipv4Address": "10.0.0.1"}]}}
        )
    assert code_of(beside) == (400, "BadRequest")
    sets.delete(GROUP, ZONE, "CNAME", "alias")
    with pytest.raises(HttpResponseError, match="cannot be deleted") as refused:
        sets.delete(GROUP, ZONE, "SOA", "@")
    assert code_of(refused) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("name", "location", "code"),
    [
        ("single", "global", "BadRequest"),
        ("-a.example", "global", "InvalidResourceName"),
        ("a..example", "global", "BadRequest"),
        ("azure.com", "global", "BadRequest"),
        ("Windows.NET", "global", "BadRequest"),
        ("good.example", "eastus", "LocationNotAvailableForResourceType"),
    ],
)
def test_a_zone_is_refused(dns: Any, name: str, location: str, code: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        dns.private_zones.begin_create_or_update(GROUP, name, {"location": location}).result()
    assert code_of(refused) == (400, code)


def test_links_register_vms_and_hold_the_zone(dns: Any, cloud: Cloud) -> None:
    links, sets = dns.virtual_network_links, dns.record_sets
    made = links.begin_create_or_update(GROUP, ZONE, "l", link(cloud, "hub", registrationEnabled=True)).result()
    assert (made.virtual_network_link_state, made.registration_enabled) == ("Completed", True)
    assert made.resolution_policy == "Default"
    subnet = f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network"
    configuration = {"name": "c", "properties": {"subnet": {"id": f"{subnet}/virtualNetworks/hub/subnets/front"}}}
    nics: Any = cloud.network.network_interfaces
    nic = nics.begin_create_or_update(
        GROUP, "nic", {"location": "local", "properties": {"ipConfigurations": [configuration]}}
    ).result()
    machine: Any = {
        "location": "local",
        "properties": {
            "networkProfile": {"networkInterfaces": [{"id": nic.id}]},
            "osProfile": {"computerName": "Frontend"},
        },
    }
    cloud.compute.virtual_machines.begin_create_or_update(GROUP, "vm", machine).result()
    registered = sets.get(GROUP, ZONE, "A", "frontend")
    assert (registered.is_auto_registered, registered.ttl) == (True, 10)
    assert [each.ipv4_address for each in registered.a_records or []] == ["10.0.0.4"]
    # One of one's own takes its place, and gives it back.
    own: Any = {"properties": {"ttl": 5, "aRecords": [{"ipv4Address": "10.9.9.9"}]}}
    assert sets.create_or_update(GROUP, ZONE, "A", "frontend", own).is_auto_registered is False
    sets.delete(GROUP, ZONE, "A", "frontend")
    assert sets.get(GROUP, ZONE, "A", "frontend").is_auto_registered
    with pytest.raises(HttpResponseError) as held:
        dns.private_zones.begin_delete(GROUP, ZONE).result()
    assert code_of(held) == (409, "CannotDeleteResource")
    changed = links.begin_update(
        GROUP, ZONE, "l", {"properties": {"registrationEnabled": False, "resolutionPolicy": "NxDomainRedirect"}}
    ).result()
    assert (changed.registration_enabled, changed.resolution_policy) == (False, "NxDomainRedirect")
    assert [each.name for each in sets.list(GROUP, ZONE)] == ["@"]
    cloud.compute.virtual_machines.begin_delete(GROUP, "vm").result()
    cloud.network.network_interfaces.begin_delete(GROUP, "nic").result()
    links.begin_delete(GROUP, ZONE, "l").result()
    assert list(links.list(GROUP, ZONE)) == []


def test_links_that_cannot_be(dns: Any, cloud: Cloud) -> None:
    links = dns.virtual_network_links
    cloud.resources.resource_groups.create_or_update("dns2", {"location": "local"})
    for group, zone in ((GROUP, "second.example"), ("dns2", ZONE)):
        dns.private_zones.begin_create_or_update(group, zone, {"location": "global"}).result()
    links.begin_create_or_update(GROUP, ZONE, "l", link(cloud, "hub", registrationEnabled=True)).result()
    for group, zone, name, body, message in (
        (GROUP, ZONE, "again", link(cloud, "hub"), "overlapping namespaces"),
        ("dns2", ZONE, "same", link(cloud, "hub"), "overlapping namespaces"),
        (GROUP, "second.example", "l2", link(cloud, "hub", registrationEnabled=True), "auto-registration enabled"),
        (GROUP, ZONE, "none", link(cloud, "gone"), "does not exist"),
        (GROUP, ZONE, "l", link(cloud, "spoke"), "cannot be changed"),
    ):
        with pytest.raises(HttpResponseError, match=message) as refused:
            links.begin_create_or_update(group, zone, name, body).result()
        assert code_of(refused) == (400, "BadRequest")
    links.begin_create_or_update(GROUP, "second.example", "l2", link(cloud, "hub")).result()
    cloud.resources.resource_groups.begin_delete("dns2").result()


def test_a_virtual_network_goes_with_its_links(dns: Any, cloud: Cloud) -> None:
    dns.private_zones.begin_create_or_update(GROUP, "third.example", {"location": "global"}).result()
    dns.virtual_network_links.begin_create_or_update(GROUP, "third.example", "l", link(cloud, "spoke")).result()
    cloud.network.virtual_networks.begin_delete(GROUP, "spoke").result()
    assert list(dns.virtual_network_links.list(GROUP, "third.example")) == []
    dns.private_zones.begin_delete(GROUP, "third.example").result()


def test_a_nic_shows_the_servers_that_its_vm_is_told_of(cloud: Cloud) -> None:
    networks, nics = cloud.network.virtual_networks, cloud.network.network_interfaces
    cloud.resources.resource_groups.create_or_update("told", {"location": "local"})

    def network(*servers: str) -> Any:
        subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]
        inner = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
        return {"location": "local", "properties": inner | {"dhcpOptions": {"dnsServers": list(servers)}}}

    made = networks.begin_create_or_update("told", "v", network()).result()
    subnet = {"id": f"{made.id}/subnets/s"}

    def applied(*own: str) -> tuple[list[str], str | None]:
        settings = {"dnsServers": list(own), "internalDnsNameLabel": "me"}
        configurations = [{"name": "c", "properties": {"subnet": subnet}}]
        body: Any = {"location": "local", "properties": {"ipConfigurations": configurations, "dnsSettings": settings}}
        found = nics.begin_create_or_update("told", "n", body).result().dns_settings
        assert found is not None
        assert found.internal_fqdn == f"me.{found.internal_domain_name_suffix}"
        return list(found.applied_dns_servers or []), found.internal_dns_name_label

    assert applied() == ([], "me")
    networks.begin_create_or_update("told", "v", network("10.0.0.9", "10.0.0.8")).result()
    assert applied()[0] == ["10.0.0.9", "10.0.0.8"]
    assert applied("10.0.0.7")[0] == ["10.0.0.7"]
    assert applied("AzureProvidedDNS")[0] == []
    with pytest.raises(HttpResponseError) as refused:
        networks.begin_create_or_update("told", "v", network(*(f"10.0.0.{n}" for n in range(4, 25)))).result()
    assert code_of(refused) == (400, "DnsServersPerVirtualNetworkLimitReached")
    cloud.resources.resource_groups.begin_delete("told").result()


def test_whether_a_domain_name_label_is_free(cloud: Cloud) -> None:
    addresses = cloud.network.public_ip_addresses
    assert cloud.network.check_dns_name_availability("local", domain_name_label="mine").available
    body: Any = {
        "location": "local",
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": "mine"}},
    }
    addresses.begin_create_or_update("rg", "named", body).result()
    assert not cloud.network.check_dns_name_availability("local", domain_name_label="mine").available
    with pytest.raises(HttpResponseError) as refused:
        cloud.network.check_dns_name_availability("local", domain_name_label="-")
    assert code_of(refused) == (400, "InvalidDomainNameLabel")
    addresses.begin_delete("rg", "named").result()
