"""Who may ask, and how much: looked at before any answer is made.

A page of another site that is open in the same browser is the danger. It can send requests to this machine's own
address, and by DNS rebinding it can make a browser take this server for its own. So the name in `Host` has to be one
of ours, `Origin` has to be the page that we gave, what changes something has to be JSON (which another site's page
cannot send without being asked first), and beyond the loopback everything needs a token.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .refused import Refused

BODY = 8 << 20
"""The bytes of a question, at most."""
PATIENCE = 30.0
"""Seconds that a question may take to arrive."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
EVENTS = re.compile(r"/api/jobs/[\w-]+/events")
"""An EventSource cannot send a header, so a token may stand in the address here."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Policy:
    """What a server lets in.

    names: of hosts, in lower case. addresses: whether any address of numbers will do, as where it listens on all of
    them; a rebound name is none. token: what has to be shown; None where nobody but this machine can connect.
    """

    names: frozenset[str]
    addresses: bool = False
    token: str | None = None

    @classmethod
    def for_host(cls, host: str, token: str | None) -> Policy:
        """That of a server which listens at `host`."""
        if is_loopback(host):
            return cls(LOOPBACK | {host.lower()}, token=token)
        own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(LOOPBACK | own, addresses=True, token=token)

    def check(self, method: str, path: str, query: str, headers: dict[str, list[str]]) -> None:
        """Raise `Refused` where a request is none of ours."""
        host = self._host(headers.get("host", []))
        for origin in headers.get("origin", []):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc.lower() != host:
                raise Refused(403, f"a page of {origin} may not ask here", where="Origin")
        if not path.startswith("/api/"):
            return
        if headers.get("sec-fetch-site", ["none"])[0] not in ("same-origin", "none"):
            raise Refused(403, "a page of another site may not ask here", where="Sec-Fetch-Site")
        self._check_token(path, query, headers)
        kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
        if method not in ("GET", "HEAD") and kind != "application/json":
            raise Refused(415, "a question that changes something is JSON", where="Content-Type")

    def _host(self, given: list[str]) -> str:
        host = given[0].lower() if len(given) == 1 else ""
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(:\d{1,5})?", host)
        name = found[1].strip("[]") if found else ""
        if name not in self.names and not (self.addresses and _is_address(name)):
            remedy = "open the address that gatewright explore printed"
            raise Refused(421, f"this server is not {host or 'without a name'}", where="Host", remedy=remedy)
        return host

    def _check_token(self, path: str, query: str, headers: dict[str, list[str]]) -> None:
        if self.token is None:
            return
        kind, _, given = headers.get("authorization", [""])[0].partition(" ")
        if kind.lower() != "bearer":
            given = parse_qs(query).get("token", [""])[0] if EVENTS.fullmatch(path) else ""
        if not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            remedy = "open the address with ?token=… that gatewright explore printed"
            raise Refused(401, "a token is needed", where="Authorization", remedy=remedy)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """The policy in front of an ASGI application; it adds the headers that browsers heed to every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]], policy: Policy):
        self.app, self.policy = app, policy

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        guarded = _with_headers(send, api=scope["path"].startswith("/api/"))
        try:
            headers: dict[str, list[str]] = {}
            for name, value in scope["headers"]:
                headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
            self.policy.check(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)
            body = await _body(headers, receive)
        except Refused as refused:
            return await _refuse(refused, guarded)
        return await self.app(scope, _replayed(body, receive), guarded)


async def _body(headers: dict[str, list[str]], receive: Receive) -> bytes:
    """All of a question, as long as it is not too long."""
    told = headers.get("content-length", ["0"])[0]
    if not told.isascii() or not told.isdigit() or int(told[:12]) > BODY:
        raise _too_long()
    parts, size, more = [], 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), PATIENCE)
        except TimeoutError:
            raise Refused(408, "the question did not arrive in time") from None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY:
            raise _too_long()
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_long() -> Refused:
    return Refused(413, f"the question is longer than {BODY >> 20} MiB", remedy="ask about a shorter sequence")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What has been read, once more; then what comes behind it (that the other side has gone)."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _with_headers(send: Send, *, api: bool) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = HEADERS | {"cache-control": "no-store" if api else "no-cache"}
            names = {name.encode() for name in own}
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in names]
            message["headers"] = [*kept, *((n.encode(), v.encode()) for n, v in own.items())]
        await send(message)

    return sent


async def _refuse(refused: Refused, send: Send) -> None:
    body = json.dumps(refused.form()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
