"""How the resident processes log: one JSON object a line on standard error, or words where a person looks on."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Set logging up for a resident process."""
    looked_at = sys.stderr.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if looked_at else structlog.processors.JSONRenderer()
    )
    processors: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=processors[:2] + processors[3:] if looked_at else processors,
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
