"""The worker's small fleet, for those who ask it how it is."""

from tests.integration.worker.conftest import fleet, submission, worker_database

__all__ = ["fleet", "submission", "worker_database"]
