# What a team would write: a network with a web tier behind a load balancer. `changed` is the second version of it.
# With `ignore_missing_property` false a member that the fabric does not answer counts as changed.

terraform {
  required_providers {
    azapi = { source = "Azure/azapi", version = "1.15.0" }
  }
}

variable "subscription" { type = string }

variable "changed" {
  type    = bool
  default = false
}

locals {
  network = "Microsoft.Network"
  version = "2024-01-01"
  front   = "${azapi_resource.hub.id}/subnets/front"
  lb_id   = "${azapi_resource.group.id}/providers/Microsoft.Network/loadBalancers/web"
}

resource "azapi_resource" "group" {
  type      = "Microsoft.Resources/resourceGroups@2021-04-01"
  parent_id = "/subscriptions/${var.subscription}"
  name      = "shop"
  location  = "local"
  tags      = { stage = var.changed ? "second" : "first" }
}

resource "azapi_resource" "nsg" {
  type                    = "${local.network}/networkSecurityGroups@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "web"
  location                = "local"
  ignore_missing_property = false

  body = {
    properties = {
      securityRules = concat([
        {
          name = "https"
          properties = {
            priority                 = 100
            direction                = "Inbound"
            access                   = "Allow"
            protocol                 = "Tcp"
            sourceAddressPrefix      = "Internet"
            sourcePortRange          = "*"
            destinationAddressPrefix = "*"
            destinationPortRange     = "443"
          }
        }
        ], var.changed ? [
        {
          name = "operators"
          properties = {
            priority                 = 200
            direction                = "Inbound"
            access                   = "Allow"
            protocol                 = "*"
            sourceAddressPrefixes    = ["10.9.0.0/24", "10.9.1.0/24"]
            sourcePortRange          = "*"
            destinationAddressPrefix = "*"
            destinationPortRanges    = ["22", "8000-8080"]
          }
        }
      ] : [])
    }
  }
}

resource "azapi_resource" "routes" {
  type                    = "${local.network}/routeTables@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "out"
  location                = "local"
  ignore_missing_property = false

  body = {
    properties = {
      disableBgpRoutePropagation = true
      routes = [
        {
          name       = "default"
          properties = { addressPrefix = "0.0.0.0/0", nextHopType = "VirtualAppliance", nextHopIpAddress = "10.70.1.9" }
        }
      ]
    }
  }
}

resource "azapi_resource" "hub" {
  type                    = "${local.network}/virtualNetworks@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "hub"
  location                = "local"
  tags                    = { owner = "Me" }
  ignore_missing_property = false

  body = {
    properties = {
      addressSpace = { addressPrefixes = var.changed ? ["10.70.0.0/16", "10.71.0.0/16"] : ["10.70.0.0/16"] }
      subnets = [
        {
          name = "front"
          properties = {
            addressPrefix        = "10.70.1.0/24"
            networkSecurityGroup = { id = azapi_resource.nsg.id }
            routeTable           = { id = azapi_resource.routes.id }
          }
        },
        {
          name       = "back"
          properties = { addressPrefix = "10.70.2.0/24" }
        }
      ]
    }
  }
}

# Subnets that are resources of their own, made at the same time in one network.
resource "azapi_resource" "spoke" {
  type                    = "${local.network}/virtualNetworks@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "spoke"
  location                = "local"
  ignore_missing_property = false

  body = { properties = { addressSpace = { addressPrefixes = ["10.80.0.0/16"] } } }
}

resource "azapi_resource" "subnet" {
  for_each                = toset(var.changed ? ["1", "2", "3", "4"] : ["1", "2", "3"])
  type                    = "${local.network}/virtualNetworks/subnets@${local.version}"
  parent_id               = azapi_resource.spoke.id
  name                    = "apps${each.key}"
  ignore_missing_property = false

  body = {
    properties = {
      addressPrefix        = "10.80.${each.key}.0/24"
      networkSecurityGroup = { id = azapi_resource.nsg.id }
    }
  }
}

resource "azapi_resource" "peering" {
  for_each = {
    hub   = { from = azapi_resource.hub.id, to = azapi_resource.spoke.id }
    spoke = { from = azapi_resource.spoke.id, to = azapi_resource.hub.id }
  }
  type                    = "${local.network}/virtualNetworks/virtualNetworkPeerings@${local.version}"
  parent_id               = each.value.from
  name                    = "from-${each.key}"
  ignore_missing_property = false

  body = {
    properties = {
      remoteVirtualNetwork      = { id = each.value.to }
      allowVirtualNetworkAccess = true
      allowForwardedTraffic     = true
    }
  }
  depends_on = [azapi_resource.subnet]
}

resource "azapi_resource" "address" {
  type                    = "${local.network}/publicIPAddresses@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "web"
  location                = "local"
  ignore_missing_property = false

  body = {
    sku        = { name = "Standard", tier = "Regional" }
    properties = { publicIPAllocationMethod = "Static", publicIPAddressVersion = "IPv4", idleTimeoutInMinutes = 10 }
  }
  response_export_values = ["properties.ipAddress"]
}

resource "azapi_resource" "balancer" {
  type                    = "${local.network}/loadBalancers@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "web"
  location                = "local"
  ignore_missing_property = false

  body = {
    sku = { name = "Standard" }
    properties = {
      frontendIPConfigurations = [
        { name = "fe", properties = { publicIPAddress = { id = azapi_resource.address.id } } }
      ]
      backendAddressPools = [{ name = "pool" }]
      probes = [
        {
          name       = "alive"
          properties = { protocol = "Tcp", port = var.changed ? 8443 : 443, intervalInSeconds = 5, numberOfProbes = 2 }
        }
      ]
      loadBalancingRules = [
        {
          name = "https"
          properties = {
            frontendIPConfiguration = { id = "${local.lb_id}/frontendIPConfigurations/fe" }
            backendAddressPool      = { id = "${local.lb_id}/backendAddressPools/pool" }
            probe                   = { id = "${local.lb_id}/probes/alive" }
            protocol                = "Tcp"
            frontendPort            = 443
            backendPort             = 443
            disableOutboundSnat     = true
            loadDistribution        = "SourceIP"
          }
        }
      ]
    }
  }
}

resource "azapi_resource" "nic" {
  count                   = var.changed ? 3 : 2
  type                    = "${local.network}/networkInterfaces@${local.version}"
  parent_id               = azapi_resource.group.id
  name                    = "web-${count.index}"
  location                = "local"
  ignore_missing_property = false

  body = {
    properties = {
      ipConfigurations = concat([
        {
          name = "primary"
          properties = {
            primary                         = true
            subnet                          = { id = local.front }
            privateIPAllocationMethod       = "Static"
            privateIPAddress                = "10.70.1.${count.index + 20}"
            loadBalancerBackendAddressPools = [{ id = "${azapi_resource.balancer.id}/backendAddressPools/pool" }]
          }
        }
        ], var.changed ? [
        {
          name       = "pod"
          properties = { primary = false, subnet = { id = local.front }, privateIPAllocationMethod = "Dynamic" }
        }
      ] : [])
    }
  }
}

resource "azapi_resource" "machine" {
  type                    = "Microsoft.Compute/virtualMachines@2024-03-01"
  parent_id               = azapi_resource.group.id
  name                    = "web-0"
  location                = "local"
  ignore_missing_property = false

  body = {
    properties = {
      networkProfile = { networkInterfaces = [{ id = azapi_resource.nic[0].id, properties = { primary = true } }] }
    }
  }
}

output "address" {
  value = azapi_resource.address.output.properties.ipAddress
}
