"""A database without room: the admin API says so, nothing is half applied, and with room again it goes on."""

import pytest
from sqlalchemy import event

MOST = 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_full_database_is_told_of_and_changes_nothing_until_there_is_room(api):
    engine = api.desk.store.engine

    def limit(connection, _record) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    engine.dispose()
    event.listen(engine, "connect", limit)
    refused = None
    for number in range(MOST):
        before = api.desk.everything()
        form = {"id": f"large-{number}", "owner": "shop", "name": "Large app", "description": "d" * 180}
        answer = api.call("POST", "/v1/apps", form, headers={"Idempotency-Key": f"large-{number}"})
        if answer.status_code != 201:
            refused = answer
            break
    assert refused is not None, "it was never full"
    assert (refused.status_code, refused.headers["content-type"]) == (507, "application/problem+json")
    assert "no room left" in refused.json()["detail"]
    assert api.desk.everything() == before
    assert api.call("GET", "/v1/apps/shop-web").status_code == 200, "what is there can be read"
    event.remove(engine, "connect", limit)
    engine.dispose()
    assert api.call("POST", "/v1/apps", form, headers={"Idempotency-Key": f"large-{number}"}).status_code == 201
