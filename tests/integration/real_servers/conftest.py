"""The worker's small fleet, pointed at a mail server that others wrote."""

from tests.integration.worker.conftest import fleet, submission

__all__ = ["fleet", "submission"]
