"""What every answer of the admin API has, and how mistakes are told: as problems, without what must not be told."""

import json
import logging

import pytest
from sqlalchemy.exc import OperationalError

from extauthz.admin.edge import MAX_BODY_BYTES
from tests.stores.registry.desk import SHOP

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
JSON = {"Content-Type": "application/json"}
OWNER = {"id": "new", "description": "A new one"}
PLANTED = "planted-secret-of-somebody"


def problem(answer, status: int, field: str | None = None) -> str:
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, told["status"], told.get("field")) == (status, status, field), answer.text
    assert told["type"].startswith("urn:extauthz:problem:")
    assert told["title"]
    assert told["request_id"] == answer.headers["x-request-id"]
    return told["detail"]


def test_every_error_is_a_problem(api):
    assert "`Authorization: Bearer xat_" in problem(api.call("GET", "/v1/apps", who=None), 401)
    assert "openapi.json lists them" in problem(api.call("GET", "/v1/nothing"), 404)
    assert "app `nobody` does not exist" in problem(api.call("GET", "/v1/apps/nobody"), 404)
    wrong_method = api.call("PUT", "/v1/apps/shop-web")
    assert "it takes DELETE, GET, PATCH" in problem(wrong_method, 405)
    assert wrong_method.headers["allow"] == "DELETE, GET, PATCH"
    assert "exists already" in problem(api.call("POST", "/v1/owners", {"id": "shop"}), 409)
    large = b'"' + b"x" * MAX_BODY_BYTES + b'"'
    assert str(MAX_BODY_BYTES) in problem(api.call("POST", "/v1/owners", content=large, headers=JSON), 413)
    problem(api.call("POST", "/v1/owners", content=b"id=new", headers={"Content-Type": "text/plain"}), 415)
    assert api.call("POST", "/v1/owners", OWNER).status_code == 201, "and what is right is done"


@pytest.mark.parametrize(
    ("path", "body", "field", "told"),
    [
        ("/v1/owners", '{"id": "a", "id": "b"}', "body", "duplicate key"),
        ("/v1/owners", '{"id": ', "body", "not JSON"),
        ("/v1/owners", '{"id": "a", "x": NaN}', "body", "not JSON"),
        ("/v1/owners", "[" * 100_000, "body", "not JSON"),
        ("/v1/owners", '{"id": "a b"}', "id", "must be 1 to 64 letters"),
        ("/v1/owners", '{"id": "a\\u0000"}', "id", "must be 1 to 64 letters"),
        ("/v1/owners", '{"id": "a", "description": "\\ud800"}', "description", "printable characters"),
        ("/v1/owners", '{"id": 5}', "id", "must be text"),
        ("/v1/owners", '{"id": "a", "colour": "red"}', "colour", "is not known here"),
        ("/v1/owners", "{}", "id", "is required"),
        ("/v1/grants", '{"apps": ["shop-web"], "apis": ["geocode"], "until": 5}', "until", "with a time zone"),
        ("/v1/grants", '{"apps": ["shop-web"], "apis": ["geocode"], "until": "2027-02-30T00:00:00Z"}', "until", "cal"),
        ("/v1/grants", '{"apps": ["shop-web"], "apis": ["geocode"], "until": "2001-01-01T00:00:00Z"}', "until", "past"),
        ("/v1/grants", '{"apps": [], "apis": ["geocode"]}', "apps", "at least 1"),
        ("/v1/apps/shop-web/keys", '{"app_secret": "too short"}', "app_secret", "16 to 128"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(api, path, body, field, told):
    before = api.desk.everything()
    assert told in problem(api.call("POST", path, content=body.encode(), headers=JSON), 422, field)
    assert api.desk.everything() == before


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/apps?limit=0", "limit"),
        ("/v1/apps?limit=501", "limit"),
        ("/v1/apps?onwer=shop", "onwer"),
        ("/v1/apps?owner=shop&owner=maps", "owner"),
        ("/v1/apps?owner=%00", "owner"),
        ("/v1/apps?cursor=x", "cursor"),
        ("/v1/audit?cursor=WzFlMzAwXQ", "cursor"),
        ("/v1/audit?cursor=WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ", "cursor"),
        ("/v1/apps/%00", "app"),
        ("/v1/codes/1", "code"),
        ("/v1/questions/can?app=shop-web", "api"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(api, path, field):
    problem(api.call("DELETE" if "codes" in path else "GET", path), 422, field)


def test_answers_are_for_this_caller_only_and_no_page_may_show_them(api):
    for path in ("/v1/apps", "/v1/nothing", "/healthz"):
        headers = api.call("GET", path, headers={"Origin": "https://elsewhere.example"}).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff"), path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert not [name for name in headers if name.startswith("access-control-")], path
    assert api.call("OPTIONS", "/v1/apps", headers={"Origin": "https://elsewhere.example"}).status_code == 405


def test_the_request_id_is_on_the_answer_in_the_audit_trail_and_in_the_log(api, caplog):
    caplog.set_level(logging.INFO, logger="extauthz.admin")
    answer = api.call("PATCH", "/v1/apps/shop-web", {"disabled": True}, who=SHOP, headers={"X-Request-Id": "call-7"})
    assert answer.headers["x-request-id"] == "call-7"
    entry = api.call("GET", "/v1/audit?limit=1").json()["items"][0]
    assert (entry["request_id"], entry["actor"], entry["action"]) == ("call-7", "token:shop-consumer", "change_app")
    assert (entry["before"]["disabled"], entry["after"]["disabled"]) == (False, True)
    assert "PATCH '/v1/apps/shop-web' 200" in caplog.text
    assert "token:shop-consumer call-7" in caplog.text
    foreign = api.call("GET", "/v1/apps", headers={"X-Request-Id": "two\tparts"}).headers["x-request-id"]
    assert len(foreign) == 36, "what does not fit gives way to a new one"


def test_a_secret_is_in_no_problem_log_or_row(api, caplog):
    caplog.set_level(logging.DEBUG)
    api.call("POST", "/v1/apps/shop-web/keys", {"app_key": "shop-key-0001", "app_secret": PLANTED})
    code = {"app_code": "planted-app-code-0001"}
    told = [
        api.call("POST", "/v1/apps/shop-web/keys", {"app_key": "shop-key-0001", "app_secret": PLANTED}),
        api.call("POST", "/v1/apps/shop-web/keys", {"app_key": "!", "app_secret": PLANTED + "\n"}),
        api.call("POST", "/v1/apps/shop-web/keys", {"app_secret": [PLANTED]}),
        api.call("POST", "/v1/apps/nobody/keys", {"app_secret": PLANTED}),
        api.call("POST", "/v1/apps/shop-web/keys", content=f'{{"app_secret": {PLANTED}'.encode(), headers=JSON),
        api.call("GET", "/v1/apps", headers={"Authorization": f"Bearer {PLANTED}"}),
        api.call("GET", "/v1/audit?limit=500"),
        api.call("GET", "/v1/apps/shop-web/keys"),
    ]
    api.call("POST", "/v1/apps/shop-web/codes", code, headers={"Idempotency-Key": "1"})
    told.append(api.call("POST", "/v1/apps/shop-web/codes", code))
    assert [one.status_code for one in told] == [409, 422, 422, 404, 422, 401, 200, 200, 409]
    rows = repr(api.desk.everything())
    for secret in (PLANTED, code["app_code"], *api.tokens.values()):
        assert secret not in "".join(one.text for one in told)
        assert secret not in caplog.text
        assert secret not in rows


def test_an_unexpected_error_is_told_without_its_text_and_logged_with_the_request_id(api, caplog, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError(PLANTED)

    monkeypatch.setattr("extauthz.registry.apps.list_apps", fail)
    answer = api.call("GET", "/v1/apps")
    assert PLANTED not in problem(answer, 500) + answer.text
    assert f"request {answer.headers['x-request-id']} failed" in caplog.text


def test_a_database_that_cannot_be_reached_is_a_503_and_says_to_try_again(api, monkeypatch):
    def fail(*_arguments, **_options):
        raise OperationalError("SELECT", {}, Exception(PLANTED))

    for target in ("extauthz.registry.apps.list_apps", "extauthz.admin.caller.actor_of"):
        monkeypatch.setattr(target, fail)
        answer = api.call("GET", "/v1/apps")
        assert PLANTED not in problem(answer, 503) + answer.text
        assert answer.headers["retry-after"] == "1"
    assert api.call("GET", "/healthz").status_code == 200


def test_every_kind_of_answer_and_form_has_an_example_that_fits(api):
    from jsonschema import Draft202012Validator

    document = api.call("GET", "/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if "enum" in schema:
            continue
        assert schema.get("examples"), name
        for example in schema["examples"]:
            root = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            Draft202012Validator(root).validate(json.loads(json.dumps(example)))
