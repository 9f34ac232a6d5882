"""Limits of an Azure virtual network that podvnet holds itself to.

Source: Azure document "Azure networking limits" and "Container networking overview".
"""

PODS_PER_VM = 250
PODS_PER_VIRTUAL_NETWORK = 16_000
ADDRESSES_PER_NIC = 256
ADDRESSES_PER_VIRTUAL_NETWORK = 65_536
SUBNETS_PER_VIRTUAL_NETWORK = 3_000

SMALLEST_SUBNET = 29
"""Longest IPv4 prefix a subnet may have."""
LARGEST_SUBNET = 2
"""Shortest IPv4 prefix a subnet may have."""
IPV6_SUBNET = 64
"""The one prefix length of an IPv6 subnet."""

NIC_MTU = 1500
"""Bytes of an IP packet that a NIC carries by default."""

NAME_LENGTH = 80
"""Characters of a resource name at most."""
