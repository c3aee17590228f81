"""The container's steps work in a plain directory, and the files of `deploy/` for containers say what they must."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml  # type: ignore[import-untyped] # has no types

from collector.core.settings_table import SETTINGS
from dashboard.web.edge import OPERATORS_OWN
from tests.faults.server import free_port, until
from tests.launcher import ROOT
from tests.length import long
from tests.project.test_wheel import built_distributions

DEPLOY = ROOT / "deploy"
NOBODY = 10001


def instructions() -> list[tuple[str, str]]:
    """The Containerfile as (instruction, arguments), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()]


def last_stage() -> list[tuple[str, str]]:
    """The instructions of the image itself."""
    found = instructions()
    return found[max(place for place, (name, _) in enumerate(found) if name == "FROM") :]


def values(name: str) -> list[str]:
    """The arguments of each such instruction of the image."""
    return [arguments for each, arguments in last_stage() if each == name]


def test_the_image_is_unprivileged_and_writes_to_one_volume() -> None:
    """A pinned release of Python in both stages, a user by number, one volume, a health check, and no shell between."""
    assert {arguments.split()[0] for name, arguments in instructions() if name == "FROM"} == {
        "python:3.11-slim-bookworm"
    }
    assert values("USER") == [f"{NOBODY}:{NOBODY}"]
    assert values("VOLUME") == ["/data"]
    assert json.loads(values("ENTRYPOINT")[0]) == ["/opt/tyst/bin/tyst"]
    assert json.loads(values("CMD")[0]) == ["serve"]
    assert json.loads(values("HEALTHCHECK")[0].split("CMD ")[1])[0] == "/opt/tyst/bin/python"
    assert "ADD" not in {name for name, _ in instructions()}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in the place of the image's root, made by the commands of its RUN.

    The pinned dependencies are not fetched again: the virtual environment sees those that the tests run with.
    """
    root = tmp_path_factory.mktemp("image")
    (root / "wheels").mkdir()
    (root / "opt").mkdir()
    for distribution in built_distributions(tmp_path_factory.mktemp("checkout")):
        shutil.copy(distribution, root / "wheels")
    shutil.copy(ROOT / "requirements.lock", root / "wheels")
    (script,) = values("RUN")
    script = re.sub(r"(?<!\S)/(opt|wheels|data)\b", rf"{root}/\1", script)
    create, locked, wheel, *others = script.split(" && ")
    assert "--require-hashes -r" in locked
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    sees = f"printf '%s\\n' {' '.join(libraries)} > \"$(echo {root}/opt/tyst/lib/python3.*/site-packages)/z.pth\""
    for command in (create.replace("python ", f"{sys.executable} ", 1), sees, wheel, *others):
        subprocess.run(["/bin/sh", "-ec", command], check=True, cwd=root)
    return root


def written(directory: Path) -> dict[Path, int]:
    """Every file and directory below, with the time of its last change."""
    return {path: path.lstat().st_mtime_ns for path in directory.rglob("*")}


@long
def test_what_the_image_runs_serves_and_is_healthy(image: Path) -> None:
    """And writes to its volume only, so that the root file system may be read-only."""
    port = free_port()
    environ = dict(pair.split("=", 1) for pair in values("ENV")[0].split())
    environ |= {"TYST_DATA_DIR": str(image / "data"), "TYST_PORT": str(port), "TYST_HOST": "127.0.0.1"}
    entry = [str(image / json.loads(values("ENTRYPOINT")[0])[0].lstrip("/")), *json.loads(values("CMD")[0])]
    check = json.loads(values("HEALTHCHECK")[0].split("CMD ")[1])
    check = [str(image / check[0].lstrip("/")), "-c", check[2].replace(":8000", f":{port}")]
    before = written(image / "opt")
    with subprocess.Popen(entry, env=environ, cwd=image, stdout=subprocess.DEVNULL) as process:
        try:
            until(
                "healthy", lambda: subprocess.run(check, env=environ, capture_output=True, check=False).returncode == 0
            )
            assert httpx.get(f"http://127.0.0.1:{port}/login").status_code == 200
            assert (image / "data" / "clickhouse").is_dir()
        finally:
            process.terminate()
        assert process.wait(30) == 0
    assert written(image / "opt") == before


def test_compose_runs_it_read_only_behind_caddy() -> None:
    """The proxy's address is the trusted one, and the settings are settings."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    tyst, caddy = services["tyst"], services["caddy"]
    assert (tyst["read_only"], tyst["cap_drop"], tyst["build"]["dockerfile"]) == (True, ["ALL"], "deploy/Containerfile")
    assert tyst["environment"]["TYST_TRUSTED_PROXIES"] == caddy["networks"]["proxied"]["ipv4_address"]
    assert caddy["environment"]["TYST_UPSTREAM"] == f"{tyst['networks']['proxied']['ipv4_address']}:8000"
    assert set(tyst["environment"]) <= {setting.name for setting in SETTINGS}
    assert "ports" not in tyst


def test_kubernetes_has_one_collector_a_volume_and_routes_by_address() -> None:
    """The parts agree with each other, and the settings are settings."""
    every = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    parts = {each["kind"]: each for each in every if each["metadata"]["name"] == "tyst"}
    pods = parts["StatefulSet"]["spec"]
    (container,) = pods["template"]["spec"]["containers"]
    assert pods["serviceName"] == parts["Service"]["metadata"]["name"]
    assert (
        pods["template"]["metadata"]["labels"]
        == parts["Service"]["spec"]["selector"]
        == pods["selector"]["matchLabels"]
    )
    assert pods["template"]["spec"]["securityContext"]["runAsUser"] == NOBODY
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/tmp"}  # noqa: S108 -- in the container
    assert {each["name"] for each in container["env"]} | set(parts["ConfigMap"]["data"]) <= {
        setting.name for setting in SETTINGS
    }
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"tyst:{release}"
    hashed = parts["Ingress"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/upstream-hash-by"]
    assert hashed == "$binary_remote_addr"
    # What is the operator's is routed to a service of no pod.
    (nobody,) = (each for each in every if each["metadata"]["name"] != "tyst")
    assert (nobody["kind"], "selector" in nobody["spec"]) == ("Service", False)
    (rule,) = parts["Ingress"]["spec"]["rules"]
    routed = {each["path"]: each["backend"]["service"]["name"] for each in rule["http"]["paths"]}
    assert routed == dict.fromkeys(OPERATORS_OWN, nobody["metadata"]["name"]) | {"/": "tyst"}


@pytest.mark.parametrize("name", ["nginx.conf", "haproxy-collectors.cfg", "Caddyfile", "Caddyfile-collectors"])
def test_no_proxy_passes_on_what_is_the_operator_s(name: str) -> None:
    """Its configuration names each such path."""
    text = (DEPLOY / name).read_text()
    assert all(re.search(rf"(?<!\S){path}(?!\S)", text) for path in OPERATORS_OWN)
