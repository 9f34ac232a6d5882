"""Compile the shim for the machine that builds the wheel.

Run by hatchling for every wheel (and editable install), and by hand, ``python hatch_build.py``, to compile in place.
The binary is static and needs nothing but a Linux kernel, so the wheel is tagged for every libc of the architecture.
On a machine without a compiler, or not Linux, the wheel stays pure and the shim in Python serves; that is printed.
"""

import argparse
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SHIM = ROOT / "src" / "podvnet" / "plugin" / "shim"
SOURCE = SHIM / "shim.c"
BINARY = SHIM / "azure-vnet"
FLAGS = ("-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s")


def compilers() -> list[list[str]]:
    """Return the compiler commands of this machine, the one that makes the smallest and fastest binary first."""
    found = []
    if chosen := os.environ.get("PODVNET_CC"):
        found.append(shlex.split(chosen))
    if shutil.which("musl-gcc"):
        found.append(["musl-gcc"])
    if importlib.util.find_spec("ziglang"):
        found.append([sys.executable, "-m", "ziglang", "cc", "-target", f"{platform.machine()}-linux-musl"])
    if shutil.which("gcc"):
        found.append(["gcc"])
    return found


def compile_shim(output: Path, version: str, *, define: list[str], commands: list[list[str]] | None = None) -> bool:
    """Compile the shim to ``output`` with the first compiler that makes one that runs; say why each other did not.

    ``define`` holds further ``NAME=VALUE`` macros. Returns False, with nothing written, when none did.
    """
    macros = [f"-D{macro}" for macro in (f'PODVNET_VERSION="{version}"', *define)]
    for command in compilers() if commands is None else commands:
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            made = Path(folder) / "azure-vnet"
            arguments = [*command, *FLAGS, *macros, "-o", str(made), str(SOURCE)]
            try:
                subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=300)
                _try(made)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                reason = getattr(error, "stderr", None) or error
                print(f"podvnet: {shlex.join(command)} made no shim: {reason}", file=sys.stderr)
                continue
            made.chmod(0o755)
            made.replace(output)
            return True
    return False


def project_version() -> str:
    """Return the version that pyproject.toml states."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def wheel_tag() -> str:
    """Return the tag of a wheel that holds a static binary of this machine's architecture."""
    machine = platform.machine()
    return f"py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}"


def _try(shim: Path) -> None:
    answer = subprocess.run(
        [shim], env={"CNI_COMMAND": "VERSION"}, input=b"", check=True, capture_output=True, timeout=10
    )
    if "supportedVersions" not in json.loads(answer.stdout):
        raise ValueError(f"it answers VERSION with {answer.stdout!r}")


def _say_pure() -> None:
    print("podvnet: no compiled shim; the one in Python (shim.py, about 9 ms a call) serves instead", file=sys.stderr)


def main() -> int:
    """Compile in place, or to ``--output``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=BINARY)
    parser.add_argument("--define", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    if sys.platform == "linux" and compile_shim(options.output, project_version(), define=options.define):
        print(f"podvnet: {options.output} ({options.output.stat().st_size} bytes)")
        return 0
    _say_pure()
    return 1


if __name__ == "__main__":
    sys.exit(main())

from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # noqa: E402  (absent when run by hand)


class ShimBuildHook(BuildHookInterface[Any]):  # type: ignore[misc]  # hatchling is not followed by mypy
    """hatchling's way in."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together and tag it; ``version`` is ``standard`` or ``editable``."""
        if self.target_name != "wheel":
            return
        if sys.platform != "linux" or not compile_shim(BINARY, self.metadata.version, define=[]):
            BINARY.unlink(missing_ok=True)  # one from an earlier build would go into a wheel tagged as pure
            _say_pure()
            return
        build_data["artifacts"].append(f"/{BINARY.relative_to(ROOT).as_posix()}")
        if version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = wheel_tag()
