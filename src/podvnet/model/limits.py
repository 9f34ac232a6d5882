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

FLOW_TIMEOUT = 240
"""Seconds after which an idle flow is forgotten, unless the virtual network says otherwise."""

NAME_LENGTH = 80
"""Characters of a resource name at most."""

RULES_PER_SECURITY_GROUP = 1_000
ADDRESSES_PER_SECURITY_GROUP_SIDE = 4_000
APPLICATION_GROUPS_PER_SECURITY_GROUP = 100
APPLICATION_GROUPS_PER_RULE_SIDE = 10
APPLICATION_GROUPS_PER_IP_CONFIGURATION = 20
IP_CONFIGURATIONS_PER_APPLICATION_GROUP = 4_000

ROUTES_PER_TABLE = 400
TAG_ROUTES_PER_TABLE = 25

PEERINGS_PER_VIRTUAL_NETWORK = 500

ADDRESSES_PER_NAT_GATEWAY = 16

FRONTENDS_PER_LOAD_BALANCER = 600
RULES_PER_LOAD_BALANCER = 1_500
OUTBOUND_RULES_PER_LOAD_BALANCER = 600
MEMBERS_PER_BACKEND_POOL = 5_000
LOAD_BALANCER_RULES_PER_NIC = 300

ADDRESSES_PER_BLOCK = 16
"""Private addresses of an ip-configuration that is a block (a prefix of length 28)."""
BLOCK_LENGTH = 28
"""The one prefix length of a block."""

VIRTUAL_NETWORKS_PER_REGION = 1_000
NICS_PER_REGION = 65_536
SECURITY_GROUPS_PER_REGION = 5_000
APPLICATION_GROUPS_PER_REGION = 3_000
ROUTE_TABLES_PER_REGION = 200
LOAD_BALANCERS_PER_REGION = 1_000
PUBLIC_ADDRESSES_PER_REGION = 1_000
"""Of an Enterprise Agreement; other offers have fewer. So with NAT gateways."""
NAT_GATEWAYS_PER_REGION = 1_000
VIRTUAL_MACHINES_PER_REGION = 25_000

PRIVATE_ENDPOINTS_PER_VIRTUAL_NETWORK = 1_000
ZONE_GROUPS_PER_PRIVATE_ENDPOINT = 1
ZONES_PER_ZONE_GROUP = 5
"""Source: Azure document "Azure Private Endpoint DNS integration", "Private DNS zone group". So with the one before."""

PRIVATE_ZONES_PER_SUBSCRIPTION = 1_000
RECORD_SETS_PER_ZONE = 25_000
RECORDS_PER_SET = 20
LINKS_PER_ZONE = 1_000
REGISTRATION_LINKS_PER_ZONE = 100
DNS_SERVERS_PER_VIRTUAL_NETWORK = 20
DNS_QUERIES_PER_SECOND = 1_000
"""Of one VM, its pods included, to the platform's resolver; and so the largest burst."""
DNS_QUERIES_PENDING = 200
"""Of one VM, that the platform's resolver still works at."""
