"""One tiny function per way to misbehave. ``server.faults[Step.DOT] = refuse("451 4.3.0 Try later")`` and so on.

A fault is asked at its step with what is known of the mail; it answers with a reply to send instead of the usual one, or None
to go on as usual, after whatever it did meanwhile.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """Where a fault may strike."""

    CONNECT = "connect"
    """Before the greeting."""
    AUTH = "auth"
    """Before the login is read."""
    LOGIN = "login"
    """The login was read and judged; a reply here takes the place of the verdict."""
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """Before 354."""
    BODY = "body"
    """After 354: the client is about to send the mail, its dot has not come."""
    DOT = "dot"
    """After the dot, before the mail is accepted: a reply here refuses it, a drop loses it."""
    REPLY = "reply"
    """After the mail is accepted, before the client hears of it."""
    QUIT = "quit"


@dataclass(frozen=True)
class Exchange:
    """What is known at a step, and the way to cut the line."""

    connection: int
    login: str | None
    mail_from: str | None
    rcpt_to: tuple[str, ...]
    message_id: str | None
    drop: Callable[[], Awaitable[None]]
    credential: str | None = None
    """The password or token that the client has sent, whether it was right or not."""


Fault = Callable[[Exchange], Awaitable[str | None]]


async def drop(exchange: Exchange) -> str | None:
    """Cut the connection without a word."""
    await exchange.drop()
    return None


async def silence(_: Exchange) -> str | None:
    """Never answer; ends when the client goes away."""
    await asyncio.Event().wait()
    return None


def refuse(reply: str) -> Fault:
    """Answer with this reply, such as ``550 5.1.1 No such user``."""

    async def fault(_: Exchange) -> str | None:
        return reply

    return fault


def delay(seconds: float) -> Fault:
    """Answer as usual, later."""

    async def fault(_: Exchange) -> str | None:
        await asyncio.sleep(seconds)
        return None

    return fault


def hold(until: asyncio.Event) -> Fault:
    """Answer as usual once the event is set. Only on the server's own event loop."""

    async def fault(_: Exchange) -> str | None:
        await until.wait()
        return None

    return fault


def first(times: int, fault: Fault) -> Fault:
    """This fault for the first ``times`` mails or connections, then none."""
    left = times

    async def counted(exchange: Exchange) -> str | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        return await fault(exchange)

    return counted


def only(applies: Callable[[Exchange], bool], fault: Fault) -> Fault:
    """This fault where ``applies`` says so: for one sender, one recipient, ..."""

    async def chosen(exchange: Exchange) -> str | None:
        return await fault(exchange) if applies(exchange) else None

    return chosen


def parrot(reply: str) -> Fault:
    """Answer with this reply, ``{}`` in it replaced by the password or token that the client has sent, and by its base64."""

    async def fault(exchange: Exchange) -> str | None:
        secret = exchange.credential or ""
        return reply.replace("{}", f"{secret} {base64.b64encode(secret.encode()).decode()}")

    return fault
