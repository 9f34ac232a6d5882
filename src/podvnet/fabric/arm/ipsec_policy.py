"""The IPsec policies of connections: all of a policy's members or none of them.

Source: Azure document "About cryptographic requirements and Azure VPN gateways".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podvnet.fabric.arm.fields import Fields
from podvnet.model.gateway import IpsecPolicy

ALGORITHMS = {
    "ipsecEncryption": (
        "None", "DES", "DES3", "AES128", "AES192", "AES256", "GCMAES128", "GCMAES192", "GCMAES256",
    ),
    "ipsecIntegrity": ("MD5", "SHA1", "SHA256", "GCMAES128", "GCMAES192", "GCMAES256"),
    "ikeEncryption": ("DES", "DES3", "AES128", "AES192", "AES256", "GCMAES256", "GCMAES128"),
    "ikeIntegrity": ("MD5", "SHA1", "SHA256", "SHA384", "GCMAES256", "GCMAES128"),
    "dhGroup": ("None", "DHGroup1", "DHGroup2", "DHGroup14", "DHGroup2048", "ECP256", "ECP384", "DHGroup24"),
    "pfsGroup": ("None", "PFS1", "PFS2", "PFS2048", "ECP256", "ECP384", "PFS24", "PFS14", "PFSMM"),
}  # fmt: skip
LIFETIME = (300, 172_799)
"""Seconds."""
DATA_SIZE = (1024, 2_147_483_647)
"""Kilobytes."""
_COMBINED = "GCM"
_LIMITS = {"saLifeTimeSeconds": LIFETIME, "saDataSizeKilobytes": DATA_SIZE}


def read_policy(fields: Fields) -> dict[str, Any]:
    """A policy, settled.

    Raises:
        ArmError: a member is missing or not one of those that there are, or two do not go together.
    """
    missing = next((key for key in (*_LIMITS, *ALGORITHMS) if not fields.has(key)), "")
    if missing:
        what = "is required: a policy has all of its members or there is none"
        raise fields.error("InvalidRequestFormat", what, missing)
    found: dict[str, Any] = {key: fields.number(key, 0, *limits) for key, limits in _LIMITS.items()}
    found |= {key: fields.choice(key, "", *accepted) for key, accepted in ALGORITHMS.items()}
    fields.refuse_unread()
    for phase in ("ipsec", "ike"):
        _check_pair(fields, f"{phase}Encryption", f"{phase}Integrity", found, both=phase == "ipsec")
    if found["dhGroup"] == "None":
        what = "there is no key exchange without a group: this fabric does not carry out 'None'"
        raise fields.error("UnsupportedProperty", what, "dhGroup")
    return found


def policy_of(settled: Mapping[str, Any]) -> IpsecPolicy:
    """A settled policy as the compilers see it."""
    return IpsecPolicy(
        ipsec_encryption=settled["ipsecEncryption"],
        ipsec_integrity=settled["ipsecIntegrity"],
        ike_encryption=settled["ikeEncryption"],
        ike_integrity=settled["ikeIntegrity"],
        dh_group=settled["dhGroup"],
        pfs_group=settled["pfsGroup"],
        lifetime=settled["saLifeTimeSeconds"],
        data_size=settled["saDataSizeKilobytes"],
    )


def _check_pair(fields: Fields, encryption: str, integrity: str, found: Mapping[str, Any], *, both: bool) -> None:
    """GCM is encryption and integrity in one: of IPsec both must say so, of IKE the integrity is the hash beside it."""
    one, other = found[encryption], found[integrity]
    combined = one.startswith(_COMBINED)
    if both and (combined or other.startswith(_COMBINED)) and one != other:
        what = f"must be {one} as {encryption} is" if combined else f"{other} goes with {encryption} {other} only"
        raise fields.error("InvalidRequestFormat", what, integrity)
    if not both and other.startswith(_COMBINED) and one != other:
        raise fields.error("InvalidRequestFormat", f"{other} goes with {encryption} {other} only", integrity)
