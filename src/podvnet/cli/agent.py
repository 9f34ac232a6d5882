"""``podvnet agent``: the resident process of a VM."""

from __future__ import annotations

from pathlib import Path

import click

from podvnet.cli.listening_address import listening_address
from podvnet.cli.output import FailureError

_CA = Path("/etc/podvnet/ca.pem")


@click.command()
@click.option(
    "--pool-source",
    type=click.Choice(["auto", "wireserver", "imds", "file", "arm"]),
    default="auto",
    show_default=True,
    envvar="PODVNET_POOL_SOURCE",
    help="Who names the addresses for pods. auto: the wireserver, else IMDS. arm: the same, and the pool grows and"
    " shrinks with its use by writing the NIC.",
)
@click.option(
    "--pool-file", type=click.Path(path_type=Path), default=Path("/etc/kubernetes/interfaces.json"), show_default=True
)
@click.option(
    "--pool-interval",
    type=float,
    default=10.0,
    show_default=True,
    help="Seconds between questions: how late a change of the NIC by others is noticed. An ADD on an empty pool asks at"
    " once.",
)
@click.option(
    "--pool-shape",
    type=click.Choice(["batch", "block"]),
    default="batch",
    show_default=True,
    envvar="PODVNET_POOL_SHAPE",
    help="arm: what the pool grows by: single addresses, or blocks of 16 (/28).",
)
@click.option("--pool-batch", default=16, show_default=True, help="arm: the pool's size is a multiple of this.")
@click.option("--pool-min-free", default=50, show_default=True, help="arm: percent of a batch; with less it grows.")
@click.option("--pool-max-free", default=150, show_default=True, help="arm: percent of a batch; with more it shrinks.")
@click.option("--pool-limit", default=250, show_default=True, help="arm: addresses at most, rounded up to blocks.")
@click.option(
    "--arm-endpoint",
    default="https://management.azure.com",
    show_default=True,
    envvar="PODVNET_ARM_ENDPOINT",
    help="arm, enforce-groups: the resource manager.",
)
@click.option(
    "--arm-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="PODVNET_ARM_CA",
    help="arm, enforce-groups: whom to trust for it."
    f"  [default: {_CA} if it is there, else the well-known authorities]",
)
@click.option(
    "--arm-identity",
    default="",
    envvar="PODVNET_ARM_IDENTITY",
    help="arm, enforce-groups: client id of a user-assigned identity.  [default: the VM's own]",
)
@click.option("--rest", type=float, default=10.0, show_default=True, help="Seconds a released address is left alone.")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("/run/podvnet"), show_default=True)
@click.option("--bridge", default="azure0", show_default=True, help="The software bridge of modes bridge and tunnel.")
@click.option("--pods-may-ask-platform", is_flag=True, help="Let pods reach IMDS and the wireserver's HTTP.")
@click.option(
    "--enforce-groups",
    is_flag=True,
    envvar="PODVNET_ENFORCE_GROUPS",
    help="Filter between pods of this VM by the security groups of its NIC, as the virtual network would; asks the"
    " resource manager for them. Not for the mode bridge.",
)
@click.option(
    "--groups-interval",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    envvar="PODVNET_GROUPS_INTERVAL",
    help="enforce-groups: seconds between questions: how late a change of a rule is noticed. SIGHUP asks at once.",
)
@click.option(
    "--docker",
    is_flag=True,
    envvar="PODVNET_DOCKER",
    help="Serve Docker as well: its network and IPAM driver azure-vnet.",
)
@click.option(
    "--docker-socket",
    type=click.Path(path_type=Path),
    default=Path("/run/docker/plugins/azure-vnet.sock"),
    show_default=True,
    help="docker: where; the file's name is the driver's.",
)
@click.option(
    "--conflist",
    type=click.Path(path_type=Path),
    envvar="PODVNET_CONFLIST",
    help="Withdraw this conflist while no pod can be attached and none is: containerd before 2.0 takes it for STATUS.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar="PODVNET_KUBECONFIG",
    help="The node's credentials for the Kubernetes API or `in-cluster`: pods ask by annotations, the Node says how its"
    " addresses stand.",
)
@click.option(
    "--node-name", default="", envvar=["PODVNET_NODE_NAME", "NODE_NAME"], help="The Node's name.  [default: the host's]"
)
@click.option(
    "--metrics",
    default="",
    metavar="ADDRESS:PORT",
    envvar="PODVNET_METRICS",
    help="Serve Prometheus' text at http://ADDRESS:PORT/metrics.  [default: only on the agent's socket]",
)
def agent(
    pool_source: str,
    pool_file: Path,
    pool_interval: float,
    pool_shape: str,
    pool_batch: int,
    pool_min_free: int,
    pool_max_free: int,
    pool_limit: int,
    arm_endpoint: str,
    arm_ca: Path | None,
    arm_identity: str,
    rest: float,
    run_dir: Path,
    bridge: str,
    pods_may_ask_platform: bool,
    enforce_groups: bool,
    groups_interval: float,
    conflist: Path | None,
    docker: bool,
    docker_socket: Path,
    kubeconfig: Path | None,
    node_name: str,
    metrics: str,
) -> None:
    """Run the agent of this VM in the foreground. `podvnet install` starts one as a service."""
    from podvnet.agent.pool_growth import GrowthSettings
    from podvnet.agent.process import AlreadyRunningError, Settings, run
    from podvnet.agent.source import Source, SourceKind
    from podvnet.cli.log import configure
    from podvnet.plan.pool_target import PoolPolicy, Shape

    configure()
    try:
        policy = PoolPolicy(Shape(pool_shape), pool_batch, pool_min_free, pool_max_free, pool_limit)
    except ValueError as error:
        raise FailureError(str(error), "see --pool-batch and the options after it") from None
    authority = arm_ca or (_CA if _CA.exists() else None)
    settings = Settings(
        run=run_dir,
        source=Source(SourceKind(pool_source), pool_file),
        growth=GrowthSettings(policy, arm_endpoint, authority, arm_identity),
        interval=pool_interval,
        rest=rest,
        bridge=bridge,
        pods_may_ask_platform=pods_may_ask_platform,
        enforce_groups=enforce_groups,
        groups_interval=groups_interval,
        conflist=conflist,
        docker=docker_socket if docker else None,
        kubeconfig=kubeconfig,
        node_name=node_name,
        metrics=listening_address(metrics),
    )
    try:
        run(settings)
    except AlreadyRunningError as error:
        raise FailureError(str(error), "`podvnet doctor` shows how it does") from None
