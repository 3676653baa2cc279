"""Who may talk to the page: this machine's own browser, or one that shows the token."""

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

COOKIE = "negreplay"
"""Carries the token; the address that is printed sets it."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Go with every answer: the page runs its own script only, loads nothing from elsewhere, and is framed by nobody."""


@dataclass(frozen=True)
class Guard:
    """Lets requests through, or not.

    Args:
        host: on which the server listens.
        token: what a browser has to show; none is needed where only this machine can connect.
    """

    host: str
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, host: str) -> "Guard":
        """The guard of a server that listens on a host; a host that others can reach gets a token."""
        return cls(host, "" if is_loopback(host) else secrets.token_urlsafe(24))

    async def __call__(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answers a request, or refuses it, and adds the headers that every answer has."""
        response = self._refusal(request) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return _refused(f"the address {host!r} is not this page's: open the one that negreplay has printed.")
        given = request.query_params.get("token")
        if request.url.path == "/" and given is not None and self._is_token(given):
            entry = RedirectResponse("/", status_code=303)
            entry.set_cookie(COOKIE, given, httponly=True, samesite="lax")  # strict would fail a link in a message
            return entry
        if not self._is_token(request.cookies.get(COOKIE, "")):
            return _refused(
                "this page needs its token: open the address that negreplay has printed, with its end.", 401
            )
        if request.method not in ("GET", "HEAD") and request.headers.get("origin") != f"http://{host}":
            return _refused("another site has sent this, so nothing was done: use the page itself.")
        return None

    def _is_token(self, given: str) -> bool:
        return not self.token or secrets.compare_digest(given.encode(), self.token.encode())

    def _is_ours(self, host: str) -> bool:
        """Whether a name in a request can be ours.

        Otherwise a foreign site whose name is made to lead to this machine could read the page. An address in numbers
        cannot be made to lead elsewhere.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or (bool(self.token) and (_is_address(name) or name in self._names()))

    def _names(self) -> set[str]:
        return {self.host.lower(), socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a host."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(problem: str, status: int = 403) -> Response:
    return JSONResponse({"problem": problem}, status)
