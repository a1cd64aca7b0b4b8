"""``python -m warmup_cli``."""

from warmup_cli.main import run

if __name__ == "__main__":
    run()
