"""The set-ups of `deploy/`, as strictly as they can be held without an engine, a cluster or systemd as process 1.

What is run by hand, with which versions, and what nobody has run, stands in deploy/README.md.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

from streams.live.settings import Settings, load
from streams.sinks.settings import DeliverySettings
from tests.deploy.plain_root import instructions

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "docker-compose.yml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SUPPLY = ROOT / ".supply" / "bin"
needs_supply = pytest.mark.skipif(not (SUPPLY / "hadolint").exists(), reason="no tools: `make .supply/done` gets them")
PORTS = {
    "worker": Settings.model_fields["http_port"].default,
    "canary": Settings.model_fields["canary_port"].default,
    "deliver": DeliverySettings.model_fields["http_port"].default,
}


def ran(*words):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


def documents(path):
    """What a file of YAML holds."""
    code = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))"
    status, said = ran(SUPPLY / "python", "-c", code, path)
    assert status == 0, said
    return json.loads(said)


# The image ----------------------------------------------------------------------------------------------------------


@needs_supply
def test_hadolint_finds_nothing_in_the_dockerfile():
    assert ran(SUPPLY / "hadolint", DOCKERFILE) == (0, "")


@needs_supply
def test_hadolint_finds_what_is_wrong(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace("--no-install-recommends ", ""))
    status, said = ran(SUPPLY / "hadolint", tmp_path / "Dockerfile")
    assert status == 1
    assert "DL3015" in said


def test_what_the_engine_is_sent_is_what_the_dockerfile_copies_and_no_secret():
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    sent = {line.removeprefix("!").rstrip("/") for line in rules if line.startswith("!")}
    copied = {
        one.rstrip("/")
        for word, rest in instructions(DOCKERFILE.read_text())
        if word == "COPY" and not rest.startswith("--from")
        for one in rest.split()[:-1]
    }
    assert sent == copied
    assert all((ROOT / one).exists() for one in sent)


def test_the_image_is_not_root_and_its_health_check_asks_where_a_worker_answers():
    found = dict(instructions(DOCKERFILE.read_text()))
    assert found["USER"] == "10001:10001"
    assert found["EXPOSE"] == str(PORTS["worker"])
    assert f"http://127.0.0.1:{PORTS['worker']}/healthz" in found["HEALTHCHECK"]


def test_images_of_others_are_pinned_by_digest_or_said_not_to_be():
    pinned = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
    base = dict(instructions(DOCKERFILE.read_text()))["ARG"].removeprefix("BASE=")
    images = re.findall(r"(?m)^ +image: (\S+)", COMPOSE.read_text())
    loose = {one for one in (base, *images) if not pinned.fullmatch(one)}
    assert loose == {"cmvigil:local", "apache/kafka:4.4.0"}
    assert "`apache/kafka:4.4.0` is not pinned" in (DEPLOY / "README.md").read_text()


# Compose ------------------------------------------------------------------------------------------------------------

# compose-go 2.16.2, schema/compose-spec.json (Apache-2.0), without its descriptions.
SCHEMA = jsonschema_rs.validator_for(json.loads((Path(__file__).parent / "compose-spec.schema.json").read_text()))


@needs_supply
def test_compose_holds_to_the_specification():
    (made,) = documents(COMPOSE)
    assert [str(error) for error in SCHEMA.iter_errors(made)] == []


@needs_supply
@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made["services"]["worker-1"].update(restrat="always"),
        lambda made: made["services"]["kafka"]["healthcheck"].update(interval=5),
        lambda made: made["services"]["demo"]["depends_on"]["topics"].update(condition="done"),
        lambda made: made.update(service={}),
    ],
)
def test_the_schema_finds_what_is_mistyped(spoil):
    (made,) = documents(COMPOSE)
    spoil(made)
    assert not SCHEMA.is_valid(made)


@needs_supply
def test_in_compose_every_part_of_ours_is_hardened_and_everything_named_is_there():
    (made,) = documents(COMPOSE)
    services = made["services"]
    ours = {name: one for name, one in services.items() if "build" in one}
    assert {"worker-1", "worker-2", "deliver", "canary", "topics", "demo"} == set(ours)
    for one in ours.values():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
    for name, one in services.items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert set(one.get("depends_on", ())) <= set(services)
        assert set(one.get("secrets", ())) <= set(made["secrets"])
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in made["volumes"], name
        asks = " ".join(one.get("healthcheck", {}).get("test", ()))
        port = PORTS.get(one.get("command", [""])[0])
        assert port in (None, PORTS["worker"]) or f":{port}/healthz" in asks
    targets = re.findall(r'"([\w-]+):(\d+)"', (DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert {(name, int(port)) for name, port in targets if name in ours} == {
        ("worker-1", PORTS["worker"]),
        ("worker-2", PORTS["worker"]),
        ("canary", PORTS["canary"]),
        ("deliver", PORTS["deliver"]),
    }


@needs_supply
def test_in_compose_no_secret_stands_in_the_file_or_is_kept_by_git():
    (made,) = documents(COMPOSE)
    grafana = made["services"]["grafana"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert grafana["secrets"] == ["grafana_password"]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for secret in made["secrets"].values():
        assert "/deploy" + secret["file"].removeprefix(".") in ignored
    named = [name for one in made["services"].values() for name in one.get("environment", ())]
    assert not [name for name in named if re.search("PASSWORD|TOKEN|SECRET", name) and not name.endswith("_FILE")]


@pytest.mark.slow
def test_docker_compose_reads_it():
    docker = shutil.which("docker")
    if docker is None or ran(docker, "compose", "version")[0]:
        pytest.skip("no `docker compose` (it needs no engine for this)")
    status, said = ran(docker, "compose", "-f", COMPOSE, "config", "--quiet")
    assert (status, said) == (0, "")


# Kubernetes ---------------------------------------------------------------------------------------------------------


def validated(version, *paths):
    return ran(SUPPLY / "kubernetes-validate", "--strict", "--quiet", "-k", version, *paths)


@needs_supply
@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_the_manifests_hold_to_the_strict_schemas_of_kubernetes(version):
    assert validated(version, *MANIFESTS) == (0, "")


@needs_supply
@pytest.mark.slow
def test_the_strict_schemas_find_what_is_mistyped(tmp_path):
    text = MANIFESTS[0].read_text()
    for number, (right, wrong) in enumerate((("runAsNonRoot", "runAsNonroot"), ("replicas: 2", "replicas: two"))):
        assert right in text
        (tmp_path / f"{number}.yaml").write_text(text.replace(right, wrong))
    status, said = validated("1.37", *tmp_path.iterdir())
    assert status == 1, said
    assert "runAsNonroot" in said
    assert "two" in said


@needs_supply
def test_in_kubernetes_everything_that_runs_is_hardened_and_fits_together():
    made = [one for path in MANIFESTS for one in documents(path)]
    running = [one for one in made if one["kind"] in ("Deployment", "StatefulSet", "Job")]
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in running]
    assert [one["kind"] for one in running] == ["Deployment", "Deployment", "StatefulSet", "Job"]
    confined = [one["spec"]["podSelector"]["matchLabels"] for one in made if one["kind"] == "NetworkPolicy"]
    assert sorted(map(str, confined)) == sorted(map(str, labels))
    for one in running:
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"].items() >= {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001}.items()
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        if one["kind"] != "Job":
            assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
            assert container["ports"] == [{"name": "http", "containerPort": PORTS[container["args"][0]]}]
            assert "livenessProbe" in container
        claims = one["spec"].get("volumeClaimTemplates", ())
        volumes = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in claims}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    for one in made:
        if one["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            selector = one["spec"].get("podSelector") or one["spec"].get("selector")
            assert selector["matchLabels"] in labels


@needs_supply
def test_in_kubernetes_nothing_may_call_out_to_everywhere():
    made = [one for path in MANIFESTS for one in documents(path) if one["kind"] == "NetworkPolicy"]
    assert made
    for one in made:
        assert set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        for rule in one["spec"]["egress"]:
            assert rule["to"], one["metadata"]["name"]
            assert rule["ports"]
            assert not any(to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for to in rule["to"])


PODS = DEPLOY / "prometheus" / "kubernetes.scrape.yml"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)")
@pytest.mark.parametrize("path", [PODS, DEPLOY / "prometheus" / "prometheus.yml"], ids=lambda path: path.name)
def test_prometheus_takes_its_files(path, tmp_path):
    """Debian's Prometheus is built without Kubernetes: there, how pods are found is left out, and held below."""
    text = path.read_text()
    if ran("promtool", "check", "config", "--syntax-only", path)[0] and path == PODS:
        text = re.sub(r"(?m)^    kubernetes_sd_configs:\n(      .*\n)+", "    static_configs: [{targets: [a]}]\n", text)
        assert "kubernetes_sd" not in text
    for name, given, status in (("right", text, 0), ("wrong", text.replace("credentials_file", "credential_file"), 1)):
        (tmp_path / name).write_text(given)
        assert ran("promtool", "check", "config", "--syntax-only", tmp_path / name)[0] == status, name


def relabeled(labels, rules):
    """What Prometheus makes of a target's labels; None where it drops it."""
    for rule in rules:
        value = ";".join(labels.get(name, "") for name in rule["source_labels"])
        matched = re.fullmatch(rule.get("regex", "(.*)"), value)
        action = rule.get("action", "replace")
        if (action == "keep" and not matched) or (action == "drop" and matched):
            return None
        if action == "replace" and matched:
            labels = labels | {rule["target_label"]: value}
    return labels


@needs_supply
def test_prometheus_finds_each_pod_under_the_job_that_the_rules_go_by():
    ((scrape,),) = (one["scrape_configs"] for one in documents(PODS))
    (found,) = scrape["kubernetes_sd_configs"]
    assert set(found) == {"role", "namespaces", "selectors"}
    assert [found["role"], *(set(one) for one in found["selectors"])] == ["pod", {"role", "label"}]
    chosen = re.search(r"in \((.*)\)", found["selectors"][0]["label"])[1].split(", ")
    (beside,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    jobs = set()
    for one in (one for path in MANIFESTS for one in documents(path)):
        if one["kind"] not in ("Deployment", "StatefulSet", "Job"):
            continue
        app = one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        ports = one["spec"]["template"]["spec"]["containers"][0].get("ports", [{"name": ""}])
        target = {
            "__meta_kubernetes_pod_phase": "Running",
            "__meta_kubernetes_pod_label_app_kubernetes_io_name": app,
            "__meta_kubernetes_pod_container_port_name": ports[0]["name"],
            "__meta_kubernetes_pod_name": f"{app}-1",
        }
        made = relabeled(target, scrape["relabel_configs"])
        assert (made is not None) == (app in chosen) == (one["kind"] != "Job")
        if made is not None:
            assert made["instance"] == f"{app}-1"
            jobs.add(made["job"])
        assert relabeled(target | {"__meta_kubernetes_pod_phase": "Failed"}, scrape["relabel_configs"]) is None
    assert jobs == {one["job_name"] for one in beside["scrape_configs"]}


@needs_supply
def test_the_settings_in_the_manifests_are_settings():
    for path in MANIFESTS:
        for one in documents(path):
            for name, text in one.get("data", {}).items() if one["kind"] == "ConfigMap" else ():
                assert load(DeliverySettings if "deliver" in name else Settings, None, {}, **tomllib.loads(text))


# systemd ------------------------------------------------------------------------------------------------------------


def port_of(unit):
    found = re.search(r"--port (\d+)%i", unit.read_text())
    return None if found is None else found[1]


def test_no_worker_has_the_port_of_the_canary_or_of_the_deliverer():
    (prefix,) = filter(None, map(port_of, UNITS))
    assert {int(f"{prefix}{number}") for number in range(1, 10)}.isdisjoint({PORTS["canary"], PORTS["deliver"]})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
class TestUnits:
    """`systemd-analyze`, which needs no running systemd for this."""

    @pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
    def test_systemd_knows_every_word_of_it(self, tmp_path, unit):
        assert self.verified(tmp_path, unit, unit.read_text()) == []

    def test_it_says_what_it_does_not_know(self, tmp_path):
        text = UNITS[0].read_text().replace("ProtectHome=yes", "ProtectHouse=yes")
        assert any("ProtectHouse" in line for line in self.verified(tmp_path, UNITS[0], text))

    @pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
    def test_it_is_little_exposed(self, tmp_path, unit):
        one = tmp_path / unit.name.replace("@", "@1")
        shutil.copy(unit, one)
        status, said = ran("systemd-analyze", "security", "--offline=true", "--threshold=20", one)
        if "Unknown option" in said or "unrecognized option" in said:
            pytest.skip("systemd-analyze is older than 250")
        assert status == 0, said.splitlines()[-1]

    def verified(self, folder, unit, text):
        """What is said of the unit itself; the program that it names is another here, since it is not installed."""
        one = folder / unit.name.replace("@", "@1")
        one.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
        return [line for line in ran("systemd-analyze", "verify", "--man=no", one)[1].splitlines() if "cmvigil" in line]
