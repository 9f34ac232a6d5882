"""What names mean in a virtual network, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podvnet.fabric.dns.public_names import public_names
from podvnet.fabric.dns.resolution import resolve
from podvnet.fabric.dns.view import View, Views
from podvnet.fabric.dns.zone import Zone
from podvnet.model.dns import RecordSet
from podvnet.model.intent import Intent
from podvnet.model.resource_id import Scope, make

# {hub} and {spoke}: the suffixes of Azure's own names. What is expected: the answers as "name type data", or the code
# of an answer without any, or "ask" and the name that public DNS is to be asked for.
TABLE = [
    ("hub", "web.corp.example A", ["web.corp.example A 10.9.0.1", "web.corp.example A 10.9.0.2"]),
    ("hub", "web.corp.example AAAA", ["web.corp.example AAAA fd00::1"]),
    ("hub", "web.corp.example ANY", ["web.corp.example A 10.9.0.1", "web.corp.example A 10.9.0.2",
                                     "web.corp.example AAAA fd00::1"]),
    ("hub", "web.corp.example TXT", ["NOERROR corp.example"]),
    ("hub", "no.corp.example A", ["NXDOMAIN corp.example"]),
    ("hub", "no.no.corp.example A", ["NXDOMAIN corp.example"]),
    ("hub", "corp.example A", ["NOERROR corp.example"]),
    ("hub", "corp.example NS", ["NOERROR corp.example"]),
    ("hub", "corp.example MX", ["corp.example MX 5 web.corp.example."]),
    ("hub", "_sip._tcp.corp.example SRV", ["_sip._tcp.corp.example SRV 1 2 5060 web.corp.example."]),
    ("hub", "_tcp.corp.example SRV", ["NOERROR corp.example"]),
    ("hub", "txt.corp.example TXT", ['txt.corp.example TXT "a \\034b\\034" "c"']),
    ("hub", "under.here.corp.example A", ["NOERROR corp.example"]),
    ("hub", "deep.under.here.corp.example A", ["deep.under.here.corp.example A 10.9.0.3"]),
    # wildcards
    ("hub", "any.wild.corp.example A", ["any.wild.corp.example A 10.9.0.4"]),
    ("hub", "any.thing.wild.corp.example A", ["any.thing.wild.corp.example A 10.9.0.4"]),
    ("hub", "known.wild.corp.example A", ["known.wild.corp.example A 10.9.0.5"]),
    ("hub", "below.known.wild.corp.example A", ["NXDOMAIN corp.example"]),
    ("hub", "any.wild.corp.example TXT", ["NOERROR corp.example"]),
    # aliases
    ("hub", "www.corp.example A", ["www.corp.example CNAME WEB.corp.example.",
                                   "web.corp.example A 10.9.0.1", "web.corp.example A 10.9.0.2"]),
    ("hub", "www.corp.example CNAME", ["www.corp.example CNAME WEB.corp.example."]),
    ("hub", "inner.corp.example A", ["NOERROR inner.corp.example"]),
    ("hub", "far.corp.example A", ["far.corp.example CNAME www.public.test.", "ask www.public.test"]),
    ("hub", "dangling.corp.example A", ["dangling.corp.example CNAME no.corp.example.", "NXDOMAIN corp.example"]),
    ("hub", "loop1.corp.example A", ["SERVFAIL"]),
    ("hub", "shop.corp.example A", ["shop.corp.example CNAME shop.local.cloudapp.azure.com.",
                                    "shop.local.cloudapp.azure.com A 192.0.2.1"]),
    # the longest suffix; a zone that is not linked; redirection
    ("hub", "db.inner.corp.example A", ["db.inner.corp.example A 10.9.0.9"]),
    ("hub", "web.inner.corp.example A", ["NXDOMAIN inner.corp.example"]),
    ("spoke", "web.corp.example A", ["ask web.corp.example"]),
    ("hub", "here.fallback.example A", ["here.fallback.example A 10.9.0.8"]),
    ("hub", "here.fallback.example TXT", ["NOERROR fallback.example"]),
    ("hub", "gone.fallback.example A", ["ask gone.fallback.example"]),
    ("spoke", "gone.fallback.example A", ["NXDOMAIN fallback.example"]),
    ("spoke", "here.fallback.example A", ["here.fallback.example A 10.9.0.8"]),
    # VMs: registered, by Azure's own names, by label, not across a peering
    ("hub", "front.corp.example A", ["front.corp.example A 10.0.1.4"]),
    ("hub", "vm1.corp.example A", ["NXDOMAIN corp.example"]),
    ("hub", "front.{hub} A", ["front.{hub} A 10.0.1.4"]),
    ("hub", "labelled.{hub} A", ["labelled.{hub} A 10.0.1.4"]),
    ("hub", "front.{hub} AAAA", ["NOERROR {hub}"]),
    ("hub", "vm2.{hub} A", ["NXDOMAIN {hub}"]),
    ("hub", "vm2.{spoke} A", ["NXDOMAIN internal.cloudapp.net"]),
    ("spoke", "vm2.{spoke} A", ["vm2.{spoke} A 10.1.1.4"]),
    ("spoke", "vm4_.{spoke} A", ["vm4_.{spoke} A 10.1.1.6"]),
    # reverse: of the primary NIC's primary address alone, by every name, and none of other networks
    ("hub", "4.1.0.10.in-addr.arpa PTR", ["4.1.0.10.in-addr.arpa PTR front.corp.example.",
        "4.1.0.10.in-addr.arpa PTR front.{hub}.", "4.1.0.10.in-addr.arpa PTR labelled.{hub}."]),
    ("hub", "4.1.0.10.in-addr.arpa A", ["NOERROR in-addr.arpa"]),
    ("hub", "5.1.0.10.in-addr.arpa PTR", ["NXDOMAIN in-addr.arpa"]),
    ("hub", "4.1.1.10.in-addr.arpa PTR", ["NXDOMAIN in-addr.arpa"]),
    ("spoke", "4.1.1.10.in-addr.arpa PTR", ["4.1.1.10.in-addr.arpa PTR vm2.{spoke}."]),
    ("spoke", "4.1.0.10.in-addr.arpa PTR", ["NXDOMAIN in-addr.arpa"]),
    ("hub", "1.1.168.192.in-addr.arpa PTR", ["NXDOMAIN in-addr.arpa"]),
    ("hub", f"1.{'0.' * 29}d.f.ip6.arpa PTR", ["NXDOMAIN ip6.arpa"]),
    ("hub", "8.8.8.8.in-addr.arpa PTR", ["ask 8.8.8.8.in-addr.arpa"]),
    ("hub", "999.8.8.8.in-addr.arpa PTR", ["ask 999.8.8.8.in-addr.arpa"]),
    ("hub", "1.0.9.10.in-addr.arpa PTR", ["1.0.9.10.in-addr.arpa PTR web.corp.example."]),
    ("spoke", "1.0.9.10.in-addr.arpa PTR", ["NXDOMAIN in-addr.arpa"]),
    # public names
    ("spoke", "shop.local.cloudapp.azure.com A", ["shop.local.cloudapp.azure.com A 192.0.2.1"]),
    ("spoke", "shop.local.cloudapp.azure.com AAAA", ["shop.local.cloudapp.azure.com AAAA 2001:db8:192:2::1"]),
    ("spoke", "shop.local.cloudapp.azure.com ANY", ["shop.local.cloudapp.azure.com A 192.0.2.1",
                                                    "shop.local.cloudapp.azure.com AAAA 2001:db8:192:2::1"]),
    ("spoke", "shop.local.cloudapp.azure.com TXT", ["NOERROR"]),
    ("spoke", "management.azure.com AAAA", ["NOERROR"]),
    ("spoke", "management.azure.com A", ["management.azure.com A 198.51.100.254"]),
    ("spoke", "www.public.test A", ["ask www.public.test"]),
    ("spoke", " NS", ["ask "]),
]  # fmt: skip


@pytest.mark.parametrize(("network", "question", "expected"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_what_a_name_means(views: Views, intent: Intent, network: str, question: str, expected: list[str]) -> None:
    suffixes = {each.id.name: each.domain_suffix for each in intent.virtual_networks.values()}
    assert said(view_of(views, network), question.format_map(suffixes)) == [
        each.format_map(suffixes) for each in expected
    ]


def said(view: View, question: str) -> list[str]:
    name, _, kind = question.partition(" ")
    found = resolve(view, name, kind)
    lines = [f"{owner} {each.type} {data}" for owner, each in found.answers for data in sorted(each.data)]
    if found.forward or question.startswith(" "):
        return [*lines, f"ask {found.forward}"]
    if found.authority:
        return [*lines, f"{found.rcode} {found.authority[0]}"]
    return lines or [found.rcode]


def view_of(views: Views, network: str) -> View:
    view = views.find(make(Scope(), "Microsoft.Network/virtualNetworks", network).key)
    assert view is not None
    return view


def test_that_a_name_is_not_there_is_believed_as_long_as_its_zone_says() -> None:
    zone = Zone("z", [RecordSet("@", "SOA", 60, ("a. b. 1 2 3 4 300",))])
    assert zone.authority.ttl == 60
    assert Zone("z", [RecordSet("@", "SOA", 3600, ("a. b. 1 2 3 4 300",))]).authority.ttl == 300
    assert Zone("z", ()).authority.ttl == 10


def test_a_view_is_made_anew_when_the_intent_has_changed(intent: Intent) -> None:
    now = [intent]
    views = Views(lambda: now[0])
    before = view_of(views, "hub")
    assert view_of(views, "hub") is before
    zones = {key: zone for key, zone in intent.private_zones.items() if zone.name != "corp.example"}
    now[0] = replace(intent, private_zones=zones)
    assert said(view_of(views, "hub"), "web.corp.example A") == ["ask web.corp.example"]
    # What has not changed is not indexed again.
    assert view_of(views, "hub").zone_of("db.inner.corp.example") is before.zone_of("db.inner.corp.example")
    assert views.find("/none") is None


def test_who_sends_from_an_address(views: Views) -> None:
    machine = make(Scope(), "Microsoft.Compute/virtualMachines", "vm1").key
    owners = view_of(views, "hub").owners
    assert owners == dict.fromkeys(("10.0.1.4", "10.0.1.5", "10.0.1.6"), machine)


def test_public_names_are_those_of_labels_and_of_the_resource_manager(intent: Intent) -> None:
    found = {name: [str(each) for each in addresses] for name, addresses in public_names(intent).items()}
    assert found == {
        "shop.local.cloudapp.azure.com": ["192.0.2.1", "2001:db8:192:2::1"],
        "management.azure.com": ["198.51.100.254"],
    }
