#!/bin/sh
# The real az against the fabric: logs in, makes, shows, lists, updates and deletes, and deploys a template.
# Runs inside `podvnet sandbox`; `scripts/test az` installs az into .cache/az and calls this. Every command must succeed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export AZURE_CONFIG_DIR="${PODVNET_STATE:?run me inside podvnet sandbox}/az" AZURE_CORE_COLLECT_TELEMETRY=0
export AZURE_CORE_ONLY_SHOW_ERRORS=1 AZURE_CORE_OUTPUT=tsv

say() { printf '\n$ az %s\n' "$*"; az "$@"; }
expect() { # expect WANTED COMMAND...: what az prints must be WANTED
    wanted=$1
    shift
    printf '\n$ az %s\n' "$*"
    got=$(az "$@")
    printf '%s\n' "$got"
    [ "$got" = "$wanted" ] || { echo "expected: $wanted" >&2; exit 1; }
}

printf 'resources: []\n' >/run/empty.yaml
podvnet up /run/empty.yaml >/dev/null
podvnet env --for az >/run/login
# The four lines that a person pastes; az is to use the folder above.
grep -v '^export' /run/login >/run/login.sh
REQUESTS_CA_BUNDLE=$PODVNET_STATE/fabric/identity/ca.pem
export REQUESTS_CA_BUNDLE
sh -eu /run/login.sh

expect shop group create -n shop -l local --query name
expect true group exists -n shop
say network vnet create -g shop -n hub --address-prefixes 10.50.0.0/16 --subnet-name front --subnet-prefixes 10.50.1.0/24 --query newVNet.name
expect 10.50.2.0/24 network vnet subnet create -g shop --vnet-name hub -n back --address-prefixes 10.50.2.0/24 --query addressPrefix
expect "front
back" network vnet subnet list -g shop --vnet-name hub --query '[].name'
expect 10.50.1.4 network nic create -g shop -n web --vnet-name hub --subnet front --query 'NewNIC.ipConfigurations[0].privateIPAddress'
expect 10.50.1.5 network nic ip-config create -g shop --nic-name web -n pod1 --query privateIPAddress
expect web network nsg create -g shop -n web --query NewNSG.name
expect 443 network nsg rule create -g shop --nsg-name web -n https --priority 100 --access Allow --protocol Tcp --destination-port-ranges 443 --query destinationPortRange
say network vnet subnet update -g shop --vnet-name hub -n front --network-security-group web --query name
expect 1 network nsg show -g shop -n web --query 'length(subnets)'
expect 192.0.2.1 network public-ip create -g shop -n front --sku Standard --query publicIp.ipAddress
expect rt network route-table create -g shop -n rt --query name
expect VirtualAppliance network route-table route create -g shop --route-table-name rt -n out --address-prefix 0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address 10.50.1.9 --query nextHopType
expect fe network lb create -g shop -n lb --sku Standard --public-ip-address front --frontend-ip-name fe --backend-pool-name pool --query 'loadBalancer.frontendIPConfigurations[0].name'
expect 80 network lb probe create -g shop --lb-name lb -n probe --protocol tcp --port 80 --query port
expect 80 network lb rule create -g shop --lb-name lb -n http --protocol Tcp --frontend-port 80 --backend-port 8080 --frontend-ip-name fe --backend-pool-name pool --probe-name probe --query frontendPort
expect spoke-net network vnet create -g shop -n spoke-net --address-prefixes 10.51.0.0/16 --query newVNet.name
expect Initiated network vnet peering create -g shop -n a --vnet-name hub --remote-vnet spoke-net --allow-vnet-access --query peeringState
expect Connected network vnet peering create -g shop -n b --vnet-name spoke-net --remote-vnet hub --allow-vnet-access --query peeringState
expect Connected network vnet peering show -g shop -n a --vnet-name hub --query peeringState
expect hub network vnet update -g shop -n hub --set tags.owner=me --query name
expect me network vnet show -g shop -n hub --query tags.owner
say deployment group validate -g shop -n first --template-file "$here/template.json" --query properties.provisioningState
expect Succeeded deployment group create -g shop -n first --template-file "$here/template.json" --parameters count=2 --query properties.provisioningState
expect 10.60.1.4 deployment group show -g shop -n first --query properties.outputs.firstAddress.value
expect "vm-0
vm-1" resource list -g shop --resource-type Microsoft.Compute/virtualMachines --query '[].name'
say network vnet subnet delete -g shop --vnet-name hub -n back
say network nic delete -g shop -n web
say group delete -n shop --yes
expect false group exists -n shop
podvnet down >/dev/null
echo "az: all commands succeeded"
