"""What a tunnel's end offers: Azure's names of algorithms in strongSwan's words.

Sources: Azure documents "About VPN devices and IPsec/IKE parameters" (default offers) and "About cryptographic
requirements and Azure VPN gateways" (custom policies); strongSwan document "Cipher suites".
"""

from __future__ import annotations

from podvnet.model.gateway import IpsecPolicy

IKE_LIFETIME, CHILD_LIFETIME, CHILD_KILOBYTES = 28_800, 27_000, 102_400_000
"""Seconds, seconds, kilobytes, of connections that have no policy."""

_ENCRYPTION = {
    "DES": "des",
    "DES3": "3des",
    "AES128": "aes128",
    "AES192": "aes192",
    "AES256": "aes256",
    "GCMAES128": "aes128gcm16",
    "GCMAES192": "aes192gcm16",
    "GCMAES256": "aes256gcm16",
    "None": "null",
}
_INTEGRITY = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA384": "sha384"}
_GROUPS = {
    "1": "modp768",
    "2": "modp1024",
    "14": "modp2048",
    "2048": "modp2048",
    "24": "modp2048s256",
    "ECP256": "ecp256",
    "ECP384": "ecp384",
}
DEFAULT_IKE = tuple(
    f"{cipher}-{hash_}-modp1024" for cipher in ("aes256", "aes128", "3des") for hash_ in ("sha256", "sha1")
)
DEFAULT_ESP = ("aes256gcm16", "aes256-sha256", "aes256-sha1", "aes128-sha256", "aes128-sha1", "3des-sha1")


def ike_proposals(policy: IpsecPolicy | None) -> tuple[str, ...]:
    """What is offered for the connection's own talk, the best first."""
    if policy is None:
        return DEFAULT_IKE
    cipher, check = _ENCRYPTION[policy.ike_encryption], _plain(policy.ike_integrity)
    group = _group(policy.dh_group, "DHGroup") or "modp1024"
    # A cipher that checks by itself takes the check's hash for making keys.
    return (f"{cipher}-prf{check}-{group}" if "gcm" in cipher else f"{cipher}-{check}-{group}",)


def esp_proposals(policy: IpsecPolicy | None) -> tuple[str, ...]:
    """What is offered for packets, the best first."""
    if policy is None:
        return DEFAULT_ESP
    cipher = _ENCRYPTION[policy.ipsec_encryption]
    parts = [cipher] if "gcm" in cipher else [cipher, _plain(policy.ipsec_integrity)]
    # With PFSMM the group is that of the connection's own talk.
    group = _group(policy.dh_group, "DHGroup") if policy.pfs_group == "PFSMM" else _group(policy.pfs_group, "PFS")
    return ("-".join([*parts, *([group] if group else [])]),)


def _plain(integrity: str) -> str:
    """The hash of an integrity algorithm; those of GCM name no hash of their own."""
    return _INTEGRITY.get(integrity, "sha256")


def _group(name: str, prefix: str) -> str:
    return _GROUPS.get(name.removeprefix(prefix), "")
