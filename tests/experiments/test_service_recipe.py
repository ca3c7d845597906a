"""Tests that Dockerfile and manifests fit the service and each other."""

import json
import re

import pytest
import yaml

from metaflax import cli, serving
from metaflax.few_shot._settings import LearnerSettings
from tests.experiments.scripts import EXPERIMENTS, beside_tests
from tests.workflows import worlds

pytestmark = beside_tests
SERVICE = EXPERIMENTS / "launch" / "service"


def dockerfile():
    """Instructions and their arguments, lists parsed."""
    text = re.sub(r"^#.*\n", "", (SERVICE / "Dockerfile").read_text(), flags=re.M)
    lines = [line.split(" ", 1) for line in text.replace("\\\n", " ").splitlines()]
    return [
        (line[0], json.loads(line[1]) if line[1].startswith("[") else line[1])
        for line in lines
        if len(line) == 2
    ]


def one(instruction):
    [argument] = [value for name, value in dockerfile() if name == instruction]
    return argument


def manifests():
    content = yaml.safe_load_all((SERVICE / "kubernetes.yaml").read_text())
    return {manifest["kind"]: manifest for manifest in content}


def compose():
    return yaml.safe_load((SERVICE / "compose.yaml").read_text())


def pod():
    return manifests()["Deployment"]["spec"]["template"]["spec"]


def command(args):
    """The command of a container with these arguments, as metaflax parses it."""
    python, m, name, *entry = one("ENTRYPOINT")
    assert (python, m, name) == ("python", "-m", "metaflax")
    return cli.parse([*entry, *args], pytest.fail)


def container_args():
    return {
        "image": one("CMD"),
        "compose": compose()["services"]["service"]["command"],
        "kubernetes": pod()["containers"][0]["args"],
    }


@pytest.mark.parametrize("where", ["image", "compose", "kubernetes"])
def test_every_container_starts_the_service_with_options_that_it_has(where):
    serve = command(container_args()[where])
    assert type(serve).__name__ == "Serve"
    assert (serve.host, str(serve.port)) == ("0.0.0.0", str(one("EXPOSE")))
    assert serve.tokens is not None  # Else it refuses to listen to other machines.
    volumes = {
        "image": one("VOLUME"),
        "compose": [
            v.split(":")[1] for v in compose()["services"]["service"]["volumes"]
        ],
        "kubernetes": [v["mountPath"] for v in pod()["containers"][0]["volumeMounts"]],
    }
    cache = next(v for n, v in dockerfile() if n == "ENV").partition("=")[2]
    assert {str(serve.store), cache} <= set(volumes[where])
    if where != "image":  # Several replicas share a database.
        assert serve.database is not None


def test_databases_are_ones_that_the_image_has_a_driver_for():
    url = command(container_args()["compose"]).database
    assert url.startswith("postgresql+psycopg://")
    assert "psycopg" in " ".join(v for n, v in dockerfile() if n == "RUN")
    database = compose()["services"]["database"]["environment"]
    user, password = database["POSTGRES_USER"], database["POSTGRES_PASSWORD"]
    assert url.endswith(f"//{user}:{password}@database/{database['POSTGRES_DB']}")


def test_probes_ask_what_the_service_answers(tmp_path):
    learner = LearnerSettings(model=str(worlds.save_bert(tmp_path / "tiny")))
    app = serving.create_app(serving.ServerSettings(learner, store=tmp_path / "store"))
    routes = {route.path for route in app.routes}
    container = pod()["containers"][0]
    [port] = container["ports"]
    assert port["containerPort"] == int(one("EXPOSE"))
    for probe, path in (
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ):
        asked = container[probe]["httpGet"]
        assert asked == {"path": path, "port": port["name"]}
        assert path in routes
    check = compose()["services"]["service"]["healthcheck"]["test"][-1]
    assert f"http://localhost:{one('EXPOSE')}/readyz" in check
    balancer = compose()["configs"]["nginx"]["content"]
    assert f"http://service:{one('EXPOSE')};" in balancer


def test_names_in_the_manifests_lead_to_each_other():
    found = manifests()
    assert set(found) == {
        *("PersistentVolumeClaim", "Deployment", "Service", "HorizontalPodAutoscaler")
    }
    deployment = found["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    scaled = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", "metaflax")
    [container] = pod()["containers"]
    [port] = found["Service"]["spec"]["ports"]
    assert port["targetPort"] == container["ports"][0]["name"]
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claim = found["PersistentVolumeClaim"]
    named = volumes["store"]["persistentVolumeClaim"]["claimName"]
    assert named == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert pod()["securityContext"]["runAsUser"] == int(one("USER"))


def test_every_file_that_the_image_copies_is_in_the_repository():
    root = EXPERIMENTS.parent
    for name, value in dockerfile():
        if name == "COPY":
            *sources, _ = value.split()
            assert all((root / source).exists() for source in sources)
    build = compose()["services"]["service"]["build"]
    context = (SERVICE / build["context"]).resolve()
    assert context == root
    assert (context / build["dockerfile"]).resolve() == SERVICE / "Dockerfile"
