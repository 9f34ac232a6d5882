"""The executable a runtime starts for every pod, in two twins of one behaviour.

``shim.c`` is compiled statically by the build (``hatch_build.py``) to ``azure-vnet`` beside this file: 0.4 ms a call
and no need for anything on the node. ``shim.py`` runs where no binary could be built: about 9 ms a call and a
``/usr/bin/python3``. Either is installed under both names, ``azure-vnet`` and ``azure-vnet-ipam``.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def source_path() -> Path:
    """Return the C source."""
    return _HERE / "shim.c"


def compiled_path() -> Path:
    """Return where the build puts the binary; it need not be there."""
    return _HERE / "azure-vnet"


def twin_path() -> Path:
    """Return the shim in Python."""
    return _HERE / "shim.py"


def best_shim() -> Path:
    """Return the file to install: the binary where there is one, else the twin. The installer sets its mode to 0755."""
    compiled = compiled_path()
    return compiled if compiled.is_file() else twin_path()
