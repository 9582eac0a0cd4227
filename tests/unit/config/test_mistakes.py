"""Mistakes in a configuration: every one is listed, with file, line and key path, and none quotes a secret."""

import copy
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from extauthz.cli.main import app
from extauthz.config import ConfigError, load
from tests.unit.building import NOW_MS
from tests.unit.config.writing import GOOD, mistakes


def test_a_sound_file_loads(write):
    snapshot = load(write(GOOD), lambda: NOW_MS).snapshot
    assert set(snapshot.gateway.apis) == {"orders", "open"}
    assert snapshot.directory.key_pair(b"shop-key-0001") is not None
    assert snapshot.directory.sizes() == {"apps": 1, "keys": 1, "codes": 1, "grants": 1}


BAD = """\
listen: [{address: "127.0.0.1:9191"}]
replai: {capacity: 5}
groups:
  - {id: shop, domains: ["*"]}
  - {id: shop, domains: ["b.example.com"]}
apis:
  - id: orders
    group: shop
    methods: [GET]
    path: /v1/{id}
    auth: {internet: digest}
  - id: clash
    group: shop
    methods: [GET]
    path: /v1/{other}
    auth: {internet: digest}
  - id: typo
    group: shop
    methodz: [GET]
    methods: [GET]
    path: /typo
    auth: {internet: digest}
apps:
  - id: shop-app
    keys:
      - app_key: shop-key-0001
        app_secret: {env: EXTAUTHZ_TEST_NOT_SET}
      - app_key: shop-key-0002
        app_secret: {file: no-such-file}
grants:
  - {app: shop-app, apis: [orders, missing]}
  - {app: nobody, apis: [orders]}
"""


def test_every_mistake_of_a_file_is_listed_with_its_place(write):
    places, text = mistakes(write(BAD))
    assert places == [
        (2, "replai"),
        (5, "groups[1].id"),
        (15, "apis[1].path"),
        (19, "apis[2].methodz"),
        (27, "apps[0].keys[0].app_secret"),
        (29, "apps[0].keys[1].app_secret"),
        (31, "grants[0].apis[1]"),
        (32, "grants[1].app"),
    ]
    for cure in ("did you mean `replay`", "taken by line 4", "'orders' and 'clash' claim one route",
                 "did you mean `methods`", "EXTAUTHZ_TEST_NOT_SET is not set", "no-such-file cannot be read",
                 "API `missing` does not exist; known: clash, orders, typo",
                 "app `nobody` does not exist; known: shop-app"):  # fmt: skip
        assert cure in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("/v1/orders", "/v1//orders"), "empty or dot segment"),
        (("group: shop", "group: shpo"), "group `shpo` does not exist; did you mean `shop`? Known: shop"),
        (("{internet: digest}", "{internet: jwt}"), "lists no JWT plug-in"),
        (("{internet: digest}", "{intranet: digest}"), "internet"),
        (("{internet: digest}", "{}"), "auth"),
        (("{internet: digest}", "{internet: {all_of: [digest, appcode]}}"), "both prove the same thing"),
        (("{internet: digest}", "{internet: appcode}, app_code: 'off'"), "`app_code` is off"),
        (("apis: [orders]", "apis: [orders], until: 2027-01-01"), "time zone"),
        (("apis: [orders]", "apis: [orders], until: 2027-01-01T00:00:00"), "time zone"),
        (("apis: [orders]", "apis: [orders, orders]"), "duplicate grant"),
        (("apis: [orders]", "apis: [orders], stages: [PRE]"), "not published in stage PRE"),
        (("[shop-code-0001]", "[short]"), "8 to 128"),
        (("[shop-code-0001]", "[shop-code-0001, shop-code-0001]"), "already belongs"),
        (("app_secret: shop-secret-0001", "app_secret: ''"), "empty"),
        (("app_secret: shop-secret-0001", "app_secret: 1234567"), "app_secret"),
        (("app_key: shop-key-0001", "app_key: 'shop key'"), "app_key"),
        (("listen:", "identity_headers: {Host: app_id}\nlisten:"), "must not be overwritten"),
        (("listen:", "identity_headers: {X-A: app_id, x-a: stage}\nlisten:"), "duplicate header `x-a`"),
        (("listen:", "errors: {overrides: {nothing: {}}}\nlisten:"), "is not a known reason"),
        (("listen:", "errors: {overrides: {not_granted: {}}}\nlisten:"), "vendor documents"),
        (("listen:", "errors: {overrides: {nonce_used: {status: 200}}}\nlisten:"), "400"),
    ],
)
def test_a_mistake_is_named_with_its_cure(write, change, says):
    old, new = change
    assert old in GOOD
    _, text = mistakes(write(GOOD.replace(old, new, 1)))
    assert says in text


def test_a_credential_that_is_taken_names_the_line_of_the_first_although_its_secret_cannot_be_read(write):
    second = """\
  - id: other-app
    keys: [{app_key: shop-key-0001, app_secret: {file: no-such-file}}]
    app_codes: [shop-code-0001]
grants:"""
    lines = GOOD.splitlines()
    key, code = (1 + next(n for n, line in enumerate(lines) if word in line) for word in ("shop-key", "shop-code"))
    places, text = mistakes(write(GOOD.replace("grants:", second, 1)))
    assert [path for _, path in places] == [
        "apps[1].keys[0].app_secret",
        "apps[1].keys[0].app_key",
        "apps[1].app_codes[0]",
    ]
    assert f"AppKey `shop-key-0001` already belongs to app `shop-app` (line {key}); keep one of them" in text
    assert f"this AppCode already belongs to app `shop-app` (line {code}); keep one of them" in text


def test_a_key_that_stands_twice_is_a_mistake(write):
    places, text = mistakes(write(GOOD + "grants: []\n"))
    assert places == [(11, "grants")]
    assert "duplicate key `grants`" in text


@pytest.mark.parametrize(
    "text", ["", "[]", "text", "a: [", "\t", "a: *b", "{}", "--- {}\n--- {}", "!!python/object:os.x {}"]
)
def test_what_is_no_configuration_is_refused_with_a_place(write, text):
    assert mistakes(write(text))[0]


def test_a_file_that_is_not_there_or_no_text(tmp_path, write):
    assert "cannot read the file" in mistakes(tmp_path / "nothing.yaml")[1]
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in mistakes(binary)[1]


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_an_empty_file_is_called_empty(write, text):
    assert "the file is empty; begin with `listen:`" in mistakes(write(text))[1]


SECRET = "s3cr3t-0123456789"
ODD_SECRETS = [f"*{SECRET}", f"&{SECRET}", f"!{SECRET}", f"!!{SECRET} x", f"@{SECRET}", f"`{SECRET}", f"%{SECRET}",
               f"[{SECRET}]", f"{{file: /dev/null, x: {SECRET}}}", f'"{SECRET}',
               f"{SECRET}: {SECRET}", f"|\n{SECRET}", f"'{SECRET}\\xZZ", f'"{SECRET}\\q"']  # fmt: skip


@pytest.mark.parametrize("written", ODD_SECRETS)
def test_a_secret_that_yaml_misreads_is_not_quoted_in_the_error(write, written):
    _, text = mistakes(write(GOOD.replace("app_secret: shop-secret-0001", f"app_secret: {written}")))
    assert SECRET not in text


@pytest.mark.parametrize("place", ["app_code", "jwk", "app_key"])
def test_a_secret_beside_another_mistake_is_not_quoted(write, place):
    data = yaml.safe_load(GOOD)
    if place == "app_code":
        data["apps"][0]["app_codes"] = [SECRET, SECRET, {"value": SECRET}, [SECRET]]
    elif place == "jwk":
        data["plugins"] = [{"id": "p", "type": "jwt", "jwk": {"kty": "oct", "k": SECRET, "alg": "RS256"}},
                           {"id": "q", "type": "jwt", "jwks": [{"kty": "oct", "k": SECRET}, SECRET]}]  # fmt: skip
    else:
        data["apps"][0]["keys"][0] = {"app_key": "a b", "app_secret": SECRET, "secret": SECRET}
    _, text = mistakes(write(data))
    assert SECRET not in text


def test_no_secret_is_in_the_repr_of_what_was_loaded(write):
    data = yaml.safe_load(GOOD)
    data["apps"][0]["app_codes"] = [f"code-{SECRET}"]
    long_secret = SECRET * 3
    data["plugins"] = [{"id": "p", "type": "jwt", "jwk": {"kty": "oct", "k": long_secret}},
                       {"id": "q", "type": "jwt", "jwks": {"keys": [{"kty": "oct", "k": long_secret}]}}]  # fmt: skip
    data["apps"][0]["keys"][0]["app_secret"] = SECRET
    loaded = load(write(data))
    shown = repr(loaded) + repr(loaded.snapshot) + str(loaded.file) + repr(loaded.file.plugins)
    assert SECRET not in shown


# Whatever is written: a configuration, or a list of mistakes.

WORDS = st.sampled_from([None, True, 7, -1, "", "x", "shop", "orders", "digest", "none", [], {}, [1], {"id": "shop"},
                         {"any_of": []}, {"all_of": ["digest"]}, {"file": "x"}, {"env": "X"}, "2027-01-01", 1e400,
                         {"any_of": [{"all_of": ["digest", {"any_of": ["jwt"]}]}]}, "\u0000", {7: 7}])  # fmt: skip
SECTIONS = {
    "plugins": [{"id": "p", "type": "jwt", "jwk": {"kty": "oct", "k": "c" * 43}}, {"id": "i", "type": "ip_control"}],
    "errors": {"generation": "vpc", "overrides": {"nonce_used": {"status": 400}}},
    "replay": {"capacity": 5},
    "decision_log": {"destination": "none"},
    "identity_headers": {"X-App": "app_id"},
    "port_networks": {8080: "vpc"},
}


@st.composite
def damaged(draw):
    """A sound configuration with a few values replaced, keys added, entries doubled or taken away."""
    data = {**yaml.safe_load(GOOD), **copy.deepcopy(SECTIONS)}
    for _ in range(draw(st.integers(1, 4))):
        here = data
        while True:
            children = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not children:
                break
            key = draw(st.sampled_from(children))
            if isinstance(here[key], dict | list) and draw(st.integers(0, 3)):
                here = here[key]
                continue
            change = draw(st.sampled_from(["replace", "add", "remove", "double"]))
            if change == "replace":
                here[key] = copy.deepcopy(draw(WORDS))
            elif change == "remove":
                del here[key]
            elif isinstance(here, dict):
                here[draw(st.sampled_from(["unknown", "id", "group", "x"]))] = copy.deepcopy(draw(WORDS))
            else:
                here.append(copy.deepcopy(here[key] if change == "double" else draw(WORDS)))
            break
    return data


@pytest.mark.long
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(damaged())
def test_whatever_is_written_is_a_configuration_or_a_list_of_mistakes(write, data):
    file = write(yaml.safe_dump(data))
    problems = None
    try:
        load(file)
    except ConfigError as error:
        problems = error.problems
    assert problems is None or all(str(one).startswith(f"{file}:{one.line}: ") for one in problems)
    assert problems is None or problems


IN_A_COOKIE = """\
listen: [{address: "127.0.0.1:9191"}]
groups: [{id: shop, domains: ["*"]}]
plugins:
  - {id: login, type: jwt, parameter_location: cookie, parameter: session, remote_keys: {jwks_uri: "https://a/k"}}
apis:
  - {id: me, group: shop, methods: [GET], path: /me, auth: {internet: jwt}, plugins: [login]}
  - {id: report, group: shop, methods: [GET], path: /report, auth: {vpc: appcode}, app_code: header_query}
"""


def test_a_credential_that_cannot_be_stripped_is_a_mistake_where_stripping_is_asked_for(write):
    load(write(IN_A_COOKIE))
    places, text = mistakes(write(IN_A_COOKIE + "strip_credentials: true\n"))
    assert places == [(6, "apis[0].strip_credentials"), (7, "apis[1].strip_credentials")]
    assert "plug-in `login`" in text
    assert "it stands in the cookie" in text
    assert "`app_code: header`" in text
    kept = IN_A_COOKIE.replace("[login]}", "[login], strip_credentials: false}").replace(
        "_query}", "_query, strip_credentials: false}"
    )
    load(write(kept + "strip_credentials: true\n"))
    query = IN_A_COOKIE.replace("location: cookie", "location: query").replace(
        "[login]}", "[login], strip_credentials: true}"
    )
    assert mistakes(write(query))[0] == [(6, "apis[0].strip_credentials")]


def test_leniency_about_path_parameters_without_any_is_a_mistake(write):
    plain = GOOD.replace("auth: {internet: digest}", "auth: {internet: digest}, lenient_path_parameters: true")
    places, text = mistakes(write(plain))
    assert places == [(4, "apis[0].lenient_path_parameters")]
    assert "no `{name}`" in text
    one = load(write(plain.replace("/v1/orders", '"/v1/orders/{id}"'))).snapshot
    assert one.gateway.apis["orders"].lenient_path_parameters
    assert not one.gateway.apis["open"].lenient_path_parameters


def test_an_owner_that_no_header_can_hold_is_a_mistake(write):
    for owner, said in ('" acme"', "white space"), ("x" * 4097, "4 KiB"), ('"a\\u0085b"', "U+0085"):
        places, text = mistakes(write(GOOD.replace("- id: shop-app", f"- id: shop-app\n    owner: {owner}")))
        assert places == [(8, "apps[0].owner")]
        assert said in text


# The commands.

RUN = CliRunner().invoke


def test_check_config_ends_with_0_for_a_sound_file_and_1_for_a_bad_one(write):
    good = RUN(app, ["check-config", str(write(GOOD, "good.yaml"))])
    assert (good.exit_code, "sound. 2 APIs, 1 apps" in good.output) == (0, True)
    bad = RUN(app, ["check-config", str(write(BAD, "bad.yaml"))])
    assert bad.exit_code == 1
    assert sum("bad.yaml:" in line for line in bad.output.splitlines() if not line.startswith("warning: ")) == 8
    assert "8 mistakes" in bad.output
    missing = RUN(app, ["check-config", "/nonexistent/extauthz.yaml"])
    assert missing.exit_code == 1
    assert "Traceback" not in missing.output


def test_serve_does_not_start_with_a_bad_file(write):
    assert RUN(app, ["serve", "--config", str(write(BAD))]).exit_code == 1


def test_a_call_with_an_empty_secret_file_is_not_sent(tmp_path):
    (tmp_path / "secret").write_text("\n")
    result = RUN(app, ["call", "GET", "http://127.0.0.1:1/", "-k", "a", "--app-secret-file", str(tmp_path / "secret")])
    assert result.exit_code == 2
    assert "secret is empty" in result.output


def test_the_schema_is_a_json_schema_that_knows_every_section():
    schema = json.loads(RUN(app, ["schema"]).output)
    assert {"listen", "apis", "apps", "grants", "plugins", "groups", "errors"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_the_reasons_can_be_listed_and_looked_up():
    assert "nonce_used" in RUN(app, ["reasons", "--json"]).output
    assert RUN(app, ["reasons", "nonce_used"]).exit_code == 0
    assert RUN(app, ["reasons", "nothing"]).exit_code == 1
