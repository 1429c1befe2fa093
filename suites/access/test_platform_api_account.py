"""The platform API's own security: whom it trusts, who reaches it, what its account may do."""

import json
from functools import partial

import allure
import pytest
import requests

from infraforge.components.namespaces import ALL
from infraforge.components.platform_api import AUDIENCE, NAMESPACE, PORT
from infraforge.judging import judge
from infraforge.probes import reach, rights
from infraforge.probes.reach import Source, Target

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.3", "ISO27001-A.8.2", "NIST-AC-6"),
]

ACCOUNT = "platform-api"
LOOK = {"list apps/deployments", "list apps/statefulsets", "list pods"}
BOOK = f"/api/v1/namespaces/{NAMESPACE}/configmaps/platform-api-actions"
EVERYWHERE = {"create authentication.k8s.io/tokenreviews"}


def stateless(*names):
    kinds = ("deployments", "deployments/scale")
    return {f"patch apps/{kind}/{name}" for kind in kinds for name in names}


def stateful(*names):
    return {f"patch apps/statefulsets/{name}" for name in names}


MAY_DO = {
    "infraforge-access": LOOK
    | stateless("ingress", "login", "oauth2-proxy")
    | stateful("redis-sessions"),
    "infraforge-application": LOOK | stateless("backend", "frontend"),
    "infraforge-data": LOOK | stateful("minio", "postgres", "redis-cache"),
    "infraforge-security": LOOK | stateful("vault"),
    "infraforge-system": LOOK
    | stateless("platform-api")
    | {"get configmaps/platform-api-actions", "patch configmaps/platform-api-actions"},
    "default": set(),
    "kube-system": set(),
}


def test_the_platform_api_trusts_only_the_backends_token(platform, evidence):
    """The platform API accepts only the backend's own token, issued for the platform API."""
    site, user = platform.site, {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "admin"}
    bearers = {
        "nothing": {},
        "backend, for vault": bearer(site, "backend", "vault"),
        "backend, for the API server": bearer(site, "backend"),
        "frontend, for the platform API": bearer(site, "frontend", AUDIENCE),
        "backend, for the platform API": bearer(site, "backend", AUDIENCE),
    }
    shown = bearers["backend, for the platform API"]
    with site.forward(NAMESPACE, "svc/platform-api", PORT) as port:
        ask = partial(straight, f"https://localhost:{port}", str(platform.ca_file))
        statuses = {(name, "reads"): ask("GET", {**user, **sent}) for name, sent in bearers.items()}
        # the platform API checks the role that the backend passes on once more
        for role in ("viewer", "developer", "admin"):
            said = {**user, "X-Forwarded-Groups": role, **shown}
            statuses[role, "restarts a component"] = ask("POST", said)
        statuses["no user", "reads"] = ask("GET", shown)
    declared = {(name, "reads"): 401 for name in bearers} | {
        ("backend, for the platform API", "reads"): 200,
        ("viewer", "restarts a component"): 403,
        ("developer", "restarts a component"): 403,
        ("admin", "restarts a component"): 404,
        ("no user", "reads"): 401,
    }
    right = ("backend, for the platform API", "reads")
    judge(statuses, declared, evidence, controls=[right])


def test_only_the_backend_reaches_the_platform_api(platform, evidence):
    """The network lets only the backend connect, and none of its neighbours."""
    named = "app.kubernetes.io/name"
    allowed = Source("as the backend", "infraforge-application", {named: "backend"})
    strangers = (
        Source("as the ingress", "infraforge-access", {named: "ingress"}),
        Source("as the frontend", "infraforge-application", {named: "frontend"}),
        Source("in its namespace", NAMESPACE),
        Source("outside, labelled as the backend", "default", {named: "backend"}),
    )
    target = Target(f"platform-api.{NAMESPACE}.svc", PORT)
    connections = reach.reach(platform.site, (allowed, *strangers), (target,))
    declared = {
        (source.name, str(target)): reach.OPEN if source is allowed else reach.BLOCKED
        for source in (allowed, *strangers)
    }
    judge(connections.table, declared, evidence)


def test_its_account_has_exactly_the_declared_rights(platform, evidence):
    """In every namespace the API server lists exactly the declared rights for the account."""
    cells, declared = {}, {}
    for where, may in MAY_DO.items():
        listed = rights.listed(platform.site, NAMESPACE, ACCOUNT, where)
        cells |= {(where, right): True for right in listed}
        declared |= {(where, right): True for right in may | EVERYWHERE}
    assert set(ALL) <= set(MAY_DO)
    judge(cells, declared, evidence)


def test_its_account_is_refused_everything_else(platform, evidence):
    """The API server refuses every attempt to gain rights and allows what the account needs."""
    account = rights.Account(platform.site, NAMESPACE, ACCOUNT)
    core = platform.site.core
    vault = core.list_namespaced_pod("infraforge-security").items[0].metadata.name
    answers = {name: account.tries(request) for name, request in attempts(vault).items()}
    cells = {("the account", name): answer.outcome for name, answer in answers.items()}
    allowed = set(controls())
    declared = {
        ("the account", name): rights.ALLOWED if name in allowed else rights.REFUSED
        for name in answers
    }
    evidence.attach(words="\n".join(f"{name}: {answer.words}" for name, answer in answers.items()))
    judge(cells, declared, evidence, [("the account", name) for name in allowed])


def test_its_account_appends_to_the_action_log_and_rewrites_nothing(platform, evidence):
    """The account may add an action and record its outcome, but not change or remove one."""
    account = rights.Account(platform.site, NAMESPACE, ACCOUNT)
    core, where = platform.site.core, ("platform-api-actions", NAMESPACE)
    asked, done, other = (f"{n:019}-00000{n}" for n in (1, 2, 3))

    def entry(key, outcome="asked", actor="ada"):
        action = {  # complete, because other tests may read the log meanwhile
            "id": key,
            "at": "2026-01-01T00:00:00+00:00",
            "actor": actor,
            "role": "admin",
            "action": "restart",
            "component": "frontend",
            "detail": "all pods",
            "outcome": outcome,
            "request_id": "tried",
        }
        return json.dumps(action, separators=(",", ":"))

    book = {asked: entry(asked), done: entry(done, "done")}
    core.patch_namespaced_config_map(*where, {"data": book})
    try:
        answers = {
            name: account.tries(rights.Request("PATCH", BOOK, change))
            for name, change in {
                "adds an action": {"data": {other: entry(other)}},
                "records an outcome": {"data": {asked: entry(asked, "failed")}},
                "changes a recorded outcome": {"data": {done: entry(done, "failed")}},
                "changes the actor": {"data": {asked: entry(asked, actor="vera")}},
                "changes actor and outcome": {"data": {asked: entry(asked, "done", "vera")}},
                "removes the oldest": {"data": {asked: None}},
                "removes another": {"data": {done: None}},
                "empties it": {"data": None},
                "adds an invalid entry": {"data": {"note": "x"}},
                "adds bytes": {"binaryData": {"note": "eA=="}},
                "makes it immutable": {"immutable": True},
                "labels it": {"metadata": {"labels": {"x": "y"}}},
            }.items()
        }
    finally:
        core.patch_namespaced_config_map(*where, {"data": dict.fromkeys(book)})
    cells = {("the account", name): answer.outcome for name, answer in answers.items()}
    allowed = ("adds an action", "records an outcome")
    declared = {
        ("the account", name): rights.ALLOWED if name in allowed else rights.REFUSED
        for name in answers
    }
    evidence.attach(words="\n".join(f"{name}: {answer.words}" for name, answer in answers.items()))
    judge(cells, declared, evidence)


def bearer(site, account, *audiences):
    token = site.account_token(account, "infraforge-application", *audiences)
    return {"Authorization": f"Bearer {token}"}


def straight(origin, ca_file, method, headers):
    """The status of a request sent directly to the platform API, without the backend."""
    place = "components/nobody/restart" if method == "POST" else "components"
    answer = requests.request(
        method, f"{origin}/api/platform/{place}", headers=headers, verify=ca_file, timeout=15
    )
    return answer.status_code


def controls():
    """Requests that the account needs: if these were refused, other refusals would mean nothing."""
    restarted = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}
    return {
        "looks at the data layer": rights.Request("GET", api("infraforge-data", "statefulsets")),
        "restarts redis-cache": patch(
            api("infraforge-data", "statefulsets/redis-cache"), spec={"template": restarted}
        ),
        "restarts login": patch(
            api("infraforge-access", "deployments/login"), spec={"template": restarted}
        ),
        "scales login to 2": patch(
            api("infraforge-access", "deployments/login/scale"), spec={"replicas": 2}
        ),
    }


def attempts(vault_pod):
    login, cache = (
        api("infraforge-access", "deployments/login"),
        api("infraforge-data", "statefulsets/redis-cache"),
    )
    core, system = "/api/v1/namespaces", "/api/v1/namespaces/infraforge-system"
    pod = f"{core}/infraforge-security/pods/{vault_pod}"
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "more"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    secrets = {
        f"lists Secrets in {namespace}": rights.Request("GET", f"{core}/{namespace}/secrets")
        for namespace in ALL
    }
    return {
        **controls(),
        **secrets,
        "lists all Secrets": rights.Request("GET", "/api/v1/secrets"),
        "reads the users' passwords": rights.Request("GET", f"{system}/secrets/platform-users"),
        "reads another ConfigMap": rights.Request("GET", f"{system}/configmaps/infraforge-stack"),
        "deletes the book of actions": rights.Request(
            "DELETE", f"{system}/configmaps/platform-api-actions"
        ),
        "runs a command in vault": rights.Request("POST", f"{pod}/exec?command=true", stream=True),
        "attaches to vault": rights.Request("POST", f"{pod}/attach", stream=True),
        "forwards a port to vault": rights.Request("POST", f"{pod}/portforward", stream=True),
        "reads vault's log": rights.Request("GET", f"{pod}/log"),
        "deletes vault's pod": rights.Request("DELETE", pod),
        "changes vault's pod": patch(pod, metadata={"labels": {"x": "y"}}),
        "makes a pod": rights.Request(
            "POST",
            f"{system}/pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "more"},
                "spec": {"containers": [{"name": "more", "image": "more"}]},
            },
        ),
        "makes a token for vault's account": rights.Request(
            "POST",
            f"{core}/infraforge-security/serviceaccounts/vault/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        ),
        "gives itself more rights": rights.Request(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/infraforge-system/rolebindings",
            binding,
        ),
        "removes the policy that binds it": rights.Request(
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/"
            "infraforge-platform-api-deployments",
        ),
        "lists nodes": rights.Request("GET", "/api/v1/nodes"),
        "lists pods of the cluster": rights.Request("GET", "/api/v1/pods"),
        "changes the cluster's DNS": patch(api("kube-system", "deployments/coredns"), spec={}),
        "changes login's image": template(login, containers=[{"name": "login", "image": "x"}]),
        "gives login a command": template(login, containers=[{"name": "login", "command": ["x"]}]),
        "mounts a Secret into login": template(
            login, volumes=[{"name": "more", "secret": {"secretName": "login"}}]
        ),
        "runs login as another account": template(login, serviceAccountName="ingress"),
        "annotates login's pods": patch(
            login, spec={"template": {"metadata": {"annotations": {"x": "y"}}}}
        ),
        "labels login's pods": patch(
            login, spec={"template": {"metadata": {"labels": {"app.kubernetes.io/x": "y"}}}}
        ),
        "labels login": patch(login, metadata={"labels": {"x": "y"}}),
        "pauses login's rollouts": patch(login, spec={"paused": True}),
        "scales login by the back door": patch(login, spec={"replicas": 2}),
        "scales login to nothing": patch(f"{login}/scale", spec={"replicas": 0}),
        "scales login to many": patch(f"{login}/scale", spec={"replicas": 11}),
        "changes redis-cache's image": template(
            cache, containers=[{"name": "redis", "image": "x"}]
        ),
        "scales redis-cache": patch(f"{cache}/scale", spec={"replicas": 2}),
        "scales redis-cache by the back door": patch(cache, spec={"replicas": 2}),
        "deletes login": rights.Request("DELETE", login),
    }


def api(namespace, place):
    return f"/apis/apps/v1/namespaces/{namespace}/{place}"


def patch(path, **change):
    return rights.Request("PATCH", path, change)


def template(path, **spec):
    return patch(path, spec={"template": {"spec": spec}})
