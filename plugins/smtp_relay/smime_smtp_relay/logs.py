"""Structured logs: one JSON object a line on standard error, without content and without secrets.

Does: set structlog up for the gateway, and send what asyncio reports there too. Does not: write files or rotate them
(the service manager does). The text of an exception can quote what it failed on, a header field or a password, so
only its type and the places in the code are written.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from typing import Any, TextIO

import structlog

__all__ = ["configure_logs", "described", "report_loop_errors"]


def configure_logs(*, level: str = "info", stream: TextIO | None = None) -> None:
    """Set up structlog; `level` is `debug`, `info`, `warning` or `error`."""
    # The standard library's loggers of aiosmtpd and others would write commands and content.
    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write for each line, so that those of several workers do not mix.
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def report_loop_errors(loop: asyncio.AbstractEventLoop, log: Any) -> None:
    """Log what asyncio would print: exceptions of callbacks and of forgotten tasks."""

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("loop.error", what=context.get("message"), **described(context.get("exception")))

    loop.set_exception_handler(report)


def described(error: BaseException | None) -> dict[str, Any]:
    """An exception for the log: its type and the places in the code, without its text."""
    if error is None:
        return {}
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "exception": type(error).__name__,
        "places": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
