"""``podvnet env``: how clients reach the fabric's resource manager."""

from __future__ import annotations

import shlex
from typing import Any

import click

from podvnet.cli import client
from podvnet.cli.fabric import json_option
from podvnet.cli.output import print_json

_FORMATS = ("shell", "az", "python", "terraform", "azapi", "curl")


@click.command()
@click.option("--for", "wanted", type=click.Choice(_FORMATS), default="shell", show_default=True)
@click.option("--name", default="podvnet-env", show_default=True, help="The name of the service principal.")
@click.option("--reader", is_flag=True, help="A principal that may read only.")
@json_option
def env(wanted: str, name: str, reader: bool, as_json: bool) -> None:
    """Print what a client needs to reach the fabric, ready to paste.

    Makes a service principal; its secret is shown here and never again.

    \b
    Examples:
      eval "$(podvnet env)"           variables that SDKs read
      podvnet env --for az            commands that log az in
      podvnet env --for terraform     a block for the provider azurerm
      podvnet env --for azapi         a block for terraform's provider azapi
    """  # noqa: D301
    role = "Reader" if reader else "Contributor"
    access = client.ask("POST", "/principals", {"name": name, "role": role}, as_json=as_json)
    if as_json:
        print_json(access)
        return
    printers = (_shell, _az, _python, _terraform, _azapi, _curl)
    click.echo(dict(zip(_FORMATS, printers, strict=True))[wanted](access))


def _shell(access: dict[str, Any]) -> str:
    variables = {
        "AZURE_TENANT_ID": access["tenant"],
        "AZURE_CLIENT_ID": access["client"],
        "AZURE_CLIENT_SECRET": access["secret"],
        "AZURE_SUBSCRIPTION_ID": access["subscription"],
        "AZURE_AUTHORITY_HOST": access["endpoint"],
        "PODVNET_ENDPOINT": access["endpoint"],
        "REQUESTS_CA_BUNDLE": access["ca"],
        "SSL_CERT_FILE": access["ca"],
    }
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _az(access: dict[str, Any]) -> str:
    here = access["endpoint"]
    return f"""export REQUESTS_CA_BUNDLE={shlex.quote(access["ca"])} AZURE_CONFIG_DIR="$HOME/.azure-podvnet"
az cloud register --name podvnet --endpoint-resource-manager {here}
az cloud set --name podvnet
az config set core.instance_discovery=false --only-show-errors
az login --service-principal --username {access["client"]} --password {access["secret"]} --tenant {access["tenant"]}"""


def _python(access: dict[str, Any]) -> str:
    return f"""from azure.identity import ClientSecretCredential
from azure.mgmt.network import NetworkManagementClient

credential = ClientSecretCredential(
    {access["tenant"]!r}, {access["client"]!r}, {access["secret"]!r},
    authority={access["endpoint"]!r}, disable_instance_discovery=True, connection_verify={access["ca"]!r},
)
subscription = {access["subscription"]!r}
options = {{
    "base_url": {access["endpoint"]!r},
    "credential_scopes": [{access["endpoint"] + "/.default"!r}],
    "connection_verify": {access["ca"]!r},
}}
network = NetworkManagementClient(credential, subscription, **options)"""


def _terraform(access: dict[str, Any]) -> str:
    host = access["endpoint"].removeprefix("https://")
    return f"""# export SSL_CERT_FILE={access["ca"]}
provider "azurerm" {{
  features {{}}
  metadata_host                   = "{host}"
  subscription_id                 = "{access["subscription"]}"
  tenant_id                       = "{access["tenant"]}"
  client_id                       = "{access["client"]}"
  client_secret                   = "{access["secret"]}"
  resource_provider_registrations = "none"
}}"""


def _azapi(access: dict[str, Any]) -> str:
    # The tenant "adfs" is what keeps the provider from asking the public cloud whether it knows this authority.
    here = access["endpoint"]
    return f"""# export SSL_CERT_FILE={access["ca"]}
provider "azapi" {{
  endpoint = [{{
    active_directory_authority_host = "{here}"
    resource_manager_endpoint       = "{here}"
    resource_manager_audience       = "{here}"
  }}]
  subscription_id            = "{access["subscription"]}"
  tenant_id                  = "adfs"
  client_id                  = "{access["client"]}"
  client_secret              = "{access["secret"]}"
  use_cli                    = false
  use_msi                    = false
  skip_provider_registration = true
}}"""


def _curl(access: dict[str, Any]) -> str:
    here, ca = access["endpoint"], shlex.quote(access["ca"])
    form = f"grant_type=client_credentials&client_id={access['client']}&client_secret={access['secret']}"
    return f"""TOKEN=$(curl -s --cacert {ca} {here}/{access["tenant"]}/oauth2/v2.0/token \\
  -d '{form}&scope={here}/.default' | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])')
curl --cacert {ca} -H "Authorization: Bearer $TOKEN" \\
  '{here}/subscriptions/{access["subscription"]}/resourcegroups?api-version=2021-04-01'"""
