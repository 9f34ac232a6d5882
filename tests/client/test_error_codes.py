"""That no error code of Azure is forgotten: each is got through the SDK by a row of a table, or cannot be had here."""

from __future__ import annotations

import runpy
from pathlib import Path

TABLES = sorted(Path(__file__).parent.glob("test_error_codes_*.py"))

CODES = """
AuthenticationFailed AuthenticationFailedMissingToken InvalidAuthenticationToken ExpiredAuthenticationToken
InvalidAuthenticationTokenTenant InvalidAuthenticationTokenAudience AuthorizationFailed LinkedAuthorizationFailed
RequestDisallowedByPolicy ScopeLocked InvalidSubscriptionId SubscriptionNotFound ResourceGroupNotFound ResourceNotFound
NotFound ParentResourceNotFound InvalidResourceType InvalidResourceNamespace NoRegisteredProviderFound
InvalidApiVersionParameter MissingApiVersionParameter MissingSubscriptionRegistration InvalidRequestContent
InvalidRequestFormat InvalidJson LocationRequired LocationNotAvailableForResourceType InvalidResourceLocation
InvalidResourceGroupLocation ResourceGroupBeingDeleted InvalidResourceName ReservedResourceName PreconditionFailed
Conflict OperationPreempted ConflictingConcurrentWriteNotAllowed AnotherOperationInProgress RetryableError
RetryableErrorDueToAnotherOperation TooManyRequests SubscriptionRequestsThrottled
CanceledAndSupersededDueToAnotherOperation OperationNotAllowed InvalidParameter PropertyChangeNotAllowed
InvalidResourceReference ReferencedResourceNotProvisioned NetcfgSubnetRangesOverlap NetcfgInvalidSubnet
NetcfgInvalidIPAddressPrefix NetcfgInvalidVirtualNetworkSite InvalidCIDRNotation VnetAddressSpacesOverlap
VnetAddressSpaceOverlapsWithAlreadyPeeredVnet AnotherPeeringAlreadyReferencesRemoteVnet RemotePeeringIsDisconnected
RemoteVnetHasNoGateways SubnetIsFull PrivateIPAddressInUse PrivateIPAddressIsAllocated PrivateIPAddressInReservedRange
PrivateIPAddressNotInSubnet IpConfigurationsOnSameNicCannotUseDifferentSubnets SubnetsNotInSameVnet
InUseSubnetCannotBeDeleted InUseSubnetCannotBeUpdated InUsePrefixCannotBeDeleted
InUseNetworkSecurityGroupCannotBeDeleted InUseRouteTableCannotBeDeleted InUseNatGatewayCannotBeDeleted
PublicIPAddressCannotBeDeleted PublicIPAddressInUse PublicIPReferencedByMultipleIPConfigs NicInUse
NicReservedForAnotherVm CannotDeleteResource ResourceNotPermittedOnDelegatedSubnet
SubnetWithExternalResourcesCannotBeUsedByOtherResources PrivateEndpointAndServiceEndpointsCannotCoexistInASubnet
PrivateEndpointCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled OnlyOneGroupIdPermitted
CannotModifyNicAttachedToPrivateEndpoint ServiceEndpointPolicyCannotBeDeletedIfReferencedBySubnet
SecurityRuleConflict SecurityRuleInvalidPriority SecurityRuleInvalidAddressPrefix SecurityRuleInvalidPortRange
SecurityRuleInvalidAccessType NetworkSecurityGroupInUseByVirtualMachineScaleSet
LoadBalancerInUseByVirtualMachineScaleSet LoadBalancerWithoutFrontendIPCantHaveChildResources
LoadBalancerRuleCountLimitReachedForNic RulesUseSameBackendPortProtocolAndPool
RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig
RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndVmssIPConfig AnotherInternalLoadBalancerExists
VMScaleSetCannotUseMultipleLoadBalancersOfSameType MaxAvailabilitySetsInLoadBalancerReached
DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed DifferentSkuLoadBalancersAndPublicIPAddressNotAllowedInVMSS
SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts PublicIPCountLimitReached
StandardSkuPublicIPCountLimitReached VnetCountLimitReached QuotaExceeded ResourceGroupQuotaExceeded DnsRecordInUse
PublicIpForGatewayIsRequired InvalidGatewaySize GatewayConnectionMustHaveExactlyTwoEndpoints
VirtualNetworkGatewayCannotBeDeleted
GatewaySubnet ApplicationGatewaySubnetCannotBeUsedByOtherResources ServiceWithOverlayMappingsCannotBeDeleted
DeploymentNotFound InvalidTemplateDeployment DeploymentFailed InternalServerError ServerTimeout GatewayTimeout
"""
"""Sources: Azure documents "Troubleshoot common Azure deployment errors" (of the resource manager, and of Azure Load
Balancer), "Resource Manager request limits and throttling"; recorded answers of the resource manager, of gateways as
clients have reported them."""

_OTHER_TYPE = "only a type that this fabric does not have gives it"
_MEETING = "two writes must meet for it; test_concurrency.py has those"
_NO_FEATURE = "this fabric has no such thing: "
_PAST = "Azure gave it once, and now carries out what it was about: "
_SYNONYM = "the fabric gives another code for the same: "

NOT_HERE = {
    "LinkedAuthorizationFailed": _NO_FEATURE + "a role is for the whole subscription",
    "RequestDisallowedByPolicy": _NO_FEATURE + "policies",
    "ScopeLocked": _NO_FEATURE + "locks",
    "NoRegisteredProviderFound": _SYNONYM + "InvalidApiVersionParameter",
    "MissingSubscriptionRegistration": _NO_FEATURE + "every provider is registered",
    "InvalidJson": _SYNONYM + "InvalidRequestContent",
    "LocationNotAvailableForResourceType": _NO_FEATURE + "any name is a region",
    "ResourceGroupBeingDeleted": "a group is deleted in one turn; a write comes before it or after it",
    "ReservedResourceName": "names that are public endpoints only; these types have none but a domain label",
    "Conflict": _MEETING,
    "OperationPreempted": _MEETING,
    "ConflictingConcurrentWriteNotAllowed": _MEETING,
    "AnotherOperationInProgress": _MEETING,
    "RetryableError": _MEETING,
    "RetryableErrorDueToAnotherOperation": _MEETING,
    "CanceledAndSupersededDueToAnotherOperation": _MEETING,
    "TooManyRequests": _NO_FEATURE + "throttling",
    "SubscriptionRequestsThrottled": _NO_FEATURE + "throttling",
    "OperationNotAllowed": _NO_FEATURE + "quotas of cores",
    "ReferencedResourceNotProvisioned": "what is stored is provisioned: a write is carried out before it is answered",
    "PrivateIPAddressIsAllocated": _SYNONYM + "PrivateIPAddressInUse",
    "NicReservedForAnotherVm": "a VM is made with its NICs or not at all; no reservation is left behind",
    "CannotDeleteResource": "none of these types has children that are tracked resources",
    "SubnetWithExternalResourcesCannotBeUsedByOtherResources": _OTHER_TYPE,
    "PrivateEndpointAndServiceEndpointsCannotCoexistInASubnet": _PAST + "a subnet has both; so it has here",
    "PrivateEndpointCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled": _PAST + "policies hold for endpoints",
    "NetworkSecurityGroupInUseByVirtualMachineScaleSet": _OTHER_TYPE,
    "LoadBalancerInUseByVirtualMachineScaleSet": _OTHER_TYPE,
    "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndVmssIPConfig": _OTHER_TYPE,
    "VMScaleSetCannotUseMultipleLoadBalancersOfSameType": _OTHER_TYPE,
    "MaxAvailabilitySetsInLoadBalancerReached": _OTHER_TYPE,
    "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowedInVMSS": _OTHER_TYPE,
    "PublicIPCountLimitReached": "255 VMs must have default outbound access for it; the unit tests have that",
    "VnetCountLimitReached": _NO_FEATURE + "quotas of a subscription",
    "QuotaExceeded": _NO_FEATURE + "quotas of a subscription",
    "ResourceGroupQuotaExceeded": _NO_FEATURE + "quotas of a resource group",
    "ApplicationGatewaySubnetCannotBeUsedByOtherResources": _OTHER_TYPE,
    "ServiceWithOverlayMappingsCannotBeDeleted": _OTHER_TYPE,
    "InternalServerError": "a bug of the fabric's own, or the kernel's refusal",
    "ServerTimeout": "a write takes as long as it takes",
    "GatewayTimeout": "no gateway stands between",
}


def got() -> set[str]:
    """The codes that rows of the tables get."""
    return {row.code for table in TABLES for row in runpy.run_path(str(table))["ROWS"]}


def test_every_code_is_got_or_cannot_be_had() -> None:
    codes = CODES.split()
    assert len(codes) == len(set(codes))
    assert set(codes) - got() == NOT_HERE.keys()


def test_the_tables_are_found() -> None:
    assert len(TABLES) == 6
    assert all(runpy.run_path(str(table))["ROWS"] for table in TABLES)
