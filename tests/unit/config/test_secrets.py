"""Secrets by value, from the environment, or from a file; and what is said when they cannot be had."""

import os
from pathlib import Path

import pytest

from extauthz.config import load
from extauthz.config.secrets import FromFile, SecretUnresolved, resolve
from tests.unit.config.writing import GOOD, mistakes


def test_secrets_come_by_value_environment_or_file(write, monkeypatch):
    monkeypatch.setenv("EXTAUTHZ_TEST_SECRET", "from-environment")
    write("from-file\n", "secret.txt")
    for entry, value in ("by-value", b"by-value"), ("{env: EXTAUTHZ_TEST_SECRET}", b"from-environment"), (
        "{file: secret.txt}", b"from-file"
    ):  # fmt: skip
        snapshot = load(write(GOOD.replace("shop-secret-0001", entry))).snapshot
        assert snapshot.directory.key_pair(b"shop-key-0001").secret == value


def test_a_secret_file_that_cannot_be_read_says_what_to_do(write, tmp_path):
    asked = GOOD.replace("shop-secret-0001", "{file: secrets/one}")
    (tmp_path / "secrets").mkdir()
    file = write(asked)
    assert f"No such file or directory; create {tmp_path}/secrets/one, or correct the path" in mistakes(file)[1]

    (tmp_path / "secrets" / "one").mkdir()
    assert "Is a directory; write the path of a file in it" in mistakes(file)[1]


def test_a_secret_file_of_another_user_names_the_user_who_needs_it(tmp_path):
    (tmp_path / "one").write_text("shop-secret-0001")
    (tmp_path / "one").chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # may read everything
            os.seteuid(65534)
        with pytest.raises(
            SecretUnresolved, match=rf"Permission denied; let the user who runs this \(id {os.geteuid()}\)"
        ):
            resolve(FromFile(file=Path("one")), tmp_path)
    finally:
        os.seteuid(user)
