"""Mistakes in the parameters: which are signed, in which order, and how a pair is written."""

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote_from_bytes

from extauthz.domain.request import Pair
from extauthz.explain.diagnosis.mistakes.draft import Case, Pairs, Tail, form_first, key_alone, query_first
from extauthz.explain.diagnosis.mistakes.mistake import Mistake, Tails


def changed(**parts: Any) -> Callable[[Tail, Case], Tails]:
    """The same change for every request."""

    def change(tail: Tail, _: Case) -> Tails:
        yield tail._replace(**parts), ""

    return change


def _both_left_out(tail: Tail, _: Case) -> Tails:
    if tail.query and tail.form:
        yield tail._replace(query=(), form=()), ""


def _arrival(tail: Tail, _: Case) -> Tails:
    yield tail._replace(order=None, unite=query_first), "the query before the form"
    yield tail._replace(order=None), "the form before the query"


def _by_code_point(key: bytes, _value: bytes) -> bytes:
    return key


def _ignoring_case(key: bytes, _value: bytes) -> bytes:
    return key.lower()


def _as_encoded(key: bytes, _value: bytes) -> bytes:
    return quote_from_bytes(key, "").encode()


def _with_value(key: bytes, value: bytes) -> bytes:
    return key_alone(key, value)


def _with_equals(key: bytes, value: bytes) -> bytes:
    return key + b"=" + value


def _without_empty(form: Pairs, query: Pairs) -> list[Pair]:
    return form_first([pair for pair in form if pair[1]], [pair for pair in query if pair[1]])


def _all_values(form: Pairs, query: Pairs) -> list[Pair]:
    return [*form, *query]


def _last_value(form: Pairs, query: Pairs) -> list[Pair]:
    return list(dict([*query, *form]).items())


def _joined(joint: bytes) -> Callable[[Pairs, Pairs], list[Pair]]:
    def unite(form: Pairs, query: Pairs) -> list[Pair]:
        values: dict[bytes, list[bytes]] = {}
        for key, value in (*form, *query):
            values.setdefault(key, []).append(value)
        return [(key, joint.join(several)) for key, several in values.items()]

    return unite


def _repeated(tail: Tail, _: Case) -> Tails:
    keys = [key for key, _ in (*tail.query, *tail.form)]
    if len(set(keys)) == len(keys):
        return
    yield tail._replace(unite=_all_values), "all values were signed"
    yield tail._replace(unite=_all_values, order=_with_equals), "all values were signed, sorted"
    yield tail._replace(unite=_last_value), "the last value was signed"
    yield tail._replace(unite=_joined(b",")), "the values were signed joined by a comma"


def _json_fields(tail: Tail, case: Case) -> Tails:
    body = case.request.body
    if tail.form or not body.lstrip().startswith(b"{"):
        return
    try:
        fields = json.loads(body)
    except ValueError:
        return
    pairs = [(key.encode(), _plain(value).encode()) for key, value in fields.items()]
    form = tuple((quote_from_bytes(key).encode(), quote_from_bytes(value).encode()) for key, value in pairs)
    yield tail._replace(form=form), ""


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


PARAMETER_MISTAKES: Final = (
    Mistake(
        "query_left_out",
        "The parameters of the query were not signed.",
        "Sign the path with `?` and all parameters behind it, sorted.",
        {"Go": "req.URL.Path has no query: add the parameters of req.URL.Query()"},
        tails=changed(query=()),
    ),
    Mistake(
        "form_left_out",
        "The fields of the form were not signed.",
        "Fields of an application/x-www-form-urlencoded body are signed with the parameters of the query.",
        tails=changed(form=()),
    ),
    Mistake(
        "parameters_left_out",
        "Neither the query's parameters nor the form's fields were signed.",
        "Sign the parameters of query and form together, sorted, behind the path.",
        tails=_both_left_out,
    ),
    Mistake(
        "empty_as_equals",
        "A parameter without a value was signed as `key=`.",
        "Write the key alone where the value is empty.",
        {"Go": "apigateway-util and url.Values write `key=`", "Java": "the Android demo writes `key=`"},
        tails=changed(write=_with_equals),
    ),
    Mistake(
        "empty_left_out",
        "Parameters without a value were not signed.",
        "Sign the key alone where the value is empty.",
        {"Python": "parse_qsl drops them without keep_blank_values=True", "PHP": "array_filter drops them"},
        tails=changed(unite=_without_empty),
    ),
    Mistake(
        "repeated_parameter",
        "Of a parameter that comes more than once, something else than its first value was signed.",
        "Sign the first value of a repeated parameter, once.",
        {"JS": "aliyun-api-gateway signs `k=1,2` for an array: join the values yourself"},
        tails=_repeated,
    ),
    Mistake(
        "parameters_unsorted",
        "Parameters were signed in the order in which they were sent.",
        "Sort parameters by their decoded names, query and form together.",
        tails=_arrival,
    ),
    Mistake(
        "parameters_sorted_by_code_point",
        "Names with characters beyond U+FFFF were sorted by code point.",
        "Sort by UTF-16 units, as Java does: emoji come before U+E000 to U+FFFF.",
        {"Go": "compare utf16.Encode([]rune(key))", "Python": "sort(key=lambda k: k.encode('utf-16-be'))"},
        tails=changed(order=_by_code_point),
    ),
    Mistake(
        "parameters_sorted_ignoring_case",
        "Parameters were sorted without regard to letter case.",
        "Sort by code point: upper case comes before lower case.",
        {"Java": "new TreeMap<>(), not CASE_INSENSITIVE_ORDER", "JS": "sort(), not localeCompare"},
        tails=changed(order=_ignoring_case),
    ),
    Mistake(
        "parameters_sorted_encoded",
        "Parameters were sorted by their percent-encoded names.",
        "Sort by the decoded names.",
        tails=changed(order=_as_encoded),
    ),
    Mistake(
        "parameters_sorted_as_pairs",
        "Parameters were sorted as whole `key=value` texts.",
        "Sort by name alone: `a=` comes before `a-b=`, although `=` comes after `-`.",
        tails=changed(order=_with_value),
    ),
    Mistake(
        "json_fields_signed",
        "The fields of a JSON body were signed as parameters.",
        "Only forms are signed as parameters; bind a JSON body by Content-MD5.",
        tails=_json_fields,
    ),
)
