"""PostgreSQL under Patroni: passwords, roles, database, and the harness' own access.

With several members the way in is the one that takes writes, whatever the Service's label says.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

import psycopg
from kubernetes import client
from psycopg import sql

from infraforge.components import containers, members, patroni
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import seconds, wait_until

NAMESPACE = "infraforge-data"
DATABASE = "infraforge"
VAULT_ROLE = "vault"
_SUPERUSER = "postgres"
_PORT = 5432
_PATRONI = 8008

Connection = psycopg.Connection[tuple[Any, ...]]


class Postgres(Component):
    """PostgreSQL 17; Patroni keeps the leader lock in the Kubernetes API."""

    name = "postgres"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(_PORT, postgres=True), Listener(_PATRONI))
    reloads = True
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        site.certificate(
            self.name,
            NAMESPACE,
            [self.name],
            extra_names=[f"*.postgres-internal.{NAMESPACE}.svc", f"*.{members.DOMAIN}"],
        )

    def prepare(self, site: Site) -> None:
        """Create Secret `postgres`."""
        site.secret(self.name, NAMESPACE, new_passwords)

    def configure(self, site: Site) -> None:
        """Create the roles and the application's database. Changes no password."""

        def leads() -> bool:
            with self.connect(site, "postgres") as connection:
                return not _value(connection, "SELECT pg_is_in_recovery()")

        # ready comes shortly before Patroni has taken the lead and labelled the pod
        wait_until(leads, seconds(60), ignoring=(ClusterError,), what="a leader answers", every=0.5)
        if len(members.of(site.profile)) > 1:
            self._replicate(site)
        folder = site.tree / "components" / "postgres"
        try:
            with self.connect(site, "postgres") as connection:
                _run(connection, (folder / "roles.sql").read_text())
                if not _value(
                    connection, "SELECT count(*) FROM pg_database WHERE datname = %s", DATABASE
                ):
                    connection.execute(
                        sql.SQL("CREATE DATABASE {} OWNER app_owner").format(
                            sql.Identifier(DATABASE)
                        )
                    )
            with self.connect(site) as connection:
                _run(connection, (folder / "database.sql").read_text())
        except psycopg.Error as error:
            raise ClusterError(f"PostgreSQL refused the set-up of its roles: {error}") from error

    def reload(self, site: Site) -> None:
        """Reload Patroni, which reloads PostgreSQL; connections stay open."""
        for pod in containers.pods(site, self.name):
            self.patroni(site, pod.metadata.name, "POST", "reload")

    def vault_credentials(self, site: Site) -> tuple[str, str]:
        """A new password for Vault's login, valid at once and stored nowhere.

        Call this only where Vault has no working password: it invalidates the former one.
        """
        password = secrets.token_urlsafe(32)
        try:
            with self.connect(site, "postgres") as connection:
                # the server gets only the verifier: no statement carries the password
                verifier = connection.pgconn.encrypt_password(
                    password.encode(), VAULT_ROLE.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(VAULT_ROLE), sql.Literal(verifier.decode())
                    )
                )
        except psycopg.Error as error:
            raise ClusterError(f"PostgreSQL refused a password for Vault: {error}") from error
        return VAULT_ROLE, password

    # for suites and probes

    @contextlib.contextmanager
    def connect(self, site: Site, database: str = DATABASE) -> Iterator[Connection]:
        """A superuser connection to the leader, each statement by itself (autocommit).

        Raises ClusterError when the leader cannot be reached or refuses the login.
        """
        with self.way_in(site) as port, self._connected(site, port, database) as connection:
            yield connection

    @contextlib.contextmanager
    def connect_member(
        self, site: Site, pod: str, database: str = DATABASE
    ) -> Iterator[Connection]:
        """This member, primary or standby, as superuser. Raises ClusterError as `connect` does."""
        with (
            site.forward(NAMESPACE, f"pod/{pod}", _PORT) as port,
            self._connected(site, port, database) as connection,
        ):
            yield connection

    @contextlib.contextmanager
    def way_in(self, site: Site) -> Iterator[int]:
        """A local port that leads to the primary. Raises ClusterError where there is none."""
        pods = members.of(site.profile)
        target = f"svc/{self.name}" if len(pods) == 1 else f"pod/{self.primary(site)}"
        with site.forward(NAMESPACE, target, _PORT) as port:
            yield port

    def primary(self, site: Site) -> str:
        """The pod of the member that takes writes, as its PostgreSQL says. Raises ClusterError."""
        told = []
        for pod in patroni.likeliest_first(containers.pods(site, self.name)):
            try:
                with self.connect_member(site, pod, "postgres") as connection:
                    if not _value(connection, "SELECT pg_is_in_recovery()"):
                        return pod
                    told.append(f"{pod} is a standby")
            except (ClusterError, psycopg.Error) as error:
                told.append(f"{pod}: {str(error).splitlines()[0]}")
        raise ClusterError(f"no member of {self.name} takes writes: {'; '.join(told)}")

    def look(self, site: Site) -> patroni.Members:
        """Who is primary, who streams from it, and who may follow it. Raises ClusterError."""
        pod = self.primary(site)
        try:
            with self.connect_member(site, pod, "postgres") as connection:
                rows = connection.execute(patroni.STREAMS).fetchall()
        except psycopg.Error as error:
            raise ClusterError(f"{pod} does not say who streams: {error}") from error
        name, annotation = patroni.SYNC
        try:
            found: Any = site.core.read_namespaced_config_map(name, NAMESPACE)
        except client.ApiException as error:
            raise ClusterError(f"ConfigMap {name} cannot be read: {error.reason}") from error
        promotable = (found.metadata.annotations or {}).get(annotation) or ""
        return patroni.Members.seen(pod, rows, promotable)

    def leading_pod(self, site: Site) -> str:
        """The primary's, where there are several members."""
        return self.primary(site) if len(members.of(site.profile)) > 1 else ""

    def patroni(self, site: Site, pod: str, method: str, path: str, body: Any = None) -> str:
        """What a member's Patroni answers to a request of its API. Raises ClusterError."""
        password = self._passwords(site)["restapi"]
        with site.forward(NAMESPACE, f"pod/{pod}", _PATRONI) as port:
            return patroni.ask(port, site.ca_file, password, (method, path), body)

    def _replicate(self, site: Site) -> None:
        """What its files say is in force, and a standby is waited for by commits."""
        folder = site.tree / "components" / self.name
        settings = patroni.settings(site.profile, folder)
        self.patroni(site, self.primary(site), "PUT", "config", settings["bootstrap"]["dcs"])
        wait_until(
            lambda: self.look(site).whole(len(members.of(site.profile))),
            site.profile.budgets.component,
            ignoring=(ClusterError,),
            what="all standbys stream, and commits wait for one",
            every=0.5,
        )

    @contextlib.contextmanager
    def _connected(self, site: Site, port: int, database: str) -> Iterator[Connection]:
        try:
            connection: Connection = psycopg.connect(
                host="localhost",  # the name in the server's certificate
                hostaddr="127.0.0.1",
                port=port,
                dbname=database,
                user=_SUPERUSER,
                password=self._passwords(site)["superuser"],
                sslmode="verify-full",
                sslrootcert=str(site.ca_file),
                connect_timeout=10 if len(members.of(site.profile)) == 1 else 3,
                application_name="infraforge",
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            raise ClusterError(f"PostgreSQL refused the connection: {error}") from error
        with contextlib.closing(connection):
            yield connection

    def _passwords(self, site: Site) -> Mapping[str, str]:
        passwords = site.read_secret(self.name, NAMESPACE)
        if passwords is None:
            raise ClusterError(f"there is no Secret {NAMESPACE}/{self.name}; run: infraforge up")
        return passwords


def new_passwords() -> Mapping[str, str]:
    """Passwords for Patroni's users: superuser, replication, rewind, and its REST API's."""
    return {
        user: secrets.token_urlsafe(32)
        for user in ("superuser", "replication", "rewind", "restapi")
    }


def _value(connection: Connection, query: LiteralString, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _run(connection: Connection, script: str) -> None:
    """Run all statements of one of the platform's own files."""
    connection.execute(script.encode())
