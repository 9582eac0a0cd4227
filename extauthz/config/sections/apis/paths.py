"""Paths and methods of an API: what no request could match is a mistake, and how it was meant is the cure."""

import difflib
import re
from typing import Final
from urllib.parse import quote

from extauthz.domain.routing.path import TemplateError, parse_template, path_fault

FORMS: Final = "a template is plain text, with `{name}` for a whole segment and `/*` at its end for any rest"
MAX_TEMPLATE: Final = 1024
"""Characters; each segment of a path is a step of the search for its API."""

METHODS: Final = frozenset({
    "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD", "LABEL", "LINK",
    "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE",
    "NOTIFY", "OPTIONS", "ORDERPATCH", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND",
    "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
    "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
})  # fmt: skip
"""IANA's registry of HTTP methods, and those beside it that Envoy's parser of HTTP/1 takes."""
_USUAL: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

_NAME: Final = r"([A-Za-z_][A-Za-z0-9_-]*)"
_ONE_SEGMENT: Final = tuple(
    re.compile(form)
    for form in (
        rf":{_NAME}(?:\(.*\)|[?+*])?",  # Express, Rails, Sinatra
        rf"\[{_NAME}\]",  # Next.js
        rf"<(?:\w+(?:\([^)]*\))?:)?{_NAME}>",  # Flask, Django
        rf"\$\{{{_NAME}\}}",
        rf"\{{\{{\s*{_NAME}\s*\}}\}}",
        rf"\{{{_NAME}[:=|?].*\}}",  # a pattern or a type with the name
        rf"\{{\s*{_NAME}\s*\}}",
        rf"\(\?P?<{_NAME}>.*\)",
    )
)
"""How others write what is ``{name}`` here."""
_ANY_REST: Final = re.compile(
    r"\*\*|\*\w+|\{\*+\w*\}|\{\w+(?:\*|\+|\.\.\.|:\.\*|:path)\}|\[{1,2}\.\.\.\w+\]{1,2}|\.\*|<path:\w+>"
)
"""How others write what is a final ``*`` here."""
_REGEX: Final = re.compile(r"[\[\]^|<>\"`]|\.[+*]|\(\?|\\[dwsDWSb./-]|\$$")


def template_fault(template: str) -> str:
    """Why no request could match a path template, with the cure; empty when one could."""
    beginning = _beginning(template)
    if beginning:
        return beginning
    if len(template) > MAX_TEMPLATE:
        return f"has {len(template)} characters; a template has {MAX_TEMPLATE} at most"
    segments = template[1:].split("/")
    for index, segment in enumerate(segments):
        fault = _segment_fault(segment, last=index == len(segments) - 1)
        if fault:
            return fault
    for sign, what in (("?", "query"), ("#", "fragment")):
        if sign in template and not _REGEX.search(template):
            return f"is compared with the path alone, without {what}; write `{template.partition(sign)[0]}`"
    if _REGEX.search(template):
        return f"looks like a regular expression; {FORMS}"
    for sign, why in _NEVER_IN_PATH.items():
        if sign in template:
            return why
    try:
        parse_template(template)
    except TemplateError:
        return f"is not a path template: {FORMS}"
    fault = path_fault(example_of(template))
    return f"no request can match it: its paths are refused ({fault})" if fault else ""


_NEVER_IN_PATH: Final = {
    "%": "is compared with the decoded path; write the characters themselves, such as `ü`, not their escapes",
    ";": "no request can match it: paths with `;` are refused, since servers read path parameters differently",
    "\\": "no request can match it: paths with a backslash are refused; write `/`",
}


def example_of(template: str) -> str:
    """A raw path that a template without faults matches."""
    shape = parse_template(template)
    return "/" + "/".join("x" if part in ("{}", "*") else quote(part, safe="!$&'()+,=:@~") for part in shape)


def _beginning(template: str) -> str:
    if template.startswith("/"):
        return ""
    method, _, rest = template.partition(" ")
    if method.isalpha() and rest.startswith("/"):
        return f"is the path alone; write `{rest.strip()}`, and the method under `methods`"
    scheme, _, rest = template.partition("://")
    if rest and scheme.isalnum():
        return f"is the path alone; write `/{rest.partition('/')[2]}`, and the host under the group's `domains`"
    if template[:1] in "^~=(":
        return f"must begin with `/`, and looks like a regular expression; {FORMS}"
    return f"must begin with `/`; write `/{template}`"


def _segment_fault(segment: str, *, last: bool) -> str:
    if segment in (".", "..") or (segment == "" and not last):
        return "no request can match it: paths with an empty or dot segment are refused; take it out"
    if segment == "*" and not last:
        return "`*` stands for any rest and only at the end; write `{name}` for one segment"
    if _ANY_REST.fullmatch(segment):
        return "write `*` as the last segment for any rest" if last else f"`{segment}` is not known here; {FORMS}"
    if re.fullmatch(rf"\{{{_NAME}\}}", segment):
        return ""
    for form in _ONE_SEGMENT:
        match = form.fullmatch(segment)
        if match:
            return f"write `{{{match[1]}}}` instead of `{segment}` for a segment of any content"
    if segment == "{}":
        return "write a name between the braces, such as `{id}`"
    if re.match(r":[A-Za-z_]", segment) or ("{" in segment and "}" in segment):
        return f"a name takes a whole segment, which `{segment}` does not; write `{{name}}`"
    return ""


def method_fault(method: str) -> str:
    """Why no request could have a method, with the cure; empty when one could."""
    if method in METHODS:
        return ""
    upper = method.strip().upper()
    if upper in METHODS:
        return f"methods are written in capitals; write `{upper}`"
    if upper == "CONNECT":
        return "no request can match it: CONNECT has no path; take it out (a WebSocket begins with GET)"
    if upper in ("ANY", "ALL", "*"):
        return f"is not an HTTP method; list those that are meant, such as {_USUAL}"
    if re.search(r"[\s,|/]", upper) and all(part in METHODS for part in re.split(r"[\s,|/]+", upper) if part):
        return "must be one method; write each as an entry of its own"
    close = difflib.get_close_matches(upper, METHODS, n=1)
    cure = f"did you mean `{close[0]}`?" if close else f"known are {_USUAL}, and the others that IANA lists"
    return f"is not an HTTP method; {cure}"
