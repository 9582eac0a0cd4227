"""Every test computes the rules anew: an answer that an earlier test left in a cache could hide a broken one."""

import pytest

from extauthz.auth import string_to_sign


@pytest.fixture(autouse=True)
def _no_remembered_names():
    string_to_sign._signed_names_cached.cache_clear()
