"""deploy/kubernetes, checked without a cluster: names that lead nowhere, and what Compose says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestrator.config import RunConfig
from shared.queue import QUEUES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OBJECTS = {
    f"{path.stem}/{found['kind']}": found
    for path in sorted(FOLDER.rglob("*.yaml"))
    for found in YAML(typ="safe").load_all(path)
}
RUNNING = {name: one for name, one in OBJECTS.items() if "template" in one.get("spec", {})}
#: Made by hand, as the pages say: kubectl create secret, configmap.
MADE_BY_HAND = {("Secret", "concept-grpo"), ("ConfigMap", "concept-grpo-code")}


def values_of(key: str, value: object) -> Iterator[Any]:
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from values_of(key, each)


def containers(of: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "keda"], ids=["fleet", "keda"])
def test_a_kustomization_names_files_that_exist(folder: Path) -> None:
    found = YAML(typ="safe").load(folder / "kustomization.yaml")

    assert [name for name in found["resources"] if not (folder / name).exists()] == []


@pytest.mark.parametrize("name", [n for n, one in RUNNING.items() if one["kind"] != "Job"])
def test_a_workload_finds_its_pods(name: str) -> None:
    spec = RUNNING[name]["spec"]

    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_names_lead_to_what_is_there_or_made_as_the_page_says() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    named = [one for one in OBJECTS.values() if "metadata" in one]
    there = {(one["kind"], one["metadata"]["name"]) for one in named}
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in RUNNING.values()]
    keys = set()

    for name, one in OBJECTS.items():
        for key in values_of("secretKeyRef", one):
            assert ("Secret", key["name"]) in MADE_BY_HAND, name
            keys.add(key["key"])
        for configmap in values_of("configMap", one):
            assert ("ConfigMap", configmap["name"]) in MADE_BY_HAND, name
        for claim in values_of("claimName", one):
            assert ("PersistentVolumeClaim", claim) in there, name
        if one["kind"] == "Service":
            assert one["spec"]["selector"] in labels, name
    assert [key for key in sorted(keys) if f"--from-literal={key}=" not in page] == []
    hosts = set(re.findall(r"redis://(\w+):6379", str(OBJECTS)))
    assert {("Service", host) for host in hosts} <= there


def test_keda_scales_the_workers_that_are_there_by_both_queues() -> None:
    scaled = OBJECTS["keda/ScaledObject"]["spec"]
    trigger = OBJECTS["keda/TriggerAuthentication"]
    (worker,) = containers(OBJECTS["worker/Deployment"])
    groups = {one["name"]: one.get("value") for one in worker["env"]}["WORKER_GROUPS"]

    assert scaled["scaleTargetRef"]["name"] == OBJECTS["worker/Deployment"]["metadata"]["name"]
    assert [one["metadata"]["listName"] for one in scaled["triggers"]] == list(QUEUES)
    for one in scaled["triggers"]:
        assert one["authenticationRef"]["name"] == trigger["metadata"]["name"]
        assert one["metadata"]["listLength"] == groups
    (secret,) = trigger["spec"]["secretTargetRef"]
    assert ("Secret", secret["name"]) in MADE_BY_HAND


def test_the_images_are_those_of_compose() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    images = {container["image"] for one in RUNNING.values() for container in containers(one)}

    assert [image for image in sorted(images) if f"image: {image}\n" not in compose] == []


@pytest.mark.parametrize("name", RUNNING)
def test_a_container_may_do_no_more_than_it_needs(name: str) -> None:
    pod = RUNNING[name]["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert "PASSWORD" not in str(container["command"])


def test_a_worker_has_time_to_end_its_calls_and_takes_no_file_of_the_user_for_itself() -> None:
    pod = OBJECTS["worker/Deployment"]["spec"]["template"]["spec"]
    (worker,) = pod["containers"]

    assert pod["terminationGracePeriodSeconds"] > RunConfig().request_timeout_s
    assert worker["command"] == ["python", "-P", "-m", "worker"]
    assert worker["livenessProbe"]["exec"]["command"] == [*worker["command"], "--healthy"]
