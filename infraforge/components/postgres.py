"""PostgreSQL under Patroni: its passwords, its roles and database, and a way in for the harness."""

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
    """PostgreSQL 17; who leads is kept in the Kubernetes API."""

    name = "postgres"
    namespace = NAMESPACE
    needs = ("namespaces",)
    listens = (Listener(5432, postgres=True), Listener(_PATRONI))
    reloads = True
    trust = Trust.RUNNING

    def certify(self, site: Site) -> None:
        """Also for the members' own names."""
        site.certificate(
            self.name,
            NAMESPACE,
            [self.name],
            extra_names=[f"*.postgres-internal.{NAMESPACE}.svc"],
        )

    def prepare(self, site: Site) -> None:
        """Secret `postgres`."""
        site.secret(self.name, NAMESPACE, new_passwords)

    def configure(self, site: Site) -> None:
        """Roles and the application's database. Touches no password."""

        def leads() -> bool:
            with self.connect(site, "postgres") as connection:
                return not _value(connection, "SELECT pg_is_in_recovery()")

        # ready is a little before Patroni has taken the lead and labelled the pod
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
            raise ClusterError(f"PostgreSQL does not take its roles: {error}") from error

    def reload(self, site: Site) -> None:
        """Patroni's own certificate, and by Patroni that of PostgreSQL; connections stay."""
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
                    raise ClusterError(f"Patroni does not reload: {error}") from error

    def vault_credentials(self, site: Site) -> tuple[str, str]:
        """A new password for Vault's login, in force at once and kept nowhere.

        To be asked for only where Vault has none that works: whatever it had is void after this.
        """
        password = secrets.token_urlsafe(32)
        try:
            with self.connect(site, "postgres") as connection:
                # the server gets the verifier only: no statement carries the password
                verifier = connection.pgconn.encrypt_password(
                    password.encode(), VAULT_ROLE.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(VAULT_ROLE), sql.Literal(verifier.decode())
                    )
                )
        except psycopg.Error as error:
            raise ClusterError(f"Vault's login cannot be given a password: {error}") from error
        return VAULT_ROLE, password

    # what suites and probes use

    @contextlib.contextmanager
    def connect(self, site: Site, database: str = DATABASE) -> Iterator[Connection]:
        """The leader, as superuser, every statement on its own (autocommit).

        Raises ClusterError when there is no way to it or it lets nobody in.
        """
        passwords = self._passwords(site)
        with site.forward(NAMESPACE, f"svc/{self.name}", 5432) as port:
            try:
                connection: Connection = psycopg.connect(
                    host="localhost",  # the name in its certificate
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
                raise ClusterError(f"PostgreSQL lets nobody in: {error}") from error
            with contextlib.closing(connection):
                yield connection

    def _passwords(self, site: Site) -> Mapping[str, str]:
        passwords = site.read_secret(self.name, NAMESPACE)
        if passwords is None:
            raise ClusterError(f"there is no Secret {NAMESPACE}/{self.name}")
        return passwords


def new_passwords() -> Mapping[str, str]:
    """Passwords for Patroni: superuser, replication, rewind, and for changes through its API."""
    return {
        user: secrets.token_urlsafe(32)
        for user in ("superuser", "replication", "rewind", "restapi")
    }


def _value(connection: Connection, query: LiteralString, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _run(connection: Connection, script: str) -> None:
    """All statements of a file of the platform's own."""
    connection.execute(script.encode())
