"""The demonstration's website at `/demo`: a pottery with four pages, the snippet and a consent banner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.analytics.funnels import Funnel, read_step
from dashboard.server.demo.profiles import WEBSITE
from dashboard.server.demo.timeline import DEMO_DOMAIN
from dashboard.web.templating import Pages

DEMO_PAGES: Final = {
    "": ("Stilla", "demo/home.html"),
    "shop": ("Shop", "demo/shop.html"),
    "workshops": ("Workshops", "demo/workshops.html"),
    "about": ("About", "demo/about.html"),
}
"""Last part of the address to title and template."""


@dataclass(frozen=True, slots=True)
class Product:
    """Something the pottery sells."""

    name: str
    title: str
    price: str
    text: str


WARES: Final = (
    Product("mug-blue", "Mug, lake blue", "24", "Holds the morning and keeps it warm."),
    Product("bowl-large", "Large bowl", "58", "For soup, or for keys and apples."),
    Product("teapot", "Teapot", "96", "Pours without a drop on the cloth."),
    Product("vase-tall", "Tall vase", "74", "One branch is enough."),
)


def demo_funnel() -> Funnel:
    """The way from a product to its purchase."""
    steps = tuple(read_step(each, "steps") for each in WEBSITE.funnel.steps)
    return Funnel(name=WEBSITE.funnel.name, steps=steps)


def demo_routes(pages: Pages) -> list[Route]:
    """The addresses of the demonstration site."""

    def page(name: str, title: str, template: str) -> Route:
        async def show(_: Request) -> Response:
            return pages.html(template, title=title, here=name, menu=DEMO_PAGES, wares=WARES, domain=DEMO_DOMAIN)

        middleware = [Middleware(GZipMiddleware, minimum_size=1_000)]
        return Route(f"/demo/{name}".rstrip("/"), show, name=f"demo-{name or 'home'}", middleware=middleware)

    return [page(name, title, template) for name, (title, template) in DEMO_PAGES.items()]
