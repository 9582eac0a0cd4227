from extauthz.domain.reason import CATALOGUE


def test_every_answer_is_an_error():
    assert all(400 <= answer.status <= 599 for reason in CATALOGUE.values() for answer in (reason.vpc, reason.legacy))
