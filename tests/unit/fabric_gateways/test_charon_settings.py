"""What charon is told of the ends of tunnels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podvnet.fabric.gateways import charon_settings
from podvnet.fabric.gateways.proposals import DEFAULT_ESP, DEFAULT_IKE, esp_proposals, ike_proposals
from podvnet.model.gateway import IpsecPolicy
from podvnet.model.intent import Intent
from podvnet.plan.tunnel_ends import TunnelEnd, tunnel_ends
from podvnet.testing.gateway_file import KEY

POLICY = IpsecPolicy("GCMAES256", "GCMAES256", "AES256", "SHA384", "ECP384", "PFS14", 3600, 2048)


@pytest.fixture
def ends(intent: Intent) -> tuple[TunnelEnd, ...]:
    return tunnel_ends(intent)


@pytest.mark.parametrize(
    ("changes", "ike", "esp"),
    [
        ({}, "aes256-sha384-ecp384", "aes256gcm16-modp2048"),
        ({"ipsec_encryption": "AES192", "ipsec_integrity": "SHA256"}, "aes256-sha384-ecp384", "aes192-sha256-modp2048"),
        ({"ike_encryption": "GCMAES128", "ike_integrity": "SHA256"}, "aes128gcm16-prfsha256-ecp384", None),
        ({"dh_group": "DHGroup24", "pfs_group": "None"}, "aes256-sha384-modp2048s256", "aes256gcm16"),
        ({"dh_group": "DHGroup14", "pfs_group": "PFSMM"}, "aes256-sha384-modp2048", "aes256gcm16-modp2048"),
        ({"dh_group": "DHGroup2", "pfs_group": "PFS24"}, "aes256-sha384-modp1024", "aes256gcm16-modp2048s256"),
        ({"ipsec_encryption": "None", "ipsec_integrity": "SHA1", "pfs_group": "None"}, None, "null-sha1"),
        ({"ipsec_encryption": "DES3", "ipsec_integrity": "MD5", "pfs_group": "PFS1"}, None, "3des-md5-modp768"),
    ],
)
def test_policies_are_put_in_strongswan_s_words(changes: dict[str, str], ike: str | None, esp: str | None) -> None:
    policy = replace(POLICY, **changes)  # type: ignore[arg-type]
    assert ike is None or ike_proposals(policy) == (ike,)
    assert esp is None or esp_proposals(policy) == (esp,)


def test_without_a_policy_azure_s_defaults_are_offered() -> None:
    assert ike_proposals(None) == DEFAULT_IKE
    assert "aes256-sha1-modp1024" in DEFAULT_IKE
    assert esp_proposals(None) == DEFAULT_ESP


def test_both_ends_are_told_of_one_another(ends: tuple[TunnelEnd, ...]) -> None:
    gateway, site = ends
    assert (gateway.local, gateway.remote) == (site.remote, site.local)
    assert gateway.shared_key == site.shared_key == KEY
    assert gateway.speaker is not None
    assert site.speaker is not None
    told = charon_settings.connection(gateway)["tunnel"]
    assert isinstance(told, dict)
    assert told["local_addrs"] == [str(site.remote)]
    assert told["remote-1"] == {"auth": "psk", "id": str(site.local)}


def test_the_key_is_in_no_file_and_no_representation(ends: tuple[TunnelEnd, ...]) -> None:
    for end in ends:
        assert KEY not in charon_settings.settings(end) + charon_settings.updown() + repr(end)
        assert KEY not in str(charon_settings.connection(end))
        assert charon_settings.key(end)["data"] == KEY


@pytest.mark.parametrize("timeout", [9, 45, 3600])
def test_a_silent_end_is_taken_for_dead_in_the_time_that_the_connection_says(
    ends: tuple[TunnelEnd, ...], timeout: int
) -> None:
    end = replace(ends[0], dpd_timeout=timeout)
    lines = dict(line.strip().split(" = ") for line in charon_settings.settings(end).splitlines() if " = " in line)
    waits = float(lines["retransmit_timeout"]) * (int(lines["retransmit_tries"]) + 1)
    assert charon_settings.dpd_delay(end) + waits == pytest.approx(timeout, abs=0.1)


def test_who_only_responds_does_not_call(ends: tuple[TunnelEnd, ...]) -> None:
    told = charon_settings.connection(replace(ends[0], initiates=False))["tunnel"]
    assert isinstance(told, dict)
    assert "'dpd_action': 'clear'" in str(told)
    assert "'dpd_action': 'restart'" in str(charon_settings.connection(ends[0]))
