"""``python -m bench.floor``: mails by aiosmtplib in a bare loop. No ledger, no limits, no decision: nothing can be forgotten."""

import asyncio

import uvloop

from bench.sending import Target, address, send, target_arguments


async def _run(target: Target, mails: int, concurrent: int) -> None:
    numbers = iter(range(mails))

    async def work() -> None:
        for number in numbers:
            await send(target, address(number), address(number + 1))

    await asyncio.gather(*(work() for _ in range(concurrent)))


if __name__ == "__main__":
    given = target_arguments().parse_args()
    uvloop.run(_run(Target(given.port, given.ca_file), given.mails, given.concurrent))
