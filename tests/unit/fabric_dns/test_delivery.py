from __future__ import annotations

import pytest

from podvnet.fabric.dns.delivery import PLACEHOLDER_SUFFIX, resolver_file
from podvnet.model.intent import Intent
from podvnet.model.resource_id import Scope, make


@pytest.mark.parametrize(
    ("machine", "suffix", "servers"),
    [
        ("vm1", "{hub}", ["168.63.129.16"]),
        ("vm2", PLACEHOLDER_SUFFIX, ["10.1.1.53", "10.1.1.54"]),
        ("vm3", "{spoke}", ["168.63.129.16"]),
        ("vm4_", PLACEHOLDER_SUFFIX, ["10.1.1.99"]),
    ],
    ids=["the platform's", "the network's", "the platform's in spite of the network's", "the NIC's own"],
)
def test_what_a_vm_is_told(intent: Intent, machine: str, suffix: str, servers: list[str]) -> None:
    suffixes = {each.id.name: each.domain_suffix for each in intent.virtual_networks.values()}
    found = intent.machines[make(Scope(), "Microsoft.Compute/virtualMachines", machine).key]
    lines = [f"search {suffix.format_map(suffixes)}", *(f"nameserver {each}" for each in servers)]
    assert resolver_file(intent, found).splitlines() == lines
