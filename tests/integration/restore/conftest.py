"""The worker's small fleet, for days that go by."""

from tests.integration.worker.conftest import fleet, submission, worker_database

__all__ = ["fleet", "submission", "worker_database"]
