"""docker-compose.yml, checked without a Docker engine: the schema, and names that lead nowhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestrator.config import RunConfig

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"(?<!\$)\$\{?(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
OURS = ("worker", "flower", "orchestrator", "runs-folder")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def env_example() -> dict[str, str]:
    """What .env.example documents, commented-out settings included."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    settings = [line.lstrip("#") for line in lines if re.match(r"#?[A-Z_]+=", line)]
    return dict(setting.split("=", 1) for setting in settings)


def strings_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings_in(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings_in(item)]
    return [value] if isinstance(value, str) else []


def passed_on(service: dict[str, Any]) -> set[str]:
    """Variables without a value: taken from .env or the shell, if set there."""
    return {name for name, value in service.get("environment", {}).items() if value is None}


def test_the_file_follows_the_compose_specification() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("check-jsonschema"),
         "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_services_depend_on_services_that_exist_and_can_be_waited_for(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, f"{name} depends on {needed}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], f"{name} waits for the health of {needed}"


def test_a_service_outside_a_profile_needs_none_inside(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            profiles = services[needed].get("profiles", [])
            assert set(profiles) <= set(service.get("profiles", [])), f"{name} needs {needed}"


@pytest.mark.parametrize("kind", ["volumes", "networks", "configs", "secrets"])
def test_named_volumes_and_networks_are_declared_and_used(
    compose: dict[str, Any], services: dict[str, dict[str, Any]], kind: str
) -> None:
    mentioned = {
        use.split(":")[0] if isinstance(use, str) else use["source"]
        for service in services.values()
        for use in service.get(kind, [])
    }
    used = {name for name in mentioned if not name.startswith((".", "/", "~", "$"))}

    assert used - {"default"} == set(compose.get(kind, {}))


def test_redis_addresses_name_services(services: dict[str, Any]) -> None:
    hosts = re.findall(r"redis://:\$\{[^}]+\}@([\w.-]+):\d+", COMPOSE.read_text(encoding="utf-8"))

    assert hosts
    assert set(hosts) <= set(services)


def test_every_setting_is_documented_in_env_example(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    interpolated = {m["name"] for text in strings_in(compose) for m in VARIABLE.finditer(text)}
    passed = set().union(*map(passed_on, services.values()))

    assert interpolated | passed == set(env_example())


def test_a_copied_env_example_starts_the_fleet() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    required = set(re.findall(r"\$\{(\w+):\?", text))
    settings = env_example()

    assert {name for name in required if not settings[name]} == set()
    assert re.fullmatch(r"[\w-]+", settings["REDIS_PASSWORD"]), "it becomes part of an address"
    assert re.fullmatch(r"[^:]+:.+", settings["FLOWER_BASIC_AUTH"])
    assert settings["OPENROUTER_API_KEY"] == ""


def test_only_those_who_start_grafana_need_its_password(services: dict[str, Any]) -> None:
    grafana = services["grafana"]

    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:-}"
    script = grafana["entrypoint"][2].replace("$$", "$").replace("exec /run.sh", "echo started")
    for password, (code, out) in {"": (1, ""), "secret": (0, "started\n")}.items():
        ended = subprocess.run(
            ["sh", "-c", script],
            env={"GF_SECURITY_ADMIN_PASSWORD": password},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (code, out)


def test_every_container_is_bounded_in_what_it_may_do_and_log(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
    assert {name for name, one in services.items() if "cap_add" in one} == {"runs-folder"}
    assert [name for name in OURS if not services[name]["read_only"]] == []
    for name in ("redis", "worker"):
        assert services[name]["deploy"]["resources"]["limits"]["memory"], name


def test_workers_see_the_folder_with_the_users_code_and_take_no_file_of_it_for_the_program(
    services: dict[str, Any],
) -> None:
    worker, orchestrator = services["worker"], services["orchestrator"]

    assert worker["volumes"] == ["${WORK_DIR:-.}:/work:ro"]
    assert worker["volumes"][0] in orchestrator["volumes"]
    assert worker["working_dir"] == orchestrator["working_dir"] == "/work"
    assert worker["command"] == ["python", "-P", "-m", "worker"]
    assert worker["healthcheck"]["test"][:5] == ["CMD", "python", "-P", "-m", "worker"]
    # Spans of calls are the workers', services of report_to the orchestrator's.
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in passed_on(worker) & passed_on(orchestrator)
    assert {"WANDB_API_KEY", "MLFLOW_TRACKING_URI", "HF_TOKEN"} <= passed_on(orchestrator)


@pytest.mark.parametrize("name", ["REDIS_PASSWORD", "FLOWER_BASIC_AUTH"])
def test_a_secret_is_required_and_never_has_a_default(name: str) -> None:
    uses = re.findall(rf"\$\{{{name}(..)", COMPOSE.read_text(encoding="utf-8"))

    assert set(uses) == {":?"}


def test_our_services_are_built_from_a_dockerfile_that_exists(
    services: dict[str, dict[str, Any]],
) -> None:
    for name in OURS:
        build = services[name]["build"]
        assert (ROOT / build["context"] / build["dockerfile"]).is_file(), name
    assert {services[name]["image"] for name in OURS} == {services["worker"]["image"]}


def test_files_of_ours_that_are_mounted_exist_and_images_of_others_are_pinned(
    services: dict[str, dict[str, Any]],
) -> None:
    mounts = [use.split(":")[0] for one in services.values() for use in one.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith("./docs")]
    images = {name: one["image"] for name, one in services.items() if name not in OURS}

    assert len(files) == 4
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert [name for name, image in images.items() if not re.search(r":v?\d+\.\d", image)] == []


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    dockerfile = (ROOT / "worker/Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")

    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []
    assert [source for source in sorted(copied) if f"!{source}" not in ignored] == []


def test_only_pages_to_look_at_are_published_and_only_on_loopback(
    services: dict[str, dict[str, Any]],
) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert ports == {
        "flower": ["127.0.0.1:5555:5555"],
        "grafana": ["127.0.0.1:3000:3000"],
        "prometheus": ["127.0.0.1:9090:9090"],
    }
    assert {name for name in ports if services[name].get("profiles") == ["metrics"]} == {
        "grafana",
        "prometheus",
    }


def test_workers_can_be_multiplied_and_have_time_to_end_their_calls(
    services: dict[str, dict[str, Any]],
) -> None:
    worker = services["worker"]

    assert {"container_name", "hostname", "ports"} & set(worker) == set()
    assert worker["deploy"]["replicas"] == "${WORKERS:-2}"
    # Celery's soft shutdown would cut calls off that are on the wire.
    assert "REMAP_SIGTERM" not in worker["environment"]
    assert int(worker["stop_grace_period"].removesuffix("s")) > RunConfig().request_timeout_s


def test_redis_keeps_what_it_is_given(services: dict[str, dict[str, Any]]) -> None:
    command = services["redis"]["command"]
    settings = dict(zip(command[2::2], command[3::2], strict=True))

    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "everysec"
    # noeviction has no meaning without a bound.
    assert settings["--maxmemory"] == "${REDIS_MAXMEMORY:-1gb}"
    assert settings["--maxmemory-policy"] == "noeviction"
    assert any(volume.endswith(":/data") for volume in services["redis"]["volumes"])


def test_no_password_stands_in_a_command(services: dict[str, dict[str, Any]]) -> None:
    """Everyone on the machine can read the commands of its processes."""
    for service in services.values():
        words = strings_in([service.get("command"), service.get("entrypoint")])
        assert [m[0] for word in words for m in VARIABLE.finditer(word) if "PASS" in m[0]] == []

    (config,) = services["redis"]["configs"]
    assert services["redis"]["command"][1] == config["target"]
    content = YAML(typ="safe").load(COMPOSE)["configs"][config["source"]]
    assert content["content"].startswith('requirepass "${REDIS_PASSWORD:?')


def test_only_those_who_call_the_model_get_its_key(services: dict[str, dict[str, Any]]) -> None:
    holders = {
        name
        for name, service in services.items()
        if "OPENROUTER_API_KEY" in service.get("environment", {})
    }

    assert holders == {"worker", "orchestrator"}
