"""PostgreSQL under Patroni: passwords, roles, database, and the harness' own access."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

import psycopg
import requests
from psycopg import sql

from infraforge.components import containers
from infraforge.components.base import Component, Listener, Trust
from infraforge.components.site import Site
from infraforge.errors import ClusterError
from infraforge.wait import seconds, wait_until

NAMESPACE = "infraforge-data"
DATABASE = "infraforge"
VAULT_ROLE = "vault"
_SUPERUSER = "postgres"
_PATRONI = 8008

Connection = psycopg.Connection[tuple[Any, ...]]


class Postgres(Component):
    """PostgreSQL 17; Patroni keeps the leader lock in the Kubernetes API."""

    name = "postgres"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(5432, postgres=True), Listener(_PATRONI))
    reloads = True
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        """Issue its certificate, which also names the members."""
        site.certificate(
            self.name,
            NAMESPACE,
            [self.name],
            extra_names=[f"*.postgres-internal.{NAMESPACE}.svc"],
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
        passwords = self._passwords(site)
        for pod in containers.pods(site, self.name):
            with site.forward(NAMESPACE, f"pod/{pod.metadata.name}", _PATRONI) as port:
                try:
                    requests.post(
                        f"https://localhost:{port}/reload",
                        auth=("patroni", passwords["restapi"]),
                        verify=str(site.ca_file),
                        timeout=10,
                    ).raise_for_status()
                except requests.RequestException as error:
                    raise ClusterError(f"Patroni did not reload: {error}") from error

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
        passwords = self._passwords(site)
        with site.forward(NAMESPACE, f"svc/{self.name}", 5432) as port:
            try:
                connection: Connection = psycopg.connect(
                    host="localhost",  # the name in the server's certificate
                    hostaddr="127.0.0.1",
                    port=port,
                    dbname=database,
                    user=_SUPERUSER,
                    password=passwords["superuser"],
                    sslmode="verify-full",
                    sslrootcert=str(site.ca_file),
                    connect_timeout=10,
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
