"""Whether the demo may go to the user's cluster, and by which commands its images get there."""

import sys

import pytest

from demo.current import Builder, Delivery, Image, Plan, Refusal, choose_builder, commands, decide

WORKER = Image("warmup-worker", "Dockerfile.worker", "localhost/warmup-worker:dev", "/tmp/warmup-worker.tar")


def plan(delivery: Delivery, where: str = "trial") -> Plan:
    return Plan("a-context", delivery, where, "a test says so")


@pytest.mark.parametrize(
    ("context", "delivery", "where"),
    [
        ("kind-kind", Delivery.KIND, "kind"),
        ("kind-my-trial", Delivery.KIND, "my-trial"),
        ("k3d-trial", Delivery.K3D, "trial"),
        ("minikube", Delivery.MINIKUBE, "minikube"),
        ("docker-desktop", Delivery.SHARED, "docker-desktop"),
        ("rancher-desktop", Delivery.SHARED, "rancher-desktop"),
    ],
)
def test_a_test_cluster_is_known_by_its_context(context: str, delivery: Delivery, where: str) -> None:
    decided = decide(context, {})
    assert isinstance(decided, Plan)
    assert (decided.context, decided.delivery, decided.where) == (context, delivery, where)
    assert context in decided.reason


@pytest.mark.parametrize(
    "context",
    ["production", "kind", "kind-", "not-kind-trial", "minikube2", "local", "arn:aws:eks:x:cluster/k3d-a"],
)
def test_any_other_context_is_refused_with_the_way_to_insist(context: str) -> None:
    for registry in ({}, {"IMAGE_REGISTRY": "registry.example/team"}):
        decided = decide(context, registry)
        assert isinstance(decided, Refusal)
        assert f"{context!r} does not look like a test cluster" in decided.reason
        assert f"WARMUP_CONTEXT={context}" in decided.reason


def test_a_context_named_exactly_is_accepted_with_a_registry() -> None:
    decided = decide(
        "production", {"WARMUP_CONTEXT": "production", "IMAGE_REGISTRY": "registry.example/team/"}
    )
    assert decided == Plan(
        "production",
        Delivery.REGISTRY,
        "registry.example/team",
        "images go to registry.example/team, as IMAGE_REGISTRY says",
    )


def test_a_context_named_exactly_needs_a_registry() -> None:
    decided = decide("production", {"WARMUP_CONTEXT": "production"})
    assert isinstance(decided, Refusal)
    assert "set IMAGE_REGISTRY" in decided.reason


@pytest.mark.parametrize("context", ["production", "production-2", "kind-trial"])
def test_another_context_than_the_one_named_is_refused(context: str) -> None:
    decided = decide(context, {"WARMUP_CONTEXT": "PRODUCTION", "IMAGE_REGISTRY": "registry.example"})
    assert isinstance(decided, Refusal)
    assert "kubectl config use-context PRODUCTION" in decided.reason


def test_a_registry_is_used_for_a_test_cluster_too_where_one_is_given() -> None:
    decided = decide("kind-trial", {"IMAGE_REGISTRY": "localhost:5000"})
    assert isinstance(decided, Plan)
    assert (decided.delivery, decided.where) == (Delivery.REGISTRY, "localhost:5000")


def test_a_registry_with_a_scheme_is_refused() -> None:
    decided = decide("kind-trial", {"IMAGE_REGISTRY": "https://registry.example"})
    assert isinstance(decided, Refusal)
    assert "without a scheme" in decided.reason


def test_our_own_cluster_is_known_by_its_shell() -> None:
    decided = decide("local", {"WARMUP_NODE": "/cache/cluster"})
    assert isinstance(decided, Plan)
    assert (decided.delivery, decided.where) == (Delivery.NODE, "/cache/cluster")


@pytest.mark.parametrize("context", [None, ""])
def test_no_context_is_refused(context: str | None) -> None:
    decided = decide(context, {})
    assert isinstance(decided, Refusal)
    assert "kubectl config use-context" in decided.reason


@pytest.mark.parametrize(
    ("delivery", "engines", "builder"),
    [
        (Delivery.KIND, ["docker", "podman"], Builder.DOCKER),
        (Delivery.KIND, ["podman"], Builder.PODMAN),
        (Delivery.KIND, [], Builder.BUILDAH),
        (Delivery.SHARED, ["docker"], Builder.DOCKER),
        (Delivery.NODE, ["docker"], Builder.BUILDAH),
    ],
)
def test_the_engine_that_answers_builds(delivery: Delivery, engines: list[str], builder: Builder) -> None:
    assert choose_builder(plan(delivery), engines) is builder


def test_a_cluster_that_shares_dockers_images_needs_docker() -> None:
    refused = choose_builder(plan(Delivery.SHARED), ["podman"])
    assert isinstance(refused, Refusal)
    assert "docker info" in refused.reason


BUILD = "build --file=Dockerfile.worker --tag=localhost/warmup-worker:dev ."
SAVE = "podman save --format=docker-archive --output=/tmp/warmup-worker.tar localhost/warmup-worker:dev"


@pytest.mark.parametrize(
    ("delivery", "builder", "lines"),
    [
        (
            Delivery.KIND,
            Builder.DOCKER,
            [f"docker {BUILD}", "kind load docker-image localhost/warmup-worker:dev --name=trial"],
        ),
        (
            Delivery.KIND,
            Builder.PODMAN,
            [f"podman {BUILD}", SAVE, "kind load image-archive /tmp/warmup-worker.tar --name=trial"],
        ),
        (Delivery.KIND, Builder.BUILDAH, ["kind load image-archive /tmp/warmup-worker.tar --name=trial"]),
        (
            Delivery.K3D,
            Builder.DOCKER,
            [f"docker {BUILD}", "k3d image import localhost/warmup-worker:dev --cluster=trial"],
        ),
        (Delivery.K3D, Builder.BUILDAH, ["k3d image import /tmp/warmup-worker.tar --cluster=trial"]),
        (
            Delivery.MINIKUBE,
            Builder.DOCKER,
            [f"docker {BUILD}", "minikube image load localhost/warmup-worker:dev --profile=trial"],
        ),
        (Delivery.MINIKUBE, Builder.BUILDAH, ["minikube image load /tmp/warmup-worker.tar --profile=trial"]),
        (Delivery.SHARED, Builder.DOCKER, [f"docker {BUILD}"]),
        (
            Delivery.NODE,
            Builder.BUILDAH,
            ["ctr --address=trial/containerd.sock --namespace=k8s.io images import /tmp/warmup-worker.tar"],
        ),
        (Delivery.REGISTRY, Builder.DOCKER, [f"docker {BUILD}", "docker push localhost/warmup-worker:dev"]),
        (Delivery.REGISTRY, Builder.PODMAN, [f"podman {BUILD}", "podman push localhost/warmup-worker:dev"]),
        (
            Delivery.REGISTRY,
            Builder.BUILDAH,
            [f"{sys.executable} -m tests.cluster.images --push=localhost/warmup-worker:dev warmup-worker"],
        ),
    ],
)
def test_the_commands_that_build_and_deliver(delivery: Delivery, builder: Builder, lines: list[str]) -> None:
    assert [" ".join(line) for line in commands(plan(delivery), builder, [WORKER])] == lines
