"""A fabric that finds rules of another version writes its own, and the security groups with them."""

from __future__ import annotations

from pathlib import Path

from podvnet.linux import namespace, ruleset
from podvnet.testing.lab import podvnet
from podvnet.testing.rule import deny
from podvnet.testing.stage import stage
from podvnet.testing.traffic import PASSES, TCP

PORT = 7001


def test_security_groups_are_there_again_with_the_new_rules() -> None:
    with stage(Path(__file__).with_name("security-groups.yaml")) as net:
        resources = net.declared
        resources["networkSecurityGroups/b-nic"]["properties"] = {
            "securityRules": [deny("no", 100, "Inbound", ports=str(PORT))]
        }
        net.apply(resources)
        assert net.outcome("a", "b", TCP, PORT) == "b-nic no"
        with namespace.entered(net.lab.network()):
            listed = ruleset.run("list counters table inet podvnet")
            marker = next(word for word in listed.split() if word.startswith("text_"))
            ruleset.run(f"delete counter inet podvnet {marker}\nadd chain inet podvnet nsg-of-another-version\n")
        podvnet("vm", "reboot", "a2")  # the fabric looks at the whole kernel again
        assert net.outcome("a", "b", TCP, PORT) == "b-nic no"
        assert net.outcome("a", "b", TCP, PORT + 1) == PASSES
