"""``podvnet agent``: the resident process of a VM."""

from __future__ import annotations

from pathlib import Path

import click

from podvnet.cli.output import FailureError


@click.command()
@click.option(
    "--pool-source",
    type=click.Choice(["auto", "wireserver", "imds", "file"]),
    default="auto",
    show_default=True,
    help="Who names the addresses for pods. auto: the wireserver, else IMDS.",
)
@click.option(
    "--pool-file", type=click.Path(path_type=Path), default=Path("/etc/kubernetes/interfaces.json"), show_default=True
)
@click.option("--pool-interval", type=float, default=10.0, show_default=True, help="Seconds between questions.")
@click.option("--rest", type=float, default=10.0, show_default=True, help="Seconds a released address is left alone.")
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("/run/podvnet"), show_default=True)
@click.option("--bridge", default="azure0", show_default=True, help="The software bridge of modes bridge and tunnel.")
@click.option("--pods-may-ask-platform", is_flag=True, help="Let pods reach IMDS and the wireserver's HTTP.")
def agent(
    pool_source: str,
    pool_file: Path,
    pool_interval: float,
    rest: float,
    run_dir: Path,
    bridge: str,
    pods_may_ask_platform: bool,
) -> None:
    """Run the agent of this VM in the foreground. `podvnet install` starts one as a service."""
    from podvnet.agent.process import AlreadyRunningError, Settings, run
    from podvnet.agent.source import Source, SourceKind
    from podvnet.cli.log import configure

    configure()
    settings = Settings(
        run=run_dir,
        source=Source(SourceKind(pool_source), pool_file),
        interval=pool_interval,
        rest=rest,
        bridge=bridge,
        pods_may_ask_platform=pods_may_ask_platform,
    )
    try:
        run(settings)
    except AlreadyRunningError as error:
        raise FailureError(str(error), "`podvnet doctor` shows how it does") from None
