"""The command ``warmup`` as a person runs it: a process, its exit code, what it said. Never a traceback, never a secret."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

KEYS = "k1:" + "A" * 43 + "="
SECRET = "s3cret"
"""Passwords in tests begin with it; no output may ever hold it."""


@dataclass(frozen=True)
class Done:
    """How a run of the command ended."""

    code: int
    out: str
    err: str


async def warmup(
    *arguments: str,
    url: str | None = None,
    stdin: str | bytes = b"",
    environ: Mapping[str, str] | None = None,
) -> Done:
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WARMUP_", "DATABASE_", "KUBE"))
    }
    ours |= {"WARMUP_ENCRYPTION_KEYS": KEYS, "HOME": "/nonexistent"} | ({"DATABASE_URL": url} if url else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "warmup_cli",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ours | dict(environ or {}),
    )
    data = stdin.encode() if isinstance(stdin, str) else stdin
    out, err = await asyncio.wait_for(process.communicate(data), 180)
    assert process.returncode is not None
    done = Done(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in done.err
    assert SECRET not in done.out + done.err
    assert KEYS not in done.out + done.err
    return done
