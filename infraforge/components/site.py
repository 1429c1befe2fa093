"""What a component may use during its set-up: secrets, certificates, port-forwards, Vault."""

from __future__ import annotations

import base64
import contextlib
import datetime
import subprocess
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hvac
import requests
from kubernetes import client

from infraforge.cluster import executing, pki, portforward, state, tools
from infraforge.cluster.base import Cluster
from infraforge.components.origin import canonical_origin
from infraforge.errors import ClusterError, UsageError
from infraforge.profile import Profile
from infraforge.wait import NotYet, minutes, wait_until

OPERATOR = "infraforge-operator"
SYSTEM = "infraforge-system"
_CLUSTER_DOMAIN = "svc.cluster.local"


class Site:
    """One stack on one cluster, as its components see it.

    origin: the front door's URL; by default `https://127.0.0.1:` and the profile's port.
    tree: the `platform/` folder in force (a sabotage brings its own).
    renewing: components that get new certificates even where the present ones are still good.
    """

    def __init__(
        self,
        profile: Profile,
        tree: Path,
        cluster: Cluster,
        authority: pki.Authority,
        origin: str = "",
    ) -> None:
        self.profile = profile
        self.tree = tree
        self.cluster = cluster
        self.authority = authority
        self.origin = canonical_origin(origin or f"https://127.0.0.1:{profile.ports.https}")
        self.core = client.CoreV1Api(cluster.api)
        self.apps = client.AppsV1Api(cluster.api)
        self.renewing: frozenset[str] = frozenset()
        self._open = contextlib.ExitStack()
        self._vault_lock = threading.Lock()
        self._vault_port: int | None = None

    @property
    def ca_file(self) -> Path:
        """The platform CA's certificate (PEM) on this machine."""
        return self.authority.ca_file

    @property
    def registry_ca_file(self) -> Path:
        """The certificate of the CA behind this machine's registry; it may not exist."""
        return state.registry_ca_dir() / "ca.crt"

    def close(self) -> None:
        """Close what the site keeps open (the port-forward to Vault)."""
        self._vault_port = None
        self._open.close()

    def secret(
        self, name: str, namespace: str, make: Callable[[], Mapping[str, str]]
    ) -> Mapping[str, str]:
        """The values of Secret `name`: created by `make` the first time, read from then on.

        Two concurrent callers get the same values: the API server decides who was first.
        """
        values = self.read_secret(name, namespace)
        if values is not None:
            return values
        try:
            self.core.create_namespaced_secret(namespace, _secret(name, dict(make())))
        except client.ApiException as error:
            if error.status != 409:
                raise ClusterError(f"Secret {namespace}/{name}: {error.reason}") from error
        values = self.read_secret(name, namespace)
        if values is None:
            raise ClusterError(
                f"Secret {namespace}/{name} was deleted right after it was made; who deletes it? "
                f"Then run: infraforge up"
            )
        return values

    def read_secret(self, name: str, namespace: str) -> Mapping[str, str] | None:
        """The values of Secret `name`, or None where there is none."""
        try:
            secret = self.core.read_namespaced_secret(name, namespace)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise ClusterError(f"Secret {namespace}/{name}: {error.reason}") from error
        return {key: base64.b64decode(value).decode() for key, value in (secret.data or {}).items()}

    def write_secret(
        self, name: str, namespace: str, values: Mapping[str, str], kind: str = "Opaque"
    ) -> None:
        """Set Secret `name` to exactly `values`, whatever it held before."""
        body = _secret(name, values, kind)
        try:
            self.core.create_namespaced_secret(namespace, body)
        except client.ApiException as error:
            if error.status != 409:
                raise ClusterError(f"Secret {namespace}/{name}: {error.reason}") from error
            self.core.replace_namespaced_secret(name, namespace, body)

    def certificate(
        self,
        name: str,
        namespace: str,
        services: Sequence[str],
        *,
        extra_names: Sequence[str] = (),
        extra_ips: Sequence[str] = (),
    ) -> None:
        """Create Secret `NAME-tls` with tls.crt, tls.key and ca.crt for the given Services.

        The present certificate is kept if the CA in force issued it for the same names and it is
        not about to expire. `components/NAME/certificate.toml` may set its lifetime (`hours`).
        """
        life = _life(self.tree / "components" / name / "certificate.toml")
        names = [form for service in services for form in _dns_forms(service, namespace)]
        names += [*extra_names, "localhost"]
        ips = ["127.0.0.1", *extra_ips]
        secret = self.read_secret(f"{name}-tls", namespace)
        again = name in self.renewing
        if (
            secret
            and not again
            and self.authority.vouches_for(secret.get("tls.crt", ""), names, ips, life)
        ):
            return
        pair = self.authority.issue(names, ips, life)
        values = {
            "tls.crt": pair.cert_pem,
            "tls.key": pair.key_pem,
            "ca.crt": self.ca_file.read_text(),
        }
        self.write_secret(f"{name}-tls", namespace, values, kind="kubernetes.io/tls")

    def good_certificate(self, name: str, namespace: str) -> str:
        """The serial number of the component's certificate; "" where a new one is due.

        A new one is due where there is none, where it is not good any more, or by `renewing`.
        """
        secret = self.read_secret(f"{name}-tls", namespace)
        if secret is None or name in self.renewing:
            return ""
        life = _life(self.tree / "components" / name / "certificate.toml")
        good = self.authority.vouches_for(secret.get("tls.crt", ""), (), (), life)
        return pki.serial_of(secret["tls.crt"]) if good else ""

    def refresh_ca(self, name: str, namespace: str) -> None:
        """Put the present CA into the component's Secret; keep its certificate and key."""
        secret = self.read_secret(f"{name}-tls", namespace)
        wanted = self.ca_file.read_text()
        if secret is not None and secret.get("ca.crt") != wanted:
            self.write_secret(
                f"{name}-tls", namespace, {**secret, "ca.crt": wanted}, kind="kubernetes.io/tls"
            )

    def certificate_serial(self, name: str, namespace: str) -> str:
        """The serial number of the component's certificate; "" where there is none."""
        secret = self.read_secret(f"{name}-tls", namespace)
        return pki.serial_of(secret["tls.crt"]) if secret else ""

    def config_map(self, name: str, namespace: str, values: Mapping[str, str]) -> None:
        """Set ConfigMap `name` to exactly `values`."""
        body = client.V1ConfigMap(metadata=_meta(name), data=dict(values))
        try:
            self.core.create_namespaced_config_map(namespace, body)
        except client.ApiException as error:
            if error.status != 409:
                raise ClusterError(f"ConfigMap {namespace}/{name}: {error.reason}") from error
            self.core.replace_namespaced_config_map(name, namespace, body)

    def forward(
        self, namespace: str, target: str, port: int
    ) -> contextlib.AbstractContextManager[int]:
        """A local port forwarded to `target` (`svc/NAME` or `pod/NAME`) during the block."""
        return portforward.forward(tools.kubectl(self.tree), self.cluster, namespace, target, port)

    def execute(self, namespace: str, pod: str, container: str, *argv: str) -> str:
        """The output of a program run in a container. Raises ClusterError when it fails."""
        kubectl = tools.kubectl(self.tree)
        return executing.execute(kubectl, self.cluster, namespace, pod, container, *argv)

    def converse(
        self, namespace: str, pod: str, container: str, *argv: str
    ) -> subprocess.Popen[bytes]:
        """A program in a container, to talk to; see `executing.converse`."""
        kubectl = tools.kubectl(self.tree)
        return executing.converse(kubectl, self.cluster, namespace, pod, container, *argv)

    def output(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        since: datetime.datetime | None = None,
    ) -> str:
        """The output of a pod's container (by default its only one), from about `since` on.

        since: to the second; None for all of it. Raises ClusterError when it cannot be read.
        """
        asked: dict[str, object] = {"container": container} if container else {}
        if since is not None:
            age = datetime.datetime.now(datetime.UTC) - since
            asked["since_seconds"] = max(1, int(age.total_seconds()) + 2)
        try:
            # undecoded: the client would parse lines of JSON as an object of its own
            answer: Any = self.core.read_namespaced_pod_log(
                pod, namespace, _preload_content=False, **asked
            )
        except client.ApiException as error:
            raise ClusterError(f"the log of pod {pod} cannot be read: {error.reason}") from error
        text: str = answer.data.decode("utf-8", "replace")
        return text

    def account_token(self, account: str, namespace: str, *audiences: str) -> str:
        """A ServiceAccount token, valid 10 minutes; without audiences it is for the API server."""
        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=list(audiences), expiration_seconds=600)
        )
        answer = self.core.create_namespaced_service_account_token(account, namespace, request)
        token: str = answer.status.token
        return token

    def vault(self) -> hvac.Client:
        """A Vault client in the operator role, signed in with a 10-minute ServiceAccount token.

        Vault asks the API server whether the token is real. One that has just restarted may leave
        Vault without an answer, so silence is asked again. Raises ClusterError when Vault refuses
        the role, TimedOut when it does not answer within a minute.
        """

        def signed_in() -> hvac.Client:
            with self._vault_lock:
                address = self._vault_address()
            vault = hvac.Client(url=address, verify=str(self.ca_file), timeout=10)
            try:
                vault.auth.kubernetes.login(
                    role="operator", jwt=self.account_token(OPERATOR, SYSTEM, "vault")
                )
            except hvac.exceptions.VaultError as error:
                raise ClusterError(f"Vault refused the operator role: {error}") from error
            except requests.RequestException as error:
                raise NotYet(f"Vault did not answer: {error}") from error
            return vault

        return wait_until(signed_in, minutes(1), what="Vault signs the operator in")

    def _vault_address(self) -> str:
        if self._vault_port is not None:
            address = f"https://127.0.0.1:{self._vault_port}"
            with contextlib.suppress(requests.RequestException):
                requests.get(
                    f"{address}/v1/sys/seal-status", verify=str(self.ca_file), timeout=5
                ).raise_for_status()
                return address
        self._open.close()  # the pod behind the old forward is gone
        self._vault_port = self._open.enter_context(
            self.forward("infraforge-security", "svc/vault", 8200)
        )
        return f"https://127.0.0.1:{self._vault_port}"


def _life(path: Path) -> datetime.timedelta:
    if not path.exists():
        return pki.LEAF_LIFE
    settings = tomllib.loads(path.read_text())
    if set(settings) != {"hours"} or not isinstance(settings["hours"], int):
        raise UsageError(f"{path}: write only `hours`, a whole number")
    return datetime.timedelta(hours=settings["hours"])


def _dns_forms(service: str, namespace: str) -> list[str]:
    return [
        service,
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.{_CLUSTER_DOMAIN}",
    ]


def _meta(name: str) -> client.V1ObjectMeta:
    return client.V1ObjectMeta(name=name, labels={"app.kubernetes.io/part-of": "infraforge"})


def _secret(name: str, values: Mapping[str, str], kind: str = "Opaque") -> client.V1Secret:
    return client.V1Secret(metadata=_meta(name), string_data=dict(values), type=kind)
