"""Build the documentation website in `site/`: `make docs`.

The pages of `docs/`, the wire format of `snippet/README.md`, the API rendered from its OpenAPI document, and the
platforms rendered from the data of the installation page become one static site by Zensical, which the authors of
Material for MkDocs develop in its place. The pinned version is the last one that has its user interface in the same
package.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from collector.sites.model import Site
from dashboard.api.openapi import document
from dashboard.compliance.site_check.cmp_detection import BANNERS
from dashboard.compliance.site_check.platforms import PLATFORMS
from dashboard.compliance.site_check.tag_snippets import TagOptions, code_of

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
BUILD: Final = ROOT / "site.build"

_VERBS: Final = ("get", "post", "put", "delete")
_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def api_reference(openapi: dict[str, Any]) -> str:
    """The page of the API in Markdown: each operation with its parameters, request body and responses."""
    lines = [
        "# API",
        "",
        "Requests carry `Authorization: Bearer KEY`; keys are made under *Your account* or with `tyst key create`.",
        'Errors are `{"error": "...", "errors": {"field": ["..."]}}`. The same as OpenAPI: `GET /api/openapi.json`.',
        "",
    ]
    for path, verbs in openapi["paths"].items():
        for verb in _VERBS:
            if verb in verbs:
                lines += _operation(path, verb, verbs[verb], verbs.get("parameters", []))
    lines += ["## Schemas", ""]
    for name, schema in openapi["components"]["schemas"].items():
        lines += [f"### {name}", "", *_fields(schema), ""]
    return "\n".join(lines)


def platform_reference() -> str:
    """The page of the platforms in Markdown: where the tag goes on each, and what it looks like there."""
    lines = [
        "# Platforms",
        "",
        "Where the tag goes, and what it looks like there for `example.com`, measured by `stats.example.com`.",
        "A site's page *Installation* has the same with its own names, for its policy and its [banner](banners.md).",
        "",
    ]
    for key, platform in PLATFORMS.items():
        banner = platform.banner
        lines += [
            f"## {platform.name}",
            "",
            platform.steps.replace("<head>", "`<head>`").replace("</head>", "`</head>`"),
            "",
        ]
        if banner:
            lines += [f"{platform.name} has a banner of its own: [{BANNERS[banner].name}](banners.md#{banner}).", ""]
        code = code_of(Site(domain="example.com"), "https://stats.example.com/", TagOptions(variant=key, banner=banner))
        lines += ["```" + _LANGUAGES.get(platform.form, "html"), code, "```", ""]
    return "\n".join(lines)


_LANGUAGES: Final = {"wordpress": "php", "nextjs": "tsx"}
_ELEMENT: Final = re.compile(r"</?head>")


def _operation(path: str, verb: str, operation: dict[str, Any], shared: list[dict[str, Any]]) -> Iterator[str]:
    yield from (f"## `{verb.upper()} {path}`", "", f"{operation['summary']}.", "")
    parameters = [*shared, *operation.get("parameters", [])]
    if parameters:
        yield from ("| parameter | in | type | |", "| --- | --- | --- | --- |")
        for each in parameters:
            required = "required" if each.get("required") else ""
            yield f"| `{each['name']}` | {each['in']} | {_type(each['schema'])} | {required} |"
        yield ""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from (f"Request body: {_type(content['schema'])}, `{media}`.", "")
    yield from ("| status | response |", "| --- | --- |")
    for status, response in operation["responses"].items():
        found = [_type(each["schema"]) for each in response.get("content", {}).values() if each.get("schema")]
        yield f"| {status} | {response['description']}{': ' + ', '.join(found) if found else ''} |"
    yield ""


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    if "properties" not in schema:
        yield f"{_type(schema)}."
        return
    required = schema.get("required", [])
    yield from ("| field | type | |", "| --- | --- | --- |")
    for name, each in schema["properties"].items():
        notes = [each["description"]] if "description" in each else []
        yield f"| `{name}` | {_type(each)} | {'; '.join(['required'] * (name in required) + notes)} |"


def _type(schema: dict[str, Any]) -> str:
    """A schema in few words, such as `array of string` or a link to its own section."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")])).replace("|", "\\|")
    kind = schema.get("type", "any")
    kinds = kind if isinstance(kind, list) else [kind]
    named = "array of " + _type(schema["items"]) if kinds == ["array"] and isinstance(schema.get("items"), dict) else ""
    return named or " or ".join(kinds)


def pages(target: Path) -> None:
    """Write every page into `target`. A link to a file outside the pages becomes the file's name."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DOCS / "screenshots", target / "screenshots")
    sources = {page.name: page.read_text() for page in DOCS.glob("*.md")}
    sources["snippet.md"] = (ROOT / "snippet" / "README.md").read_text().replace("](../docs/", "](")
    sources["api.md"] = api_reference(document())
    sources["platforms.md"] = platform_reference()
    for name, text in sources.items():
        text = text.replace("](../snippet/README.md", "](snippet.md")
        (target / name).write_text(_OUTSIDE.sub(r"`\2`", text))


def main() -> int:
    """Build the site. Returns the exit status of the generator, which fails on warnings."""
    pages(BUILD / "docs")
    shutil.copy(DOCS / "zensical.toml", BUILD / "zensical.toml")
    command = [Path(sys.executable).with_name("zensical"), "build", "--clean", "--strict"]
    status = subprocess.run(command, cwd=BUILD, check=False).returncode
    if status == 0:
        shutil.rmtree(ROOT / "site", ignore_errors=True)
        shutil.move(BUILD / "site", ROOT / "site")
        sys.stdout.write("The documentation is in site/index.html\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
