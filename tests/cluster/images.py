"""The images of the cluster, built from the project's own Dockerfiles without Docker, and those of Prometheus from `programs`.

Owns: `$WARMUP_CACHE/images`: buildah's storage and one docker archive an image, `NAME-KEY.tar`, where the key is a
hash of all that the Dockerfile copies in. An archive in the cache is complete (written beside it, then renamed),
so a second call is instant; after an edit of the source alone buildah makes only the last layers anew.
The base image is pulled; where no image registry answers, a stand-in of the same name is made from Debian's
packages, by the mirror that this machine's own apt uses.
Failure: `ImageError`, `steps.StepError` with the end of what buildah wrote, `debian.PackageError`. What an
interrupted build had mounted and started is gone with it: buildah runs in a mount and a PID namespace of its own.

    python -m tests.cluster.images [NAME...]                    builds what is missing, prints the archives
    python -m tests.cluster.images --push=DESTINATION NAME      and copies it to an image registry
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import debian, programs, steps

CHECKOUT = Path(__file__).parents[2]
PAUSE = "pause"
DOCKERFILES = {
    "warmup-operator": Path("Dockerfile.operator"),
    "warmup-worker": Path("Dockerfile.worker"),
    "warmup-demo": Path("demo/Dockerfile"),
    "warmup-dev": Path("bench/Dockerfile"),
}
PROMETHEUS, PROMETHEUS_OPERATOR = "prometheus", "prometheus-operator"
NAMES = (*DOCKERFILES, PAUSE, PROMETHEUS, PROMETHEUS_OPERATOR)
USUAL = ("warmup-operator", "warmup-worker", "warmup-demo", PAUSE)
"""What a cluster runs, but for what watches one, which takes minutes to build."""

_BASE = "python:3.13-slim"
_STAND_IN_SUITE = "trixie"
"""The Debian release whose Python has the base's version."""
_STAND_IN = """\
FROM scratch
ADD base.tar /
RUN rm /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s /usr/bin/python3 /usr/local/bin/python
CMD ["python3"]
"""
# The container that holds a pod's network open. Catatonit is an init for containers that can also just wait.
_PAUSE = """\
FROM scratch
COPY catatonit /pause
ENTRYPOINT ["/pause", "-P"]
"""
# What the Prometheus operator starts it calls by these paths.
_OF_PROGRAMS = {
    PROMETHEUS: """\
FROM scratch
COPY prometheus /bin/
USER 65534:65534
ENTRYPOINT ["/bin/prometheus"]
""",
    PROMETHEUS_OPERATOR: """\
FROM scratch
COPY prometheus-operator prometheus-config-reloader /bin/
USER 65534:65534
ENTRYPOINT ["/bin/prometheus-operator"]
""",
}
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
"""
_KEPT = 2
"""Archives of an image; another checkout may still want the older one."""


class ImageError(Exception):
    """An image cannot be built; the message says why."""


def reference(name: str) -> str:
    """The name by which pods of our own cluster know the image."""
    return f"localhost/{name}:dev"


def key(name: str, checkout: Path = CHECKOUT) -> str:
    """A hash of all that decides what is in the image; good as a tag that never means two things."""
    digest = hashlib.sha256()
    if name == PAUSE:
        digest.update(_PAUSE.encode())
    elif name in _OF_PROGRAMS:
        digest.update(f"{_OF_PROGRAMS[name]}{programs.key()}".encode())
    else:
        for file in _sources(name, checkout):
            content = (checkout / file).read_bytes()
            digest.update(f"{file} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def ensure(*names: str) -> list[Path]:
    """The archives of the images `names` (`USUAL` when none is named), built first where missing. Needs root."""
    wanted = names or USUAL
    if unknown := set(wanted) - set(NAMES):
        raise ImageError(f"no such image: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    archives = [_archive(name, CHECKOUT) for name in wanted]
    if all(archive.exists() for archive in archives):
        return archives
    if os.geteuid() != 0:
        raise ImageError("building the images needs root: buildah mounts their layers")
    debian.ensure("buildah")
    with steps.alone(_folder() / ".lock"):
        _prepare()
        return [_make(name) for name in wanted]


def unpacked(name: str) -> Path:
    """The files of an image in a folder of the cache, for who runs a program of it without a container. Needs root."""
    folder = _folder() / f"{name}-{key(name)}.files"
    if folder.exists():
        return folder
    (archive,) = ensure(name)
    with steps.alone(_folder() / ".lock"):
        _prepare()
        _read(name, archive)
        partial = _folder() / "temporary" / folder.name
        (_folder() / "temporary" / "Dockerfile").write_text(f"FROM {reference(name)}\n")
        # In a chroot: nothing is run, and only so does buildah leave the machine's cgroups alone.
        output = ("--isolation=chroot", "--pull=never", f"--output=type=local,dest={partial}")
        _run(f"unpacking {name}", _buildah("bud", *output, str(partial.parent)), name)
        for older in _folder().glob(f"{name}-*.files"):
            shutil.rmtree(older)
        partial.rename(folder)
    return folder


def push(name: str, archive: Path, destination: str) -> None:
    """Copy an image from its archive to an image registry."""
    # As Docker has it: on this machine itself a registry needs no certificate.
    local = re.match(r"(localhost|127\.\d+\.\d+\.\d+)[:/]", destination)
    flags = ["--tls-verify=false"] if local else []
    with steps.alone(_folder() / ".lock"):
        _prepare()
        _read(name, archive)
        _run(
            f"pushing {destination}",
            _buildah("push", *flags, reference(name), f"docker://{destination}"),
            "push",
        )


def _read(name: str, archive: Path) -> None:
    """Let buildah know an image of which only the archive may be left."""
    _run(f"reading {name}", _buildah("pull", "--quiet", f"docker-archive:{archive}"), name)


def _archive(name: str, checkout: Path) -> Path:
    return _folder() / f"{name}-{key(name, checkout)}.tar"


def _make(name: str) -> Path:
    """Build the image from a snapshot of its sources, which somebody may be editing, and write its archive."""
    context = _folder() / "context"
    shutil.rmtree(context, ignore_errors=True)
    for file in _sources(name, CHECKOUT) if name in DOCKERFILES else ():
        (context / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / file, context / file)
    path = _archive(name, context)
    # Asked again: another run may have built it while we waited for the lock.
    if path.exists():
        return path
    if name == PAUSE:
        debian.ensure("catatonit")
        program = debian.find("catatonit")
        assert program is not None
        _build_from({"catatonit": program}, _PAUSE, reference(name))
    elif name in _OF_PROGRAMS:
        wanted = [it for it in programs.PROGRAMS if it in _OF_PROGRAMS[name].split()]
        folder = programs.ensure(*wanted)
        _build_from({it: folder / it for it in wanted}, _OF_PROGRAMS[name], reference(name))
    else:
        _ensure_base()
        _build(reference(name), context / DOCKERFILES[name], context)
    partial = path.with_suffix(".partial")
    _run(
        f"writing image {name}",
        _buildah("push", reference(name), f"docker-archive:{partial}:{reference(name)}"),
        name,
    )
    partial.rename(path)
    older = sorted(_folder().glob(f"{name}-*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in older[_KEPT:]:
        file.unlink(missing_ok=True)
    return path


def _sources(name: str, checkout: Path) -> list[Path]:
    return [Path(".dockerignore"), DOCKERFILES[name], *copied(DOCKERFILES[name], checkout)]


def copied(dockerfile: Path, checkout: Path) -> list[Path]:
    """Every file of the checkout that its Dockerfile copies into the image or a stage of it, relative to it."""
    files: list[Path] = []
    for sources in re.findall(
        r"^COPY (?!--from=)(.+) \S+$", (checkout / dockerfile).read_text(), re.MULTILINE
    ):
        for source in map(Path, sources.split()):
            if (checkout / source).is_dir():
                below = (
                    path.relative_to(checkout) for path in (checkout / source).rglob("*") if path.is_file()
                )
                files += sorted(path for path in below if "__pycache__" not in path.parts)
            elif (checkout / source).exists():
                files.append(source)
            else:
                raise ImageError(f"{dockerfile} copies {source}, which does not exist in {checkout}")
    return files


def _ensure_base() -> None:
    """Have buildah know the base image: pulled once, else made once."""
    if (
        subprocess.run(
            _buildah("images", "--quiet", _BASE), env=_environment(), capture_output=True
        ).returncode
        == 0
    ):
        return
    try:
        _run(f"pulling {_BASE}", _buildah("pull", "--quiet", _BASE), "base")
        return
    except steps.StepError as error:
        steps.say(f"{error}\nso a stand-in for {_BASE} is made from Debian's packages")
    debian.ensure("mmdebstrap")
    tar = _folder() / "temporary" / "base.tar"
    included = "--include=python3,python3-pip,python3-venv,ca-certificates"
    # What the slim images of that name leave out too.
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man")]
    command = ["mmdebstrap", "--variant=minbase", included, *left_out, _STAND_IN_SUITE, str(tar), _mirror()]
    _run(f"making a stand-in for {_BASE}", command, "base")
    _build_from({tar.name: tar}, _STAND_IN, _BASE)


def _mirror() -> str:
    """The mirror of Debian's packages that this machine's apt has been given."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    mirrors = sorted(
        {line.removeprefix("Debian ") for line in listed.splitlines() if line.startswith("Debian ")}
    )
    if not mirrors:
        raise ImageError(
            f"no image registry answers, and this machine's apt has no mirror of Debian to make {_BASE} from"
        )
    return mirrors[0]


def _build_from(files: Mapping[str, Path], dockerfile: str, tag: str) -> None:
    """Build an image from files, by the names that `dockerfile` calls them."""
    with tempfile.TemporaryDirectory(dir=_folder() / "temporary") as context:
        for name, file in files.items():
            shutil.copy(file, Path(context) / name)
        (Path(context) / "Dockerfile").write_text(dockerfile)
        _build(tag, Path(context) / "Dockerfile", Path(context))


def _build(tag: str, dockerfile: Path, context: Path) -> None:
    # For pip inside, as for pip outside: the machine's own index and authorities.
    settings = {
        "/etc/pip.conf": [
            os.environ.get("PIP_CONFIG_FILE", ""),
            "~/.config/pip/pip.conf",
            "~/.pip/pip.conf",
            "/etc/pip.conf",
        ],
        "/etc/ssl/certs/ca-certificates.crt": ["/etc/ssl/certs/ca-certificates.crt"],
    }
    volumes = []
    for inside, candidates in settings.items():
        if found := [path for path in map(os.path.expanduser, candidates) if os.path.isfile(path)]:
            volumes.append(f"--volume={found[0]}:{inside}:ro")
    command = _buildah(
        *("bud", "--isolation=chroot", "--format=docker", "--layers", "--pull=never", *volumes),
        *(f"--file={dockerfile}", f"--tag={tag}", str(context)),
    )
    _run(f"building image {tag}", command, tag.rpartition("/")[2].partition(":")[0])


def _buildah(*arguments: str) -> list[str]:
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
    return [*alone, "buildah", f"--root={_folder()}/storage", f"--runroot={_folder()}/run", *arguments]


def _run(title: str, command: Sequence[str], log: str) -> None:
    steps.run(title, command, log=_folder() / f"{log}.log", environment=_environment())


def _environment() -> dict[str, str]:
    return {
        "CONTAINERS_CONF": str(_folder() / "containers.conf"),
        "TMPDIR": str(_folder() / "temporary"),
        "PATH": debian.PATH,
    }


def _prepare() -> None:
    """Buildah's settings, and a clean slate for what an interrupted run may have left half done."""
    (_folder() / "containers.conf").write_text(_CONTAINERS_CONF)
    for folder in ("run", "temporary"):
        shutil.rmtree(_folder() / folder, ignore_errors=True)
        (_folder() / folder).mkdir()
    for file in _folder().glob("*.partial"):
        file.unlink()


def _folder() -> Path:
    return programs.cache() / "images"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.images", description="Build the images.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--push", metavar="DESTINATION", help="copy the one image NAME to an image registry")
    given = parser.parse_args()
    if given.push and len(given.names) != 1:
        parser.error("--push takes one NAME")
    try:
        archives = ensure(*given.names)
        print(*archives, sep="\n")
        if given.push:
            push(given.names[0], archives[0], given.push)
    except (ImageError, steps.StepError, debian.PackageError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
