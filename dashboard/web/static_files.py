"""Static files under content-hashed URLs that browsers may cache for ever."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).resolve().parents[1] / "static"

FOREVER = "public, max-age=31536000, immutable"
BRIEFLY = "public, no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, read once: its bytes, the same compressed, and a digest of its content."""

    media_type: str
    body: bytes
    compressed: bytes
    digest: str


class Assets:
    """All files of the folder `static`, in memory (about 0.3 MB), compressed once when the program starts."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._assets = {
            path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def __contains__(self, name: str) -> bool:
        return name in self._assets

    def url(self, name: str) -> str:
        """The address of a file. Raises `FileNotFoundError` when the build did not make it."""
        asset = self._assets.get(name)
        if asset is None:
            raise FileNotFoundError(f"static/{name} is missing from this installation; in a checkout, run: make build")
        return f"/static/{asset.digest}/{name}"

    async def serve(self, request: Request) -> Response:
        """`/static/{digest}/{name:path}`; an outdated digest gets the current file, not cacheable."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        fresh = request.path_params["digest"] == asset.digest
        headers = {
            "cache-control": FOREVER if fresh else BRIEFLY,
            "etag": f'"{asset.digest}"',
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        body = asset.body
        if "gzip" in request.headers.get("accept-encoding", "") and len(asset.compressed) < len(body):
            body, headers["content-encoding"] = asset.compressed, "gzip"
        return Response(body, media_type=asset.media_type, headers=headers)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # mtime 0: the same content gives the same bytes at every start.
    return Asset(media_type, body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:12])
