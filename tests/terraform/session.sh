#!/bin/sh
# The real terraform against the fabric: makes, finds nothing to change, changes, mends what others changed, destroys.
# Runs inside `podvnet sandbox`; `scripts/test terraform` builds the provider and calls this. Every step must succeed.
#
# A plan compares each member that the configuration has with what the fabric answers: no changes means that all of
# them are read as they were written.
set -eu
command -v terraform >/dev/null || { echo "terraform is not on PATH; install it" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
work=${PODVNET_STATE:?run me inside podvnet sandbox}/terraform
mkdir "$work" "$work/page"
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1 TF_CLI_ARGS=-no-color TF_CLI_CONFIG_FILE="$work/terraformrc"

printf 'resources: []\n' >/run/empty.yaml
podvnet up /run/empty.yaml >/dev/null
podvnet env --for azapi >"$work/provider.tf"
cp "$here/main.tf" "$work"
cd "$work"

# Where terraform would look for the provider is a folder here, under the registry's name, which terraform tells itself.
: >terraformrc
registry=$(terraform providers | sed -n 's|.*provider\[\([^/]*\)/azure/azapi\].*|\1|p' | head -n 1)
version=${AZAPI_VERSION:?the version of the provider}
place=mirror/${registry:?terraform does not tell where it looks for azapi}/azure/azapi/$version/${AZAPI_PLATFORM:?such as linux_amd64}
mkdir -p "$place"
ln -s "${AZAPI:?the provider}" "$place/terraform-provider-azapi_v$version"
cat >terraformrc <<END
provider_installation {
  filesystem_mirror {
    path = "$work/mirror"
  }
}
END

echo "== the page docs/clients/terraform.md, executed"
blocks() { awk -v start="\`\`\`$1" '$0 == start { on = 1; next } $0 == "```" { on = 0 } on' "$here/../../docs/clients/terraform.md"; }
blocks hcl >page/main.tf
blocks sh >page/page.sh
(cd page && sh -eux page.sh)

echo "== a web tier"
SSL_CERT_FILE=$PODVNET_STATE/fabric/identity/ca.pem
TF_VAR_subscription=$(sed -n 's/.*subscription_id *= "\(.*\)"/\1/p' provider.tf)
export SSL_CERT_FILE TF_VAR_subscription

answers() { # answers CODE COMMAND...: terraform must exit with CODE
    wanted=$1
    shift
    printf '\n$ terraform %s\n' "$*"
    code=0
    terraform "$@" || code=$?
    [ "$code" -eq "$wanted" ] || { echo "terraform exited with $code, not $wanted" >&2; exit 1; }
}

nothing=0 changes=2 # what -detailed-exitcode says of a plan

answers 0 init -input=false
answers 0 apply -input=false -auto-approve
answers $nothing plan -input=false -detailed-exitcode
answers $changes plan -input=false -detailed-exitcode -var changed=true
answers 0 apply -input=false -auto-approve -var changed=true
answers $nothing plan -input=false -detailed-exitcode -var changed=true

# Somebody else writes to the same network: a plan must see it, and an apply mend it.
podvnet env --for python >"$work/other.py"
cat >>"$work/other.py" <<END

table = network.route_tables.get("shop", "out")
table.routes[0].next_hop_ip_address = "10.70.1.10"
network.route_tables.begin_create_or_update("shop", "out", table).result()
END
python "$work/other.py"
answers $changes plan -input=false -detailed-exitcode -var changed=true
answers 0 apply -input=false -auto-approve -var changed=true
answers $nothing plan -input=false -detailed-exitcode -var changed=true

answers 0 output
answers 0 destroy -input=false -auto-approve -var changed=true
left=$(podvnet status --json | python -c 'import json, sys; print(json.load(sys.stdin)["resources"])')
[ "$left" = "[]" ] || { echo "destroy left $left" >&2; exit 1; }
podvnet down >/dev/null
echo "terraform: all commands succeeded"
