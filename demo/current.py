"""`make demo CLUSTER=current`: the demo on the cluster that the user's own kubectl points to.

Owns: whether the demo may go there, how the images get there, and that nothing of it stays.
Invariants: `decide` and `commands` are pure. A context that does not look like a test cluster is refused unless
WARMUP_CONTEXT is its very name; so is a cluster that has the product, or a namespace of the demo's name, already.
Every call names the context, so that a `kubectl config use-context` meanwhile does not move the demo elsewhere.
Failure: `CurrentClusterError`, one sentence that says what to do; `steps.StepError` when an image does not get there.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import assert_never

from demo.progress import Progress
from demo.target import IMAGES, NAMESPACE, OPERATOR_NAMESPACE, Target
from tests.cluster import images, programs, steps
from tests.cluster.control_plane import CONTEXT as OWN_CONTEXT
from tests.cluster.node import INSIDE

_CRD = "warmupfleets.warmupfleet.io"


class CurrentClusterError(Exception):
    """The demo cannot or must not run there; the message says why and what to do."""


class Delivery(Enum):
    """How images get to a cluster."""

    KIND = "kind load"
    K3D = "k3d image import"
    MINIKUBE = "minikube image load"
    SHARED = "the cluster runs the images that Docker has"
    NODE = "ctr images import, beside the node of make cluster"
    REGISTRY = "push to an image registry"


class Builder(Enum):
    """What builds the images from the Dockerfiles."""

    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


@dataclass(frozen=True)
class Plan:
    context: str
    delivery: Delivery
    where: str
    """The cluster, profile or registry, as the delivering command calls it."""
    reason: str


@dataclass(frozen=True)
class Refusal:
    reason: str


@dataclass(frozen=True)
class Image:
    name: str
    dockerfile: str
    reference: str
    """REPOSITORY:TAG by which pods name it."""
    archive: str
    """Where its docker archive is, or is to be written."""


def decide(context: str | None, environment: Mapping[str, str]) -> Plan | Refusal:
    """Whether the demo may run in the kubectl context `context`, and how its images get there."""
    if not context:
        return Refusal("kubectl has no current context; choose one with: kubectl config use-context NAME")
    named = environment.get("WARMUP_CONTEXT", "")
    if named and named != context:
        return Refusal(
            f"WARMUP_CONTEXT is {named!r}, but kubectl's current context is {context!r}; "
            f"if the first is meant: kubectl config use-context {named}"
        )
    recognised = _recognise(context, environment)
    if recognised is None and not named:
        return Refusal(
            f"the context {context!r} does not look like a test cluster (kind-*, k3d-*, minikube, docker-desktop, "
            f"rancher-desktop, or make cluster-shell), and the demo installs an operator there; "
            f"if that is what you want: WARMUP_CONTEXT={context} IMAGE_REGISTRY=... make demo CLUSTER=current"
        )
    if registry := environment.get("IMAGE_REGISTRY", "").rstrip("/"):
        if "://" in registry:
            return Refusal(f"IMAGE_REGISTRY is HOST[:PORT][/PATH] without a scheme, not {registry!r}")
        return Plan(context, Delivery.REGISTRY, registry, f"images go to {registry}, as IMAGE_REGISTRY says")
    if recognised is None:
        return Refusal(
            f"there is no known way to bring images to {context!r}; "
            f"set IMAGE_REGISTRY to a registry that you may push to and the cluster pulls from"
        )
    delivery, where = recognised
    return Plan(context, delivery, where, f"{context} looks like a test cluster; images by {delivery.value}")


def _recognise(context: str, environment: Mapping[str, str]) -> tuple[Delivery, str] | None:
    if found := re.fullmatch(r"(kind|k3d)-(.+)", context):
        return (Delivery.KIND if found[1] == "kind" else Delivery.K3D), found[2]
    if context == "minikube":
        return Delivery.MINIKUBE, context
    if context in ("docker-desktop", "rancher-desktop"):
        return Delivery.SHARED, context
    # Others call a context `local` too: ours is known by the shell that we opened.
    if context == OWN_CONTEXT and (directory := environment.get(INSIDE)):
        return Delivery.NODE, directory
    return None


def choose_builder(plan: Plan, engines: Sequence[str]) -> Builder | Refusal:
    """What builds the images, given the names of the container engines that answer on this machine."""
    if plan.delivery is Delivery.NODE:
        return Builder.BUILDAH
    if plan.delivery is Delivery.SHARED and Builder.DOCKER.value not in engines:
        return Refusal(
            f"{plan.context} runs the images that Docker has, and `docker info` does not answer; start it"
        )
    for builder in (Builder.DOCKER, Builder.PODMAN):
        if builder.value in engines:
            return builder
    return Builder.BUILDAH


def commands(plan: Plan, builder: Builder, wanted: Sequence[Image]) -> list[list[str]]:
    """The commands, in order, that build `wanted` and bring them to the cluster; run in the checkout.

    Buildah's archives are made by `images.ensure` beforehand.
    """
    lines: list[list[str]] = []
    for image in wanted:
        if builder is not Builder.BUILDAH:
            build = [builder.value, "build", f"--file={image.dockerfile}", f"--tag={image.reference}", "."]
            lines.append(build)
        if builder is Builder.PODMAN and plan.delivery is not Delivery.REGISTRY:
            lines.append(
                ["podman", "save", "--format=docker-archive", f"--output={image.archive}", image.reference]
            )
        lines += _delivery(plan, builder, image)
    return lines


def _delivery(plan: Plan, builder: Builder, image: Image) -> list[list[str]]:
    by_engine = builder is Builder.DOCKER
    match plan.delivery:
        case Delivery.KIND if by_engine:
            return [["kind", "load", "docker-image", image.reference, f"--name={plan.where}"]]
        case Delivery.KIND:
            return [["kind", "load", "image-archive", image.archive, f"--name={plan.where}"]]
        case Delivery.K3D:
            what = image.reference if by_engine else image.archive
            return [["k3d", "image", "import", what, f"--cluster={plan.where}"]]
        case Delivery.MINIKUBE:
            what = image.reference if by_engine else image.archive
            return [["minikube", "image", "load", what, f"--profile={plan.where}"]]
        case Delivery.SHARED:
            return []
        case Delivery.NODE:
            socket = f"--address={plan.where}/containerd.sock"
            return [["ctr", socket, "--namespace=k8s.io", "images", "import", image.archive]]
        case Delivery.REGISTRY if builder is Builder.BUILDAH:
            push = [sys.executable, "-m", "tests.cluster.images", f"--push={image.reference}", image.name]
            return [push]
        case Delivery.REGISTRY:
            return [[builder.value, "push", image.reference]]
        case never:
            assert_never(never)


class CurrentCluster:
    """The user's cluster as a target of the demo."""

    def __init__(self, context: str, references: Mapping[str, str]) -> None:
        self._kubectl = [_program("kubectl"), f"--context={context}"]
        self._helm = [_program("helm"), f"--kube-context={context}"]
        self._references = references

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl in the context."""
        return _run([*self._kubectl, *arguments], stdin, timeout)

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        """Run helm in the context."""
        return _run([*self._helm, *arguments], None, timeout)

    def image(self, name: str) -> str:
        """As the cluster knows it."""
        return self._references[name]


@contextmanager
def current_cluster(progress: Progress) -> Iterator[Target]:
    """The user's cluster with the images in it; what the demo installs there is removed afterwards."""
    plan = decide(_current_context(), os.environ)
    if isinstance(plan, Refusal):
        raise CurrentClusterError(plan.reason)
    progress.say(plan.reason)
    builder = choose_builder(plan, [name for name in ("docker", "podman") if _answers(name)])
    if isinstance(builder, Refusal):
        raise CurrentClusterError(builder.reason)
    with tempfile.TemporaryDirectory(prefix="warmup-images-") as folder:
        wanted = [_image(plan, name, Path(folder)) for name in IMAGES]
        target = CurrentCluster(plan.context, {image.name: image.reference for image in wanted})
        _refuse_occupied(target, plan.context)
        with progress.step(f"images, built by {builder.value}"):
            if builder is Builder.BUILDAH:
                archives = images.ensure(*IMAGES)
                wanted = [
                    replace(image, archive=str(path)) for image, path in zip(wanted, archives, strict=True)
                ]
            for line in commands(plan, builder, wanted):
                steps.run(" ".join(line), line, log=Path(folder) / "log", directory=images.CHECKOUT)
    try:
        yield target
    finally:
        progress.say(f"removing the demo from {plan.context}")
        _clear(target)


def _image(plan: Plan, name: str, folder: Path) -> Image:
    reference = images.reference(name)
    if plan.delivery is Delivery.REGISTRY:
        # A registry keeps tags, and clusters keep what they pulled: a tag of the content never means two things.
        reference = f"{plan.where}/{name}:{images.key(name)}"
    return Image(name, str(images.DOCKERFILES[name]), reference, str(folder / f"{name}.tar"))


def _refuse_occupied(target: Target, context: str) -> None:
    namespaces = f"namespace/{NAMESPACE}", f"namespace/{OPERATOR_NAMESPACE}"
    there = target.kubectl("get", *namespaces, f"crd/{_CRD}", "--ignore-not-found", "--output=name").split()
    if there:
        raise CurrentClusterError(
            f"{context} has {', '.join(there)} already, which the demo would make and remove; "
            f"use another cluster, or if it is left over: kubectl --context={context} delete {' '.join(there)}"
        )


def _clear(target: Target) -> None:
    target.helm(
        "uninstall", "warmup-fleet", f"--namespace={OPERATOR_NAMESPACE}", "--ignore-not-found", "--wait"
    )
    there = f"namespace/{NAMESPACE}", f"namespace/{OPERATOR_NAMESPACE}", f"crd/{_CRD}"
    target.kubectl("delete", *there, "--ignore-not-found", timeout=300)


def _current_context() -> str | None:
    asked = subprocess.run([_program("kubectl"), "config", "current-context"], capture_output=True, text=True)
    return asked.stdout.strip() or None


def _program(name: str) -> str:
    """The user's own, else one built from its source."""
    return shutil.which(name) or str(programs.ensure(name) / name)


def _answers(engine: str) -> bool:
    """Whether the engine is installed and its server runs."""
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "info"], capture_output=True, timeout=60).returncode == 0


def _run(command: Sequence[str], stdin: str | None, timeout: float) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise CurrentClusterError(
            f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr or done.stdout}"
        )
    return done.stdout
