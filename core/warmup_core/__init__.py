"""What operator and worker share: the pure policy of a fleet, and its tables in Postgres. Knows neither of them."""

__version__ = "0.1.0"
