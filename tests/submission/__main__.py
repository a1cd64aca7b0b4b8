"""``python -m tests.submission``: the submission server as a program, until SIGTERM or Ctrl-C.

Takes the identity in DIR (ca.crt, tls.crt, tls.key) or makes one there, and appends its journal to DIR/events.jsonl or --log.
"""

import argparse
import asyncio
import signal
from pathlib import Path

from tests.submission.accounts import from_csv
from tests.submission.authority import in_directory
from tests.submission.faults import Step, delay
from tests.submission.server import Submission


async def serve(options: argparse.Namespace) -> None:
    """Listen until a signal comes."""
    names = tuple(options.name or ("localhost", "127.0.0.1"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt
            break
    server = Submission(
        from_csv(options.user_table),
        host=options.host,
        port=options.port,
        tls_port=options.tls_port,
        names=names,
        identity=in_directory(options.directory, *names),
        log=options.log or options.directory / "events.jsonl",
    )
    if options.seconds:
        server.faults[Step.DOT] = delay(options.seconds)
    async with server:
        print(f"submission: listening on {server.host}:{server.port}, STARTTLS and AUTH required", flush=True)
        await stop.wait()


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.submission", description="A submission server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="port for STARTTLS; 0 takes a free one")
    parser.add_argument("--tls-port", type=int, help="port for TLS from the first byte")
    parser.add_argument("--directory", type=Path, required=True, help="folder of ca.crt, tls.crt, tls.key")
    parser.add_argument("--log", type=Path, help="file to append the journal to")
    parser.add_argument("--name", action="append", help="name in a certificate made here; may be repeated")
    parser.add_argument("--user-table", type=Path, required=True, help="CSV with email, password, username")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="time taken over each mail before its reply"
    )
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
