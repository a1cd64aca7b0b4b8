"""``warmup worker``: the worker's process. Its packages are imported only here, so that other images need not have them."""

import os

import typer


def worker() -> None:
    """Run one worker until SIGTERM; everything it needs stands in the environment."""
    from warmup_worker.process import main

    raise typer.Exit(main(os.environ))
