"""A Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, without root or nodes.

Owns: the three processes, their ports, keys and data, all in one directory.
Invariants: RBAC is on and the admission plugins are those of a real cluster; every user of the API has a name
of its own in the audit log; nothing outlives us (see `processes`). StatefulSets make pods; the pods stay Pending
until something acts as their node (see `kubelet`).
Failure: `ControlPlaneError`, which ends with the last lines of the program that failed. The API server and etcd may
be killed and started again: same ports, same data.
"""

import base64
import json
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster import processes, programs
from tests.ports import free_port

JSON, MERGE_PATCH, SERVER_SIDE_APPLY = (
    "application/json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)

CONTEXT = "local"
"""The context in every kubeconfig we write."""
ADMIN = "admin"
CONTROLLER_MANAGER = "kube-controller-manager"
TEST_KUBELET = "test-kubelet"
_USERS = (ADMIN, CONTROLLER_MANAGER, TEST_KUBELET)

_CONTROLLERS = "kube-controller-manager"
_LOOPBACK = "127.0.0.1"
_READY_WITHIN = 240.0
"""Seconds; it takes 3 on an idle machine of two cores."""
_ASKED_AGAIN_AFTER, _ANSWERED_WITHIN = 10.0, 240.0
"""Seconds: who waits for a program asks it again, who has one question to ask has patience."""

# One line a request, when it has been answered, with who asked, for what, and the answer's code. No bodies: they
# hold Secrets.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlaneError(Exception):
    """The control plane is not there; the message names the program and ends with its last lines."""


class ControlPlane:
    """`with ControlPlane(directory) as control_plane:` starts it and ends it.

    `url` is the API server's, `token` the administrator's, `kubeconfig` a file that holds both. Start it from a
    thread that lives as long as the control plane shall. With an `address` other than loopback, which must be
    the machine's own, pods reach it as the Service `kubernetes`.
    """

    def __init__(self, directory: Path, address: str = _LOOPBACK) -> None:
        self.directory = directory.absolute()
        self._address = address
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._controllers_waited = False
        self._tokens = {user: secrets.token_hex(16) for user in _USERS}
        self._etcd_port, self._peer_port, self._port = free_port(), free_port(), free_port()
        self.url = f"https://{address}:{self._port}"
        self.token = self._tokens[ADMIN]
        self.kubeconfig = self.directory / f"{ADMIN}.kubeconfig"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the three programs; back when the API answers and the controllers work."""
        self._write_configuration()
        self.start_etcd()
        self.start_api_server()
        for user in _USERS:
            self._write_kubeconfig(self.directory / f"{user}.kubeconfig", self._tokens[user])
        self._start_controllers()

    def _start_controllers(self) -> None:
        self._controllers_waited = False
        self._run(
            _CONTROLLERS,
            f"--kubeconfig={self.kubeconfig_of(CONTROLLER_MANAGER)}",
            f"--service-account-private-key-file={self.directory}/service-accounts.key",
            f"--root-ca-file={self.certificate}",
            f"--flex-volume-plugin-dir={self.directory}/flexvolume",  # else one is made in /usr/libexec
            "--leader-elect=false",
            "--secure-port=0",
        )
        # The controllers' first visible deed: until then a new namespace has no account for pods to run under.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(_CONTROLLERS, lambda: self._answers_at(account))

    def renew_controllers(self) -> None:
        """Start the controllers again if they had to do without etcd or the API server since they started.

        By themselves they come back one by one, each when its own pause is over, which may be a minute.
        """
        if self._controllers_waited:
            self._kill(_CONTROLLERS)
            self._start_controllers()

    def stop(self) -> None:
        """Kill what runs, the last started first. The data is thrown away, so nothing is worth waiting for."""
        for name in reversed(list(self._programs)):
            self._kill(name)

    def start_etcd(self) -> None:
        """Start etcd, for the first time or after `kill_etcd`; back when it answers."""
        self._controllers_waited = _CONTROLLERS in self._programs
        etcd = f"http://127.0.0.1:{self._etcd_port}"
        self._run(
            "etcd",
            f"--data-dir={self.directory}/etcd",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{self._peer_port}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._wait("etcd", lambda: _answers(f"{etcd}/health"))

    def kill_etcd(self) -> None:
        """`kill -9` etcd. The API server lives on and answers errors."""
        self._kill("etcd")

    def start_api_server(self) -> None:
        """Start the API server, for the first time or after `kill_api_server`; back when it is ready."""
        self._controllers_waited = _CONTROLLERS in self._programs
        certificates = self.certificate.parent
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--bind-address={self._address}",
            f"--secure-port={self._port}",
            f"--cert-dir={certificates}",
            # It would refuse to publish a loopback address.
            f"--endpoint-reconciler-type={'none' if self._address == _LOOPBACK else 'lease'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={self.directory}/service-accounts.key",
            f"--service-account-signing-key-file={self.directory}/service-accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.directory}/tokens.csv",
            f"--audit-policy-file={self.directory}/audit-policy.yaml",
            f"--audit-log-path={self._audit_log}",
            "--audit-log-maxsize=100000",  # megabytes: else the log begins anew within a long run, and counts go back
        )
        self._wait("kube-apiserver", lambda: self._answers_at("/readyz"))

    def kill_api_server(self) -> None:
        """`kill -9` the API server. Etcd, the controllers and whatever else is connected live on."""
        self._kill("kube-apiserver")

    @property
    def programs(self) -> Mapping[str, subprocess.Popen[bytes]]:
        """The programs that run, by name."""
        return self._programs

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of `ADMIN`, `CONTROLLER_MANAGER` or `TEST_KUBELET`: all may do everything."""
        return self.directory / f"{user}.kubeconfig"

    def kubeconfig_of_service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig for an existing ServiceAccount, which may do what its RBAC rules say; good for an hour.

        In the audit log it is `system:serviceaccount:NAMESPACE:NAME`.
        """
        answer = self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", {})
        path = self.directory / f"{namespace}.{name}.kubeconfig"
        self._write_kubeconfig(path, answer["status"]["token"], namespace)
        return path

    def audit(self) -> Iterator[dict[str, Any]]:
        """Every request answered so far, oldest first, as events of `audit.k8s.io/v1`.

        For instance `event["verb"] == "patch"`, `event["user"]["username"]`, `event["objectRef"]["resource"]`,
        `event["responseStatus"]["code"]`, `event["requestURI"]`.
        """
        if self._audit_log.exists():
            with self._audit_log.open() as lines:
                # The last line may be half written.
                yield from (json.loads(line) for line in lines if line.endswith("\n"))

    def request(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> dict[str, Any]:
        """One request as the administrator; the answer's object. Raises `urllib.error.HTTPError`."""
        with self._open(method, path, body, content_type, _ANSWERED_WITHIN) as answer:
            value: dict[str, Any] = json.load(answer)
        return value

    def exists(self, path: str, within: float = _ANSWERED_WITHIN) -> bool:
        """Whether there is something. Raises OSError where nobody answers."""
        try:
            self._open("GET", path, timeout=within).close()
        except urllib.error.HTTPError as error:
            error.close()
            return False
        return True

    def serving(self, path: str) -> None:
        """Back when the API server answers there."""
        self._wait("kube-apiserver", lambda: self._answers_at(path))

    def _open(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = _ASKED_AGAIN_AFTER,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        trust = ssl.create_default_context(cafile=str(self.certificate))
        return urllib.request.urlopen(request, timeout=timeout, context=trust)

    def _answers_at(self, path: str) -> bool:
        try:
            return self.exists(path, _ASKED_AGAIN_AFTER)
        except OSError:  # not listening yet, or without its certificate
            return False

    @property
    def certificate(self) -> Path:
        """Made by the API server at its first start; the file holds the authority that signed it too."""
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def _audit_log(self) -> Path:
        return self.directory / "audit.log"

    def _write_configuration(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        tokens = "".join(f'{token},{user},{user},"system:masters"\n' for user, token in self._tokens.items())
        (self.directory / "tokens.csv").write_text(tokens)
        (self.directory / "audit-policy.yaml").write_text(yaml.safe_dump(_AUDIT_POLICY))
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        (self.directory / "service-accounts.key").write_bytes(key)

    def _write_kubeconfig(self, path: Path, token: str, namespace: str = "default") -> None:
        authority = base64.b64encode(self.certificate.read_bytes()).decode()
        context = {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": CONTEXT, "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": CONTEXT, "user": {"token": token}}],
            "contexts": [{"name": CONTEXT, "context": context}],
            "current-context": CONTEXT,
        }
        path.write_text(yaml.safe_dump(configuration))

    def _run(self, name: str, *flags: str) -> None:
        program = programs.ensure(name) / name
        self._programs[name] = processes.start([str(program), *flags], log=self._log(name))

    def _kill(self, name: str) -> None:
        program = self._programs.pop(name)
        program.kill()
        program.wait()

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until `ready()`; complain about the program `name` when it ends first or takes too long."""
        deadline = time.monotonic() + _READY_WITHIN
        while not ready():
            code = self._programs[name].poll()
            if code is not None:
                problem = f"{name} ended with code {code}"
            elif time.monotonic() > deadline:
                problem = f"{name} was not ready within {_READY_WITHIN:.0f} s"
            else:
                time.sleep(0.05)
                continue
            raise ControlPlaneError(
                f"{problem}; the end of {self._log(name)}:\n{processes.last_lines(self._log(name))}"
            )


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=_ASKED_AGAIN_AFTER).close()
    except OSError:
        return False
    return True
