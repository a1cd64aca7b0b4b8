"""The worker's fleet, with claimants of its own for hammering at limits."""

from tests.integration.worker.conftest import fleet, submission, worker_database

__all__ = ["fleet", "submission", "worker_database"]
