#!/bin/sh
# The real az against the fabric: creates, shows, lists, updates and deletes each type, and deploys two templates.
# And the page of az, as it stands. Runs inside `podvnet sandbox`; `scripts/test az` installs az into .cache/az and calls
# this. Every command must succeed, and print what is expected.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export AZURE_CONFIG_DIR="${PODVNET_STATE:?run me inside podvnet sandbox}/az" AZURE_CORE_COLLECT_TELEMETRY=0
export AZURE_CORE_ONLY_SHOW_ERRORS=1 AZURE_CORE_OUTPUT=tsv

expect() { # expect WANTED COMMAND...: what az prints must be WANTED
    wanted=$1
    shift
    printf '\n$ az %s\n' "$*"
    started=$(date +%s%3N)
    code=0
    got=$(az "$@") || code=$?
    [ -z "$got" ] || printf '%s\n' "$got"
    took=$(($(date +%s%3N) - started))
    printf '[exit %d, %d.%03d s]\n' "$code" $((took / 1000)) $((took % 1000))
    [ "$code" -eq 0 ] || exit 1
    [ "$got" = "$wanted" ] || { echo "expected: $wanted" >&2; exit 1; }
}
gone() { expect "" "$@"; }

printf 'resources: []\n' >/run/empty.yaml
podvnet up /run/empty.yaml >/dev/null

echo "== the page docs/clients/az.md, executed"
mkdir "$PODVNET_STATE/page"
awk '$0 == "```sh" { on = 1; next } $0 == "```" { on = 0 } on' "$here/../../docs/clients/az.md" >"$PODVNET_STATE/page/page.sh"
(cd "$PODVNET_STATE/page" && HOME=$PWD && export HOME && unset AZURE_CONFIG_DIR && sh -eux page.sh)

echo "== each type"
podvnet env --for az >/run/login
# The lines that a person pastes; az is to use the folder above.
grep -v '^export' /run/login >/run/login.sh
REQUESTS_CA_BUNDLE=$PODVNET_STATE/fabric/identity/ca.pem
export REQUESTS_CA_BUNDLE
sh -eu /run/login.sh

expect shop group create -n shop -l local --query name
expect true group exists -n shop

# Virtual networks and subnets.
expect hub network vnet create -g shop -n hub --address-prefixes 10.50.0.0/16 --subnet-name front --subnet-prefixes 10.50.1.0/24 --query newVNet.name
expect false network vnet subnet show -g shop --vnet-name hub -n front --query defaultOutboundAccess
expect spoke-net network vnet create -g shop -n spoke-net --address-prefixes 10.51.0.0/16 --query newVNet.name
expect 10.50.0.0/16 network vnet show -g shop -n hub --query 'addressSpace.addressPrefixes[0]'
expect "hub
spoke-net" network vnet list -g shop --query '[].name'
expect me network vnet update -g shop -n hub --set tags.owner=me --query tags.owner
expect 2 network vnet update -g shop -n hub --address-prefixes 10.50.0.0/16 10.52.0.0/16 --query 'length(addressSpace.addressPrefixes)'
expect 10.50.2.0/24 network vnet subnet create -g shop --vnet-name hub -n back --address-prefixes 10.50.2.0/24 --query addressPrefix
expect 10.50.2.0/24 network vnet subnet show -g shop --vnet-name hub -n back --query addressPrefix
expect "front
back" network vnet subnet list -g shop --vnet-name hub --query '[].name'
expect 10.50.3.0/24 network vnet subnet update -g shop --vnet-name hub -n back --address-prefixes 10.50.3.0/24 --query addressPrefix
gone network vnet subnet delete -g shop --vnet-name hub -n back
expect front network vnet subnet list -g shop --vnet-name hub --query '[].name'

# Peerings.
expect Initiated network vnet peering create -g shop -n a --vnet-name hub --remote-vnet spoke-net --allow-vnet-access --query peeringState
expect Connected network vnet peering create -g shop -n b --vnet-name spoke-net --remote-vnet hub --allow-vnet-access --query peeringState
expect Connected network vnet peering show -g shop -n a --vnet-name hub --query peeringState
expect a network vnet peering list -g shop --vnet-name hub --query '[].name'
expect true network vnet peering update -g shop -n a --vnet-name hub --set allowForwardedTraffic=true --query allowForwardedTraffic
expect 10.53.0.0/16 network vnet update -g shop -n spoke-net --address-prefixes 10.53.0.0/16 --query 'addressSpace.addressPrefixes[0]'
expect LocalNotInSync network vnet peering show -g shop -n a --vnet-name hub --query peeringSyncLevel
expect FullyInSync network vnet peering sync -g shop -n a --vnet-name hub --query peeringSyncLevel
gone network vnet peering delete -g shop -n a --vnet-name hub
expect Disconnected network vnet peering show -g shop -n b --vnet-name spoke-net --query peeringState

# Security groups and rules.
expect web network nsg create -g shop -n web --query NewNSG.name
expect web network nsg list -g shop --query '[].name'
expect me network nsg update -g shop -n web --set tags.owner=me --query tags.owner
expect 443 network nsg rule create -g shop --nsg-name web -n https --priority 100 --access Allow --protocol Tcp --destination-port-ranges 443 --query destinationPortRange
expect Allow network nsg rule show -g shop --nsg-name web -n https --query access
expect https network nsg rule list -g shop --nsg-name web --query '[].name'
expect 110 network nsg rule update -g shop --nsg-name web -n https --priority 110 --query priority
expect front network vnet subnet update -g shop --vnet-name hub -n front --network-security-group web --query name
expect 1 network nsg show -g shop -n web --query 'length(subnets)'
gone network nsg rule delete -g shop --nsg-name web -n https
expect 0 network nsg show -g shop -n web --query 'length(securityRules)'

# Route tables and routes.
expect rt network route-table create -g shop -n rt --query name
expect VirtualAppliance network route-table route create -g shop --route-table-name rt -n out --address-prefix 0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address 10.50.1.9 --query nextHopType
expect 10.50.1.9 network route-table route show -g shop --route-table-name rt -n out --query nextHopIpAddress
expect out network route-table route list -g shop --route-table-name rt --query '[].name'
expect Internet network route-table route update -g shop --route-table-name rt -n out --next-hop-type Internet --remove nextHopIpAddress --query nextHopType
expect true network route-table update -g shop -n rt --disable-bgp-route-propagation true --query disableBgpRoutePropagation
expect rt network route-table list -g shop --query '[].name'
gone network route-table route delete -g shop --route-table-name rt -n out
expect 0 network route-table show -g shop -n rt --query 'length(routes)'
gone network route-table delete -g shop -n rt

# NICs and ip-configurations.
expect 10.50.1.4 network nic create -g shop -n web --vnet-name hub --subnet front --query 'NewNIC.ipConfigurations[0].privateIPAddress'
expect 10.50.1.5 network nic ip-config create -g shop --nic-name web -n pod1 --query privateIPAddress
expect 10.50.1.5 network nic ip-config show -g shop --nic-name web -n pod1 --query privateIPAddress
expect "ipconfig1
pod1" network nic ip-config list -g shop --nic-name web --query '[].name'
expect 10.50.1.77 network nic ip-config update -g shop --nic-name web -n pod1 --private-ip-address 10.50.1.77 --query privateIPAddress
expect web network nic list -g shop --query '[].name'
expect true network nic update -g shop -n web --ip-forwarding true --query enableIPForwarding
gone network nic ip-config delete -g shop --nic-name web -n pod1
expect 1 network nic show -g shop -n web --query 'length(ipConfigurations)'

# Public addresses.
expect 192.0.2.1 network public-ip create -g shop -n front --sku Standard --query publicIp.ipAddress
expect 192.0.2.1 network public-ip show -g shop -n front --query ipAddress
expect front network public-ip list -g shop --query '[].name'
expect 15 network public-ip update -g shop -n front --idle-timeout 15 --query idleTimeoutInMinutes
expect 192.0.2.2 network public-ip create -g shop -n second --sku Standard --query publicIp.ipAddress

# Load balancers and their parts.
expect fe network lb create -g shop -n lb --sku Standard --public-ip-address front --frontend-ip-name fe --backend-pool-name pool --query 'loadBalancer.frontendIPConfigurations[0].name'
expect lb network lb list -g shop --query '[].name'
expect fe2 network lb frontend-ip create -g shop --lb-name lb -n fe2 --public-ip-address second --query name
expect fe2 network lb frontend-ip show -g shop --lb-name lb -n fe2 --query name
expect "fe
fe2" network lb frontend-ip list -g shop --lb-name lb --query '[].name'
expect third network public-ip create -g shop -n third --sku Standard --query publicIp.name
expect true network lb frontend-ip update -g shop --lb-name lb -n fe2 --public-ip-address third --query "ends_with(publicIPAddress.id, '/third')"
expect spare network lb address-pool create -g shop --lb-name lb -n spare --query name
expect spare network lb address-pool show -g shop --lb-name lb -n spare --query name
expect "pool
spare" network lb address-pool list -g shop --lb-name lb --query '[].name'
expect 60 network lb address-pool update -g shop --lb-name lb -n spare --drain-period 60 --query drainPeriodInSeconds
expect 80 network lb probe create -g shop --lb-name lb -n probe --protocol tcp --port 80 --query port
expect 80 network lb probe show -g shop --lb-name lb -n probe --query port
expect probe network lb probe list -g shop --lb-name lb --query '[].name'
expect 8080 network lb probe update -g shop --lb-name lb -n probe --port 8080 --query port
expect 80 network lb rule create -g shop --lb-name lb -n http --protocol Tcp --frontend-port 80 --backend-port 8080 --frontend-ip-name fe --backend-pool-name pool --probe-name probe --query frontendPort
expect 8080 network lb rule show -g shop --lb-name lb -n http --query backendPort
expect http network lb rule list -g shop --lb-name lb --query '[].name'
expect 8081 network lb rule update -g shop --lb-name lb -n http --backend-port 8081 --query backendPort
expect 2201 network lb inbound-nat-rule create -g shop --lb-name lb -n ssh --protocol Tcp --frontend-port 2201 --backend-port 22 --frontend-ip-name fe --query frontendPort
expect 22 network lb inbound-nat-rule show -g shop --lb-name lb -n ssh --query backendPort
expect ssh network lb inbound-nat-rule list -g shop --lb-name lb --query '[].name'
expect 2222 network lb inbound-nat-rule update -g shop --lb-name lb -n ssh --frontend-port 2222 --query frontendPort
expect ipconfig1 network nic ip-config address-pool add -g shop --nic-name web --ip-config-name ipconfig1 --lb-name lb --address-pool pool --query name
expect 1 network lb show -g shop -n lb --query 'length(backendAddressPools[0].backendIPConfigurations)'
expect me network lb update -g shop -n lb --set tags.owner=me --query tags.owner
gone network lb inbound-nat-rule delete -g shop --lb-name lb -n ssh
gone network lb rule delete -g shop --lb-name lb -n http
gone network lb probe delete -g shop --lb-name lb -n probe
gone network lb address-pool delete -g shop --lb-name lb -n spare
gone network lb frontend-ip delete -g shop --lb-name lb -n fe2
gone network public-ip delete -g shop -n second
gone network public-ip delete -g shop -n third
gone network nic delete -g shop -n web
gone network lb delete -g shop -n lb
gone network public-ip delete -g shop -n front
gone network vnet peering delete -g shop -n b --vnet-name spoke-net
gone network vnet delete -g shop -n spoke-net
gone network vnet delete -g shop -n hub
gone network nsg delete -g shop -n web
expect 0 resource list -g shop --query 'length(@)'

# Templates.
expect Succeeded deployment group validate -g shop -n first --template-file "$here/template.json" --query properties.provisioningState
expect Succeeded deployment group create -g shop -n first --template-file "$here/template.json" --parameters count=2 --query properties.provisioningState
expect 10.60.1.4 deployment group show -g shop -n first --query properties.outputs.firstAddress.value
expect "vm-0
vm-1" resource list -g shop --resource-type Microsoft.Compute/virtualMachines --query '[].name'
expect Succeeded deployment group create -g shop -n web --template-file "$here/web.json" --parameters adminPassword=Not-secret-1 --query properties.provisioningState
expect "10.61.1.4
10.61.1.5" deployment group show -g shop -n web --query 'properties.outputs.addresses.value[]'
expect 192.0.2.1 deployment group show -g shop -n web --query properties.outputs.entrance.value
expect 2 network lb show -g shop -n web-lb --query 'length(backendAddressPools[0].backendIPConfigurations)'
expect "vm-0
vm-1
web-0
web-1" vm list -g shop --query '[].name'
expect Succeeded vm show -g shop -n web-0 --query provisioningState
expect 8 deployment operation group list -g shop -n web --query "length([?properties.provisioningState=='Succeeded'])"
expect "first
web" deployment group list -g shop --query "[?!starts_with(name, 'lb_deploy')].name"
gone vm show -g shop -n web-0 --query osProfile.adminPassword
gone deployment group show -g shop -n web --query properties.parameters.adminPassword.value
gone vm deallocate -g shop -n web-0
expect PowerState/deallocated vm get-instance-view -g shop -n web-0 --query "instanceView.statuses[?starts_with(code, 'PowerState')].code"
gone vm start -g shop -n web-0
expect PowerState/running vm get-instance-view -g shop -n web-0 --query "instanceView.statuses[?starts_with(code, 'PowerState')].code"
gone vm delete -g shop -n web-0 --yes
gone deployment group delete -g shop -n first
gone group delete -n shop --yes
expect false group exists -n shop
podvnet down >/dev/null
echo "az: all commands succeeded"
