"""``python -m podvnet``."""

from podvnet.cli.main import main

main()
