"""One configuration out of several files: mistakes are named where they stand, and a copy of the text is enough."""

import pytest
import yaml

from extauthz.config import ConfigError, load
from tests.unit.building import NOW_MS

MAIN = {
    "include": ["apis.yaml", "apps/shop.yaml"],
    "listen": [{"address": "127.0.0.1:9191"}],
    "groups": [{"id": "web", "domains": ["api.example.com"]}],
    "apis": [{"id": "user", "group": "web", "methods": ["GET"], "path": "/users", "auth": {"internet": "digest"}}],
}
APIS = """\
# another team's
apis:
  - {id: orders, group: web, methods: [GET], path: /orders, auth: {internet: digest}}
  - {id: items, group: web, methods: [GET], path: /items, auth: {internet: digest}}
"""
APPS = """\
apps:
  - id: shop
    keys: [{app_key: shop-key-1, app_secret: {file: shop.secret}}]
grants:
  - {app: shop, apis: [user, orders]}
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "apps").mkdir()
    (tmp_path / "main.yaml").write_text(yaml.safe_dump(MAIN, sort_keys=False))
    (tmp_path / "apis.yaml").write_text(APIS)
    (tmp_path / "apps" / "shop.yaml").write_text(APPS)
    (tmp_path / "shop.secret").write_text("b7f0c1d29e834a56b7f0")
    return tmp_path


def said(files) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(files / "main.yaml", lambda: NOW_MS)
    return str(error.value).replace(str(files) + "/", "").splitlines()


def test_the_entries_of_all_files_are_one_configuration(files):
    config = load(files / "main.yaml", lambda: NOW_MS)
    assert set(config.snapshot.gateway.apis) == {"user", "orders", "items"}
    assert config.snapshot.directory.sizes() == {"apps": 1, "keys": 1, "codes": 0, "grants": 2}


def test_each_of_the_files_is_watched_and_paths_in_them_count_from_the_folder_of_the_main_one(files):
    watched = {str(file.relative_to(files)) for file in load(files / "main.yaml").named_files}
    assert watched == {"main.yaml", "apis.yaml", "apps/shop.yaml", "shop.secret"}


def test_a_mistake_is_named_with_the_file_the_line_and_the_place_where_it_stands(files):
    (files / "apis.yaml").write_text(
        APIS.replace("/items", "items").replace(
            "group: web, methods: [GET], path: /o", "group: wbe, methods: [GET], path: /o"
        )
    )
    first, second = said(files)
    assert first.startswith("apis.yaml:3: apis[0].group: ")
    assert second.startswith("apis.yaml:4: apis[1].path: ")


def test_what_is_wrong_in_shape_is_named_there_too(files):
    (files / "apps" / "shop.yaml").write_text(APPS.replace("app_secret", "app_secrt"))
    assert any(one.startswith("apps/shop.yaml:3: apps[0].keys[0].app_secrt: is not a known key") for one in said(files))


def test_an_id_that_is_taken_names_the_other_file(files):
    (files / "apps" / "shop.yaml").write_text(APPS + "apis:\n  - " + APIS.splitlines()[2].removeprefix("  - ") + "\n")
    (only,) = said(files)
    assert only.startswith("apps/shop.yaml:7: apis[0].id: id `orders` is taken by line 3 of ")
    assert "apis.yaml" in only


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("listen: []\n", "apis.yaml:1: listen: must stand in the file that includes this one"),
        ("include: [more.yaml]\n", "apis.yaml:1: include: must stand"),
        ("apis: {}\n", "apis.yaml:1: apis: must be a list"),
        ("- apis\n", "apis.yaml:1: an included file must be a mapping"),
        ("apis: {]\n", "apis.yaml:1: not valid YAML"),
    ],
)
def test_an_included_file_holds_lists_of_entries_and_nothing_else(files, content, place):
    (files / "apis.yaml").write_text(content)
    assert said(files)[0].startswith(place)


def test_a_file_that_is_missing_or_named_twice_is_a_mistake(files):
    (files / "apis.yaml").unlink()
    assert said(files)[0].startswith("apis.yaml:1: cannot read the file")
    (files / "apis.yaml").write_text(APIS)
    (files / "main.yaml").write_text(yaml.safe_dump(MAIN | {"include": ["apis.yaml", "apis.yaml", "main.yaml"]}))
    assert [one.partition(": ")[2] for one in said(files)] == [
        "include[1]: is included already; take it out", "include[2]: is included already; take it out"
    ]  # fmt: skip


def test_a_copy_of_the_text_holds_all_files(files):
    config = load(files / "main.yaml", lambda: NOW_MS)
    for name in ("main.yaml", "apis.yaml", "apps/shop.yaml"):
        (files / name).write_text("broken: [")
    again = load(files / "main.yaml", lambda: NOW_MS, config.texts)
    assert again.snapshot.revision == config.snapshot.revision
    assert again.texts == config.texts
