"""Web page of the service: files of the package, without requests to other hosts."""

import importlib.resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """Returns the routes of the page."""
    folder = importlib.resources.files("metaflax.serving") / "page"
    return [
        _route(path, (folder / name).read_bytes(), kind)
        for path, (name, kind) in FILES.items()
    ]


def _route(path: str, content: bytes, kind: str) -> Route:
    async def page(request: Request) -> Response:
        del request
        return Response(content, media_type=kind, headers=HEADERS)

    return Route(path, page)
