"""The worker's small fleet, for servers that refuse."""

from tests.integration.worker.conftest import fleet, submission, worker_database

__all__ = ["fleet", "submission", "worker_database"]
