"""``podvnet controller``: Services of type LoadBalancer, straight to pods."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from podvnet.cli.listening_address import listening_address
from podvnet.cli.output import FailureError

_CA = Path("/etc/podvnet/ca.pem")


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="KUBECONFIG",
    help="How to reach the API server.  [default: in a pod, the pod's own cluster; else ~/.kube/config]",
)
@click.option("--context", help="The context in the kubeconfig.")
@click.option("--cluster-name", default="kubernetes", show_default=True, help="Part of the name of all that is made.")
@click.option(
    "--class", "chosen", default="podvnet.io/pods", show_default=True, help="The loadBalancerClass that is served."
)
@click.option("--default", is_flag=True, help="Serve Services that name no class as well.")
@click.option(
    "--subnet",
    default="",
    envvar="PODVNET_SUBNET",
    help="Id of the subnet that internal addresses come from.  [default: that of this VM]",
)
@click.option(
    "--resource-group",
    default="",
    envvar="PODVNET_RESOURCE_GROUP",
    help="Where load balancers and public addresses are made.  [default: that of this VM]",
)
@click.option("--load-balancer", default="", help="Name of the public load balancer.  [default: CLUSTER-pods]")
@click.option(
    "--internal-load-balancer", default="", help="Name of the internal load balancer.  [default: CLUSTER-pods-internal]"
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="Seconds between two rounds of writes at least: what changes meanwhile is written at once.",
)
@click.option("--tidy-after", type=click.FloatRange(min=0), default=10.0, hidden=True)
@click.option("--resync", type=click.FloatRange(min=1), default=300.0, show_default=True, help="Seconds after which"
              " everything is read again, for others may have changed it.")  # fmt: skip
@click.option("--namespace", default="kube-system", show_default=True, help="Where the Lease is.")
@click.option(
    "--arm-endpoint",
    default="https://management.azure.com",
    show_default=True,
    envvar="PODVNET_ARM_ENDPOINT",
    help="The resource manager.",
)
@click.option(
    "--arm-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="PODVNET_ARM_CA",
    help=f"Whom to trust for it.  [default: {_CA} if it is there, else the well-known authorities]",
)
@click.option(
    "--arm-identity",
    default="",
    envvar="PODVNET_ARM_IDENTITY",
    help="Client id of a user-assigned identity.  [default: the VM's own]",
)
@click.option(
    "--metrics",
    default="",
    metavar="ADDRESS:PORT",
    envvar="PODVNET_METRICS",
    help="Serve Prometheus' text at http://ADDRESS:PORT/metrics.  [default: nowhere]",
)
def controller(
    kubeconfig: Path | None,
    context: str | None,
    cluster_name: str,
    chosen: str,
    default: bool,
    subnet: str,
    resource_group: str,
    load_balancer: str,
    internal_load_balancer: str,
    interval: float,
    tidy_after: float,
    resync: float,
    namespace: str,
    arm_endpoint: str,
    arm_ca: Path | None,
    arm_identity: str,
    metrics: str,
) -> None:
    """Serve Services of type LoadBalancer: a load balancer of Azure leads straight to the pods.

    Runs in the foreground until it is told to stop. Of several, the one that holds the Lease acts.
    """
    from podvnet.azure.error import SourceError
    from podvnet.azure.resource_manager import ResourceManager
    from podvnet.cli.log import configure
    from podvnet.kube.cluster_api import ApiError, cluster_api
    from podvnet.kube.controller_metrics import render
    from podvnet.kube.edge import ManagerEdge
    from podvnet.kube.home_discovery import await_home
    from podvnet.kube.metrics_listener import ListenError, serving
    from podvnet.kube.part_names import PartNames
    from podvnet.kube.service_controller import ControllerSettings, ServiceController

    configure()
    ca = arm_ca or (_CA if _CA.exists() else None)
    settings = ControllerSettings(chosen, default, interval, tidy_after, resync, namespace)
    address = listening_address(metrics)
    try:
        names = PartNames(cluster_name)
    except ValueError as error:
        raise FailureError(str(error), "choose another --cluster-name") from error

    async def work() -> None:
        me = asyncio.current_task()
        assert me  # noqa: S101 - a coroutine runs in one
        # From the start on: whoever is process 1 of a container is not ended by a signal that it does not handle.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, me.cancel)
        edge = ManagerEdge(lambda: ResourceManager(arm_endpoint, ca, identity=arm_identity))
        try:
            balancers = load_balancer, internal_load_balancer
            home = await await_home(edge, names, subnet=subnet, group=resource_group, balancers=balancers)
            async with cluster_api(kubeconfig, context) as api, contextlib.AsyncExitStack() as stack:
                at_work = ServiceController(api, edge, home, settings)
                if address:
                    await stack.enter_async_context(serving(address, lambda: render(at_work.readings())))
                await at_work.run()
        except asyncio.CancelledError:
            return
        finally:
            edge.close()

    try:
        asyncio.run(work())
    except SourceError as error:
        raise FailureError(error.message, error.remedy) from error
    except ApiError as error:
        raise FailureError(str(error), "say how to reach the API server (--kubeconfig)") from error
    except ListenError as error:
        raise FailureError(str(error), "choose another --metrics") from error
