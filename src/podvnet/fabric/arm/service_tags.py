"""Service tags: names of address ranges, used where an address is expected.

Source: Azure document "Virtual network service tags", the table of available tags: which there are, and which take a
region (``Storage.WestEurope``).
"""

from __future__ import annotations

import re

_REGIONAL = {
    "AppConfiguration", "AppService", "AzureArcInfrastructure", "AzureBackup", "AzureCloud", "AzureConnectors",
    "AzureContainerRegistry", "AzureCosmosDB", "AzureDatabricks", "AzureDataLake", "AzureDevOps", "AzureDigitalTwins",
    "AzureEventGrid", "AzureIoTHub", "AzureKeyVault", "AzureMachineLearning", "AzureMonitor", "AzureSignalR",
    "AzureSiteRecovery", "AzureSpringCloud", "AzureWebPubSub", "CognitiveServicesManagement", "DataFactory",
    "EventHub", "GatewayManager", "HDInsight", "LogicApps", "MicrosoftContainerRegistry", "PowerPlatformInfra",
    "PowerPlatformPlex", "PowerQueryOnline", "ServiceBus", "ServiceFabric", "Sql", "SqlManagement", "Storage",
    "StorageSyncService", "WindowsVirtualDesktop",
}  # fmt: skip
_GLOBAL = {
    "ActionGroup", "ApiManagement", "ApplicationInsightsAvailability", "AppServiceManagement",
    "AutonomousDevelopmentPlatform",
    "AzureActiveDirectory", "AzureActiveDirectoryDomainServices", "AzureAdvancedThreatProtection",
    "AzureAttestation", "AzureBotService", "AzureCognitiveSearch", "AzureDataExplorerManagement",
    "AzureFrontDoor.Backend",
    "AzureFrontDoor.FirstParty", "AzureFrontDoor.Frontend", "AzureFrontDoor.MicrosoftSecurity",
    "AzureHealthcareAPIs", "AzureInformationProtection", "AzureLoadBalancer", "AzureLoadTestingInstanceManagement",
    "AzureManagedGrafana", "AzureOpenDatasets", "AzurePlatformDNS", "AzurePlatformIMDS", "AzurePlatformLKM",
    "AzurePortal", "AzurePrivateLink", "AzureResourceManager", "AzureSecurityCenter", "AzureSentinel", "AzureStack",
    "AzureTrafficManager", "AzureUpdateDelivery", "AzureVideoAnalyzerForMedia", "AzureVirtualDesktop",
    "BatchNodeManagement",
    "ChaosStudio", "CognitiveServicesFrontend", "DataFactoryManagement", "Dynamics365BusinessCentral",
    "Dynamics365ForMarketingEmail", "GenevaActions", "GuestAndHybridManagement", "Internet", "KustoAnalytics",
    "M365ManagementActivityApi", "M365ManagementActivityApiWebhook", "Marketplace", "MicrosoftAzureFluidRelay",
    "MicrosoftCloudAppSecurity", "MicrosoftDefenderForEndpoint", "MicrosoftPurviewPolicyDistribution", "OneDsCollector",
    "PowerBI", "Scuba", "SecurityCopilot", "SerialConsole", "TrafficManagerProbes", "VideoIndexer", "VirtualNetwork",
    "WindowsAdminCenter",
}  # fmt: skip
_SPELT = {name.lower(): name for name in _REGIONAL | _GLOBAL}
_REGIONAL_LOWERED = {name.lower() for name in _REGIONAL} | {"batchnodemanagement"}
_REGION = re.compile(r"[A-Za-z][A-Za-z0-9]{2,30}")

PLATFORM_TAGS = ("AzurePlatformDNS", "AzurePlatformIMDS", "AzurePlatformLKM")
"""Tags of what the platform serves without asking security rules: there are to deny it, outbound only."""


def service_tag(text: str) -> str | None:
    """The tag as Azure spells it, its region as it was written; None when it is no tag."""
    if text.lower() in _SPELT:
        return _SPELT[text.lower()]
    name, _, region = text.rpartition(".")
    if name.lower() in _REGIONAL_LOWERED and _REGION.fullmatch(region):
        return f"{_SPELT[name.lower()]}.{region}"
    return None
