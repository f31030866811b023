"""Which executor an experiment gets, and what its assets ask of a cluster."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs._executors import check_resources, executor_of, op_tags, resources_of
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Compute, Experiment, load_experiment
from seam_pipeline.store import Store

DEPLOY = Path(__file__).parents[2] / "deploy"
CLUSTER = {
    "light": {"cpu": 1, "memory": "2Gi"},
    "heavy": {"cpu": 4, "memory": "32Gi"},
    "rlhf_policy_*": {"cpu": 8, "memory": "64Gi", "gpu": 2},
}


def study(**compute: Any) -> Study:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["compute"] |= compute
    return build_study(Experiment.model_validate(plain))


def test_the_last_entry_that_fits_counts() -> None:
    found = study(resources=CLUSTER)

    def cpu(name: str) -> float | None:
        resources = resources_of(found.experiment.compute, found.nodes[name])
        return resources.cpu if resources else None

    assert (cpu("posts"), cpu("policy_model"), cpu("rlhf_policy_full")) == (1, 4, 8)
    group = found.nodes["policy_model"].group
    assert (
        resources_of(Compute.model_validate({"resources": {f"group:{group}": {"gpu": 1}}}), found.nodes["posts"])
        is None
    )
    with pytest.raises(SeamError, match=r"compute.resources: rlfh_\* fits no asset of smoke"):
        check_resources(study(resources={"rlfh_*": {"gpu": 1}}))


def test_none_of_it_changes_a_recipe() -> None:
    plain, cluster = study(), study(executor="k8s", resources=CLUSTER)
    for node in plain.order:
        for partition in plain.wanted(node):
            assert plain.settings(node, partition) == cluster.settings(cluster.nodes[node.name], partition), node.name


def test_on_this_machine_nothing_is_asked() -> None:
    found = study(resources=CLUSTER)
    assert all(op_tags(found.experiment, node) == {} for node in found.order)
    assert executor_of(Compute()) is dg.in_process_executor
    assert executor_of(Compute(concurrent_steps=2)).name == "multiprocess"


def test_ray_is_asked_per_step() -> None:
    found = study(executor="ray", resources=CLUSTER)
    tags = {
        name: json.loads(op_tags(found.experiment, found.nodes[name])["dagster-ray/config"]) for name in found.nodes
    }
    assert tags["rlhf_policy_full"] == {"num_cpus": 8.0, "num_gpus": 2, "memory": 64 * 1024**3}
    assert tags["posts"] == {"num_cpus": 1.0, "memory": 2 * 1024**3}
    bare = study(executor="ray")
    assert json.loads(op_tags(bare.experiment, bare.nodes["posts"])["dagster-ray/config"]) == {"num_cpus": 1}


def test_a_missing_package_is_one_sentence() -> None:
    try:
        import dagster_ray  # noqa: F401
    except ImportError:
        with pytest.raises(
            SeamError, match=r"compute.executor: ray needs a package .* pip install 'seam-pipeline\[ray\]'"
        ):
            executor_of(Compute(executor="ray"))
    else:
        assert executor_of(Compute(executor="ray")).name == "ray"


class TestKubernetes:
    """deploy/values.yaml and the assets' tags, through dagster-k8s's own code up to the job that would be sent."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("dagster_k8s", reason="dagster-k8s is not installed (extra k8s)")

    @staticmethod
    def values() -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((DEPLOY / "values.yaml").read_text())
        return found

    def launcher(self) -> Any:
        """The chart's template for the run launcher, and dagster-k8s's check of its outcome."""
        from dagster._config import process_config
        from dagster_k8s import K8sRunLauncher

        given = self.values()["runLauncher"]["config"]["k8sRunLauncher"]
        config = {
            "load_incluster_config": False,
            "job_namespace": "studies",
            "image_pull_policy": given["imagePullPolicy"],
            "service_account_name": "dagster",
            "dagster_home": "/opt/dagster/dagster_home",
            "instance_config_map": "dagster-instance",
            "postgres_password_secret": self.values()["global"]["postgresqlSecretName"],
            "fail_pod_on_run_failure": given["failPodOnRunFailure"],
            "run_k8s_config": {"pod_spec_config": given["runK8sConfig"]["podSpecConfig"]},
        }
        checked = process_config(K8sRunLauncher.config_type(), config)
        assert checked.success, checked.errors
        return checked.value

    def context(self, tags: dict[str, Any]) -> Any:
        """What a step's pod gets from the launcher, the deployment and the asset, in the executor's order."""
        from dagster_k8s.container_context import K8sContainerContext
        from dagster_k8s.job import get_user_defined_k8s_config

        deployment = self.values()["dagster-user-deployments"]["deployments"][0]
        given = {
            "image_pull_policy": deployment["image"]["pullPolicy"],
            "env_config_maps": ["seam-user-env"],
            "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
            "volume_mounts": deployment["volumeMounts"],
            "volumes": deployment["volumes"],
            "resources": deployment["resources"],
            "namespace": "studies",
            "run_k8s_config": {"pod_spec_config": {"automount_service_account_token": True}},
        }
        launcher = K8sContainerContext.create_from_config(
            {"k8s": {"run_k8s_config": self.launcher()["run_k8s_config"]}}
        )
        step = get_user_defined_k8s_config({key: json.dumps(value) for key, value in tags.items()})
        return launcher.merge(K8sContainerContext.create_from_config({"k8s": given})).merge(
            K8sContainerContext(run_k8s_config=step)
        )

    def pod(self, name: str) -> dict[str, Any]:
        """The pod of an asset's step as it would be sent to the cluster."""
        import kubernetes
        from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job

        found = study(executor="k8s", resources=CLUSTER)
        job = construct_dagster_k8s_job(
            DagsterK8sJobConfig(
                job_image="registry.example.com/seam-pipeline:0.1.0",
                dagster_home="/opt/dagster/dagster_home",
                instance_config_map="dagster-instance",
                postgres_password_secret="seam-postgresql",
            ),
            args=["dagster", "api", "execute_step"],
            job_name="step",
            user_defined_k8s_config=self.context(op_tags(found.experiment, found.nodes[name])).run_k8s_config,
        )
        sent: dict[str, Any] = kubernetes.client.ApiClient().sanitize_for_serialization(job)
        spec: dict[str, Any] = sent["spec"]["template"]["spec"]
        return spec

    def test_a_step_gets_its_resources(self) -> None:
        asked = self.pod("rlhf_policy_full")["containers"][0]["resources"]
        assert asked["requests"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
        assert asked["limits"] == {"memory": "64Gi", "nvidia.com/gpu": "2"}
        assert "nvidia.com/gpu" not in self.pod("policy_model")["containers"][0]["resources"]["limits"]

    def test_a_step_sees_the_store_the_experiment_and_the_keys(self) -> None:
        pod = self.pod("posts")
        container = pod["containers"][0]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/study", "/experiments", "/dev/shm"}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["study"]["persistentVolumeClaim"] == {"claimName": "seam-study"}
        assert {"secretRef": {"name": "seam-keys"}} in container["envFrom"]
        assert pod["securityContext"] == {"fsGroup": 1000}

    def test_the_definitions_load_with_the_executor(self, tmp_path: Path) -> None:
        found = study(executor="k8s", resources=CLUSTER)
        defs = build_definitions(found, Store(str(tmp_path)))
        dg.Definitions.validate_loadable(defs)
        assert defs.executor is not None
        step = defs.resolve_assets_def(dg.AssetKey(["smoke", "rlhf_policy_full"]))
        assert "dagster-k8s/config" in step.op.tags

    def test_limits_and_retries_are_an_instances(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the chart writes into dagster.yaml of these values."""
        values = self.values()
        limits, daemon = values["concurrency"], values["dagsterDaemon"]
        runs = {"max_concurrent_runs": limits["runs"]["maxConcurrentRuns"]}
        runs["tag_concurrency_limits"] = limits["runs"]["tagConcurrencyLimits"]
        pools = {"granularity": limits["pools"]["granularity"], "default_limit": limits["pools"]["defaultLimit"]}
        retries = {"enabled": daemon["runRetries"]["enabled"], "max_retries": daemon["runRetries"]["maxRetries"]}
        text = yaml.safe_dump({"concurrency": {"runs": runs, "pools": pools}, "run_retries": retries})
        (tmp_path / "dagster.yaml").write_text(text)
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert instance.run_retries_max_retries == 2


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_the_dockerfile_has_no_lint() -> None:
    done = subprocess.run(["hadolint", str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
