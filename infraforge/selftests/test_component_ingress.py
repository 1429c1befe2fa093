"""The front door's configuration, read as text: what no edit may lose."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from infraforge import components
from infraforge.components.ingress import site_conf
from infraforge.components.origin import canonical_origin
from infraforge.errors import UsageError

TREE = Path(__file__).parents[2] / "platform"
INGRESS = TREE / "components" / "ingress"
FRONTEND = TREE / "components" / "frontend"
DASHBOARD = TREE / "apps" / "frontend"

BEHIND_SIGN_IN = ("backend", "frontend")
UPLOADS = "~ ^/api/projects/[^/]+/files/[^/]+$"


def bare(text: str) -> str:
    """A configuration without comments, and with nothing in its quotes."""

    def drop(found: re.Match[str]) -> str:
        return "" if found[0].startswith("#") else '""'

    return re.sub(r"#[^\n]*|'[^']*'|\"[^\"]*\"", drop, text)


def locations(text: str) -> dict[str, str]:
    """Location → its body, of a configuration without nested locations."""
    by_path = {}
    for start in re.finditer(r"^ *location (.+) \{\n", text, re.MULTILINE):
        depth, at = 1, start.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        by_path[start[1]] = text[start.end() : at - 1]
    return by_path


def upstream(body: str) -> str | None:
    match = re.search(r"proxy_pass https://(\w+?)(?:_auth)?[/;]", body)
    return match[1] if match else None


CONF = bare((INGRESS / "nginx.conf").read_text())
LOCATIONS = locations(CONF)
PASSING = {name: body for name, body in LOCATIONS.items() if "proxy_pass " in body}
ENTRIES = {name: body for name, body in LOCATIONS.items() if name[0] != "@" and "try_files" in body}
PARTS = {path.name: bare(path.read_text()) for path in INGRESS.glob("*.conf")}


def ways(entry: str) -> list[tuple[str, str]]:
    """From a location that clients reach: (the firewall's location, where it is passed on)."""
    firewall = re.search(r"try_files /\. (@\w+);", LOCATIONS[entry])
    assert firewall, entry
    then = LOCATIONS[firewall[1]]
    if "proxy_pass " in then:
        return [(firewall[1], firewall[1])]
    chosen = re.search(r"(?:try_files /\.|error_page 418 =) \$(\w+);", then)
    assert chosen, firewall[1]
    ends = re.findall(rf"set \${chosen[1]} (@\w+);", LOCATIONS[entry])
    if not ends:
        table = re.search(rf"map \S+ \${chosen[1]} {{(.*?)}}", CONF, re.DOTALL)
        assert table, chosen[1]
        ends = re.findall(r"(@\w+);", table[1])
    return [(firewall[1], end) for end in ends]


WAYS = [(entry, *way) for entry in ENTRIES for way in ways(entry)]


def test_the_configuration_has_locations() -> None:
    assert {"= /_auth", "@read_again", "@sign_in"} <= set(LOCATIONS)
    assert {"~ ^/login/", "= /oauth2/callback", UPLOADS, "/api/", "/"} <= set(ENTRIES)
    internal = {name for name, body in PASSING.items() if "internal;" in body}
    assert {end for *_, end in WAYS} | internal | {"@read_again"} == set(PASSING)
    assert {upstream(body) for body in PASSING.values()} == {
        "backend", "frontend", "login", "oauth2_proxy",
    }  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_only_listed_headers_are_passed_on_over_verified_tls(name: str) -> None:
    body = PASSING[name]
    assert "include /etc/ingress/proxy.conf;" in body
    assert f"proxy_ssl_name ${upstream(body)};" in body
    assert not re.search(r"proxy_pass_request_headers|proxy_ssl_verify", body)


def test_the_common_part_lists_no_identity_header() -> None:
    part = PARTS["proxy.conf"]
    assert "proxy_pass_request_headers off;" in part
    assert "proxy_ssl_verify on;" in part
    set_here = {header.lower() for header in re.findall(r"proxy_set_header (\S+)", part)}
    forbidden = {"authorization", "cookie", "proxy", "forwarded", "x-forwarded-user"}
    assert not forbidden & set_here
    assert not re.search(r"\$http_(x_|authorization|proxy|forwarded|host)", part)


def test_the_identity_comes_from_the_session_alone() -> None:
    identity, auth = PARTS["identity.conf"], PARTS["auth.conf"]
    assert dict(re.findall(r"proxy_set_header (\S+) (\S+);", identity)) == {
        "X-Forwarded-Subject": "$auth_subject",
        "X-Forwarded-User": "$auth_user",
        "X-Forwarded-Email": "$auth_email",
        "X-Forwarded-Groups": "$auth_groups",
    }
    assert dict(re.findall(r"auth_request_set (\S+) (\S+);", auth)) == {
        "$auth_subject": "$upstream_http_x_auth_request_user",
        "$auth_user": "$upstream_http_x_auth_request_preferred_username",
        "$auth_email": "$upstream_http_x_auth_request_email",
        "$auth_groups": "$upstream_http_x_auth_request_groups",
    }
    for name, part in PARTS.items():
        match = re.search(
            r"(?i)proxy_set_header x-(forwarded-(subject|user|email|groups)|auth)", part
        )
        assert name == "identity.conf" or match is None, name


def test_authentication_requests_go_to_the_process_that_cannot_end_sessions() -> None:
    assert "https://oauth2_proxy_auth/oauth2/auth;" in LOCATIONS["= /_auth"]
    assert "https://oauth2_proxy_auth/ready;" in LOCATIONS["= /_store"]


@pytest.mark.parametrize(
    ("entry", "firewall", "end"),
    [way for way in WAYS if "https://oauth2_proxy/" in PASSING[way[-1]]],
)
def test_sessions_are_made_and_ended_only_while_their_store_answers(
    entry: str, firewall: str, end: str
) -> None:
    assert "auth_request /_store;" in ENTRIES[entry]
    for part in (PARTS["page.conf"], ENTRIES[entry], LOCATIONS[firewall], PASSING[end]):
        assert not re.search(r"error_page [0-9 ]*401", part)


@pytest.mark.parametrize("kind", ["api", "page"])
def test_no_session_is_said_only_after_the_store_has_answered(kind: str) -> None:
    doubts, again = LOCATIONS[f"@{kind}_doubts"], LOCATIONS[f"@{kind}_asked_again"]
    assert 'if ($session = "") {' in (INGRESS / "nginx.conf").read_text()
    assert re.search(rf"auth_request /_store;\s+try_files /nowhere @{kind}_asked_again;", doubts)
    assert re.search(r"auth_request /_auth;\s+try_files /nowhere =503;", again)
    for body in (doubts, again):
        assert "error_page 500 =503" in body


@pytest.mark.parametrize(
    ("entry", "end"),
    [(entry, end) for entry, _, end in WAYS if upstream(PASSING[end]) in BEHIND_SIGN_IN],
)
def test_nothing_behind_the_sign_in_is_reached_without_it_or_gets_its_cookie(
    entry: str, end: str
) -> None:
    assert "include /etc/ingress/auth.conf;" in ENTRIES[entry]
    assert "Cookie" not in PASSING[end]


@pytest.mark.parametrize("name", sorted(ENTRIES.keys() - {"/", "= /oauth2/callback"}))
def test_changes_from_other_sites_are_refused(name: str) -> None:
    assert "if ($cross_site) { return 403; }" in ENTRIES[name]


@pytest.mark.parametrize("name", sorted(ENTRIES.keys() - {"= /oauth2/callback", "~ ^/login/"}))
def test_two_session_cookies_are_refused_wherever_one_counts(name: str) -> None:
    assert "if ($two_sessions) { return 400; }" in ENTRIES[name]


def test_every_connection_is_counted_before_http_begins() -> None:
    (stream,) = re.findall(r"^stream {\n(.*?)^}", CONF, re.MULTILINE | re.DOTALL)
    assert re.search(r"limit_conn_zone \$binary_remote_addr zone=open:\d+m;", stream)
    (most,) = re.findall(r"limit_conn open (\d+);", stream)
    assert "proxy_half_close on;" in stream, "an early answer would be lost with its connection"
    (room,) = re.findall(r"worker_connections (\d+);", CONF)
    assert 3 * int(most) < int(room), "one address alone could fill a worker"
    passed = dict(re.findall(r"listen (\d+) backlog=\d+;\s+proxy_pass (127\.0\.0\.1:\d+);", stream))
    http = re.findall(r"^ +listen (\S+) (?:ssl )?proxy_protocol", CONF, re.MULTILINE)
    assert sorted(passed.values()) == sorted(http)
    assert set(passed) == {"8443", "8080"}
    others = re.findall(r"listen (?!127\.0\.0\.1:|8443 |8080 )(\d+)", CONF)
    assert others == ["8082", "8445"], "the kubelet's own, which no policy lets anybody else reach"
    policy = yaml.safe_load_all((INGRESS / "networkpolicy.yaml").read_text())
    open_ports = {str(p["port"]) for one in policy for rule in one["spec"].get("ingress", ())
                  for p in rule["ports"]}  # fmt: skip
    assert not open_ports & set(others)


def test_a_retried_read_has_passed_every_check_before() -> None:
    body = PASSING["@read_again"]
    assert "Cookie" not in body
    assert "auth" not in body
    assert "error_page 502 = @read_again;" in PARTS["api.conf"]  # the only way there
    assert "@read_again;" not in CONF


def test_the_authentication_request_is_internal_and_its_errors_stay_errors() -> None:
    for body in (LOCATIONS["= /_auth"], LOCATIONS["= /_store"]):
        assert "internal;" in body
        assert "error_page" not in body
    around = CONF
    for inside in LOCATIONS.values():
        around = around.replace(inside, "")
    early = {"400", "405", "414", "431", "494", "497", "501", "505"}  # before there is a location
    error_codes = re.findall(r"error_page ((?:\d+ )+)", around)
    assert error_codes
    for codes in error_codes:
        assert set(codes.split()) <= early, "the server's are inherited by /_auth"
    assert [name for name, body in PASSING.items() if "/oauth2/auth" in body] == ["= /_auth"]


def test_no_location_loses_the_servers_headers() -> None:
    assert len(LOCATIONS) > 10
    assert len(PARTS) > 3
    for name, body in {**LOCATIONS, **PARTS}.items():
        if name != "nginx.conf":
            assert "add_header" not in body, name
    assert "Strict-Transport-Security $hsts always;" in CONF


@pytest.mark.parametrize("name", ENTRIES)
def test_every_way_in_is_limited_before_the_firewall_reads(name: str) -> None:
    body = ENTRIES[name]
    assert "limit_req zone=" in body or "include /etc/ingress/api.conf;" in body
    assert not re.search(r"modsecurity|proxy_pass", body)


@pytest.mark.parametrize(("entry", "firewall", "end"), WAYS)
def test_the_firewall_stands_before_everything_that_is_passed_on(
    entry: str, firewall: str, end: str
) -> None:
    part = "head" if entry == UPLOADS else "bodies"
    assert "modsecurity on;" in LOCATIONS[firewall]
    assert f"modsecurity_rules_file /etc/ingress/firewall-{part}.conf;" in LOCATIONS[firewall]
    assert "modsecurity off;" not in CONF
    assert end == firewall or "modsecurity" not in PASSING[end]


def test_bodies_are_let_through_unseen_on_the_upload_route_alone() -> None:
    assert {end for entry, _, end in WAYS if entry == UPLOADS} == {"@upload", "@file"}
    assert "return 418;" in LOCATIONS["@head_of_file"]
    assert re.search(
        r"map \$request_method \$file_location {\s+PUT @upload;\s+default @file;", CONF
    )
    assert "proxy_pass_request_body off;" in PASSING["@file"]
    sizes = [name for name, body in LOCATIONS.items() if "client_max_body_size 101m;" in body]
    assert sizes == [UPLOADS, "@upload"]


def test_what_is_logged_of_a_sign_in_quotes_no_codes() -> None:
    for steps in WAYS:
        if upstream(PASSING[steps[-1]]) in ("login", "oauth2_proxy"):
            for step in steps:
                assert "error_log stderr crit;" in LOCATIONS[step], step


def test_the_firewall_blocks_and_quotes_nothing_that_was_sent() -> None:
    rules = {name: (INGRESS / name).read_text() for name in PARTS if name.startswith("firewall")}
    assert "\nSecRuleEngine On\n" in rules["firewall.conf"]
    assert "\nSecAuditEngine Off\n" in rules["firewall.conf"]
    for phase in (1, 2):
        assert f'SecDefaultAction "phase:{phase},nolog,noauditlog,pass"' in rules["firewall.conf"]
    told = re.findall(r"msg:'([^']*)'", "".join(rules.values()))
    assert {macro.lower() for text in told for macro in re.findall(r"%{(.*?)}", text)} == {
        "tx.anomaly_score", "tx.matched",
    }  # fmt: skip
    assert "logdata" not in "".join(rules.values())


@pytest.mark.parametrize("folder", [INGRESS, FRONTEND])
def test_all_of_the_configuration_is_in_the_config_map(folder: Path) -> None:
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = told["configMapGenerator"][0]["files"]
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.conf"))


def test_logs_have_no_query_strings_cookies_or_codes() -> None:
    for folder in (INGRESS, FRONTEND):
        text = (folder / "nginx.conf").read_text()
        form = re.search(r"log_format json.*?;\n", text, re.DOTALL)
        assert form is not None
        logged = set(re.findall(r"\$\w+", form[0]))
        assert not logged & {"$request", "$request_uri", "$args", "$query_string", "$http_referer"}
        assert not [name for name in logged if "cookie" in name]


def test_the_snippet_names_the_origin() -> None:
    text = site_conf("https://127.0.0.1:8443")
    assert '$origin { default "https://127.0.0.1:8443"; }' in text
    assert '$origin_authority { default "127.0.0.1:8443"; }' in text


@pytest.mark.parametrize(
    ("written", "browsers"),
    [
        ("https://Host.Example:443", "https://host.example"),
        ("HTTPS://HOST.EXAMPLE:08443/", "https://host.example:8443"),
        ("https://host.example.", "https://host.example"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
    ],
)
def test_an_origin_is_compared_as_browsers_write_it(written: str, browsers: str) -> None:
    assert canonical_origin(written) == browsers
    assert f'$origin {{ default "{browsers}"; }}' in site_conf(written)


@pytest.mark.parametrize(
    "origin",
    [
        "", "http://127.0.0.1:8080", "https://", "https://a.example//", "https://a.example/path",
        "https://a.example:0", "https://a.example:65536",
        "https://a.example:", "https://a.example:port", "https://a.example:123456",
        "https://user@a.example", "https://a.example?x", 'https://a.example"; return 200 "',
        "https://a.example;", "https://a.example\n", "https://$host", "https://a b",
    ],
)  # fmt: skip
def test_an_invalid_origin_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="origin"):
        site_conf(origin)


@pytest.mark.parametrize(
    ("name", "port"),
    [("backend", 8443), ("frontend", 8443), ("login", 8443),
     ("oauth2_proxy", 4180), ("oauth2_proxy_auth", 4181)],
)  # fmt: skip
def test_upstream_connections_are_kept_alive_and_verified(name: str, port: int) -> None:
    block = re.search(rf"upstream {name} {{(.*?)}}", CONF, re.DOTALL)
    assert block is not None
    service = name.removesuffix("_auth").replace("_", "-")
    assert re.search(rf"server {service}\.infraforge-\w+\.svc\.cluster\.local:{port};", block[1])
    assert "include /etc/ingress/kept.conf;" in block[1]
    assert "proxy_ssl_session_reuse off;" in PARTS["proxy.conf"]


def test_the_ingress_starts_after_its_upstreams() -> None:
    text = (INGRESS / "nginx.conf").read_text()
    named = set(re.findall(r"server ([a-z0-9-]+)\.infraforge-\w+\.svc", text))
    assert set(components.load("ingress").needs) == named


def test_every_connection_was_told_to_close_before_its_process_ends() -> None:
    text = bare((INGRESS / "nginx.conf").read_text())
    (kept,) = re.findall(r"^ *keepalive_time (\d+)s;", text, re.MULTILINE)
    pod = yaml.safe_load((INGRESS / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    (box,) = pod["containers"]
    stays = box["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert int(kept) + 3 < stays, "nodes send new connections there for some seconds more"
    assert stays < pod["terminationGracePeriodSeconds"]


def test_the_dashboard_runs_under_a_policy_of_self_alone() -> None:
    text = (FRONTEND / "nginx.conf").read_text()
    policy = re.search(r'Content-Security-Policy "([^"]+)"', text)
    assert policy is not None
    assert "default-src 'self'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    sources = [*DASHBOARD.glob("src/**/*.*"), DASHBOARD / "index.html"]
    assert len(sources) > 10
    for path in sources:
        assert not re.search(r"https?://|v-html|\sstyle=|<style", path.read_text()), path.name


def test_the_dashboards_packages_are_pinned_and_bound_to_no_registry() -> None:
    package = json.loads((DASHBOARD / "package.json").read_text())
    wanted = {**package["dependencies"], **package["devDependencies"]}
    assert wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), wanted
    lock = json.loads((DASHBOARD / "package-lock.json").read_text())
    installed = {name: value for name, value in lock["packages"].items() if name}
    assert installed
    for name, value in installed.items():
        assert "resolved" not in value, name
        assert value.get("integrity", "").startswith("sha512-"), name
