"""``warmup worker``: the worker's process. Its packages are imported only here, so that other images need not have them."""

import os

import typer

from warmup_cli.connection import Unavailable


def worker() -> None:
    """Run one worker until SIGTERM; everything it needs stands in the environment."""
    try:
        from warmup_worker.process import main
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"The worker's packages are not here ({error.name}): this is the operator's image. Run it in the worker's image."
        ) from None
    raise typer.Exit(main(os.environ))
