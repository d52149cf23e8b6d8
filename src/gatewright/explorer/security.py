"""Who may ask, and how much: looked at before any answer is made, by the explorer and by `gatewright serve`.

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
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
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
QUESTIONS = re.compile(r"/api/.*")
BODIES = ("POST", "PUT", "PATCH")
"""What a form of another site's page could send; a browser asks first before it sends another method."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Policy:
    """What a server lets in.

    names: of hosts, in lower case. addresses: whether any address of numbers will do, as where it listens on all of
    them; a rebound name is none. token: what has to be shown; None where nobody but this machine can connect.

    command: what was started. asked: paths that need the token and a page of ours. questions: those of them whose
    body has to be JSON. by_address: those where the token may stand in the address. body: bytes of a question, at
    most. sockets: whether there are WebSockets.
    """

    names: frozenset[str]
    addresses: bool = False
    token: str | None = None
    command: str = "gatewright explore"
    asked: re.Pattern[str] = QUESTIONS
    questions: re.Pattern[str] = QUESTIONS
    by_address: re.Pattern[str] = EVENTS
    body: int = BODY
    sockets: bool = False

    @classmethod
    def for_host(cls, host: str, token: str | None, *, names: Iterable[str] = (), **rules: Any) -> Policy:
        """That of a server which listens at `host`, and is reached by these names too."""
        more = frozenset(name.lower() for name in names)
        if is_loopback(host):
            return cls(LOOPBACK | {host.lower()} | more, token=token, **rules)
        own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(LOOPBACK | own | more, addresses=True, token=token, **rules)

    def check(self, method: str, path: str, query: str, headers: dict[str, list[str]]) -> None:
        """Raise `Refused` where a request is none of ours."""
        host = self._host(headers.get("host", []))
        for origin in headers.get("origin", []):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc.lower() != host:
                raise Refused(403, f"a page of {origin} may not ask here", where="Origin")
        if not self.asked.fullmatch(path):
            return
        if headers.get("sec-fetch-site", ["none"])[0] not in ("same-origin", "none"):
            raise Refused(403, "a page of another site may not ask here", where="Sec-Fetch-Site")
        self._check_token(path, query, headers)
        kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
        if method in BODIES and self.questions.fullmatch(path) and kind != "application/json":
            raise Refused(415, "a question that changes something is JSON", where="Content-Type")

    def _host(self, given: list[str]) -> str:
        host = given[0].lower() if len(given) == 1 else ""
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(:\d{1,5})?", host)
        name = found[1].strip("[]") if found else ""
        if name not in self.names and not (self.addresses and _is_address(name)):
            remedy = f"open the address that {self.command} printed"
            raise Refused(421, f"this server is not {host or 'without a name'}", where="Host", remedy=remedy)
        return host

    def _check_token(self, path: str, query: str, headers: dict[str, list[str]]) -> None:
        if self.token is None:
            return
        kind, _, given = headers.get("authorization", [""])[0].partition(" ")
        if kind.lower() != "bearer":
            given = parse_qs(query).get("token", [""])[0] if self.by_address.fullmatch(path) else ""
        if not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            remedy = f"open the address with ?token=… that {self.command} printed"
            raise Refused(401, "a token is needed", where="Authorization", remedy=remedy)


def chosen_token(host: str, token: str | None) -> str | None:
    """What a request has to show: the token that was given, less the line's end that a file leaves; where none was, a
    new one, but none where only this machine can connect.
    """
    return (token or "").strip() or (None if is_loopback(host) else secrets.token_urlsafe(18))


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
            return await self._socket(scope, receive, send)
        guarded = _with_headers(send, api=self.policy.asked.fullmatch(scope["path"]) is not None)
        try:
            headers = _headers(scope)
            self.policy.check(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)
            body = await _body(headers, receive, self.policy.body)
        except Refused as refused:
            return await _refuse(refused, guarded)
        return await self.app(scope, _replayed(body, receive), guarded)

    async def _socket(self, scope: Message, receive: Receive, send: Send) -> None:
        """A WebSocket is asked for by a GET, of any site's page: the policy is the same."""
        try:
            if not self.policy.sockets:
                raise Refused(403, "there are no WebSockets here")
            self.policy.check("GET", scope["path"], scope["query_string"].decode("latin-1"), _headers(scope))
        except Refused as refused:
            return await refuse_socket(refused, scope, receive, send)
        return await self.app(scope, receive, send)


def _headers(scope: Message) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


async def _body(headers: dict[str, list[str]], receive: Receive, most: int) -> bytes:
    """All of a question, as long as it is not too long."""
    told = headers.get("content-length", ["0"])[0]
    if not told.isascii() or not told.isdigit() or int(told[:12]) > most:
        raise _too_long(most)
    parts, size, more = [], 0, True
    try:
        async with asyncio.timeout(PATIENCE):  # all of it: one that comes a byte at a time is not waited for either
            while more:
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise _too_long(most)
                more = message.get("more_body", False)
    except TimeoutError:
        raise Refused(408, "the question did not arrive in time") from None
    return b"".join(parts)


def _too_long(most: int) -> Refused:
    return Refused(413, f"the question is longer than {amount(most)}", remedy="ask about a shorter sequence")


def amount(count: int) -> str:
    """Bytes, in words.

    >>> amount(8 << 20), amount(1_000_000), amount(300)
    ('8 MiB', '1 MB', '300 bytes')
    """
    units = {"MiB": 1 << 20, "MB": 1_000_000, "KiB": 1 << 10, "KB": 1000}
    unit = next((name for name, size in units.items() if count and not count % size), "bytes")
    return f"{count // units.get(unit, 1)} {unit}"


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


async def refuse(refused: Refused, scope: Message, receive: Receive, send: Send) -> None:
    """Answer with an error what was not looked at any further."""
    if scope["type"] == "http":
        return await _refuse(refused, _with_headers(send, api=True))
    return await refuse_socket(refused, scope, receive, send)


async def _refuse(refused: Refused, send: Send, kind: str = "http.response") -> None:
    body = json.dumps(refused.form()).encode()
    own = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    if refused.status == 401:
        own["www-authenticate"] = "Bearer"
    headers = [(name.encode(), value.encode()) for name, value in own.items()]
    await send({"type": f"{kind}.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


async def refuse_socket(refused: Refused, scope: Message, receive: Receive, send: Send) -> None:
    """Answer who asks for a WebSocket with an error instead, where the server can; else close what was never open."""
    await receive()  # that it is asked for
    if "websocket.http.response" in (scope.get("extensions") or {}):
        return await _refuse(refused, send, "websocket.http.response")
    return await send({"type": "websocket.close", "code": 1008, "reason": refused.message[:120]})
