"""The gate that every request passes first: it checks host and size, and limits the rights of the page."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAINED = 16  # times the limit, up to which a refused body is read and dropped
LOCAL = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses, with one line of JSON, requests for another host (DNS rebinding), from another site, or above ``limit``
    bytes. ``hosts`` are allowed besides this machine's own names; 0.0.0.0 and :: allow every address, but no foreign name.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), limit: int = 256 * 1024):
        self.app, self.limit = app, limit
        self.hosts = {*LOCAL, *(h.lower().strip("[]") for h in hosts)}
        self.everywhere = bool(self.hosts & {"0.0.0.0", "::"})
        if self.everywhere:
            self.hosts.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refuse(headers)
        body: list[Message] = []
        if refusal is None:
            body, whole = await self._read(receive)
            refusal = None if whole else self._too_large()
        elif headers.get("content-length", "").isdecimal() and int(headers["content-length"]) <= DRAINED * self.limit:
            await _drain(receive)  # who is still sending would see a broken connection and not the answer
        if refusal is not None:
            await _answer(send_guarded, *refusal)
            return

        async def replay() -> Message:
            return body.pop(0) if body else await receive()

        await self.app(scope, replay, send_guarded)

    def _refuse(self, headers: dict[str, str]) -> tuple[int, str] | None:
        host = _name(headers.get("host", ""))
        if not self._allowed(host):
            return 403, f"this server does not answer for the host {host!r}; open it by the address that it printed"
        origin = headers.get("origin")
        if origin is not None and not self._allowed(_host(origin)):
            return 403, f"this server does not answer pages of {origin}"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length is no number"
        return self._too_large() if int(length) > self.limit else None

    def _allowed(self, host: str) -> bool:
        return host in self.hosts or (self.everywhere and _is_address(host))

    def _too_large(self) -> tuple[int, str]:
        return 413, f"the request is larger than {self.limit // 1024} KiB; give a shorter text"

    async def _read(self, receive: Receive) -> tuple[list[Message], bool]:
        """Read the whole body; return its messages, and False where it is too large."""
        messages: list[Message] = []
        size, more = 0, True
        while more:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            if size > self.limit:
                return [], False
        return messages, True


async def _drain(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        pass


async def _answer(send: Send, status: int, error: str) -> None:
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _host(origin: str) -> str:
    try:
        return _name(urlsplit(origin).netloc)
    except ValueError:  # half an address
        return ""


def _name(host: str) -> str:
    """Return a host without its port and brackets."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
