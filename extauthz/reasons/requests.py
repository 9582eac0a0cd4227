"""Reasons for what was asked for, and from where: spelling, API, stage, network, address."""

from typing import Final

from extauthz.reasons.story import Story

STORIES: Final[dict[str, Story]] = {
    "request_invalid": Story(
        (
            "The message from Envoy is larger than `limits: {message_mebibytes}`, so it was not parsed.",
            "The request has more than 1,000 headers.",
            "Something else than Envoy's HTTP ext_authz filter asked: the check has no HTTP request.",
        ),
        ("The answer's message says which.", "`extauthz doctor ENVOY.yaml --config FILE` compares both sides' limits."),
        (
            "Set `with_request_body: {max_request_bytes}` in Envoy below `message_mebibytes`, or raise the latter.",
            "Ask through the HTTP filter `envoy.filters.http.ext_authz`, not through the network filter.",
        ),
        "a POST of 3 MiB where `max_request_bytes` is 4 MiB and `message_mebibytes` is 2",
        "limits.md",
    ),
    "url_too_large": Story(
        ("A client puts into the URL what belongs into a body: lists of ids, a token, a document.",),
        ("The decision log's `http` begins with the path. The query is never logged; Envoy's access log may have it.",),
        ("Send it as a body, or in several requests. The bounds (16 KiB of path, 64 KiB with the query) are fixed.",),
        "GET /v1/orders?ids=1,2,3,... (70,000 characters)",
        "limits.md",
    ),
    "path_invalid": Story(
        (
            (
                "The path has a spelling that two servers read differently: `//`, `/../`, `%2F`, `%00`, `;`, a "
                "backslash, an "
                "escape of an escape."
            ),
            "A letter is escaped that need not be, where the API's template spells it plainly.",
            "Path or host hold bytes that are not UTF-8, which Envoy does not pass on as they are.",
        ),
        ("`{fact}` in the message, and `detail` in the log, name the spelling.",),
        (
            "Clients send the plain form: no empty or dot segments, `/` only between segments.",
            (
                "Ids with `;` or `%3F` in a `{name}` of the template: `lenient_path_parameters: true` on that API, if "
                "its upstream reads them as they are."
            ),
        ),
        "GET /v1//orders",
        "signing.md",
    ),
    "host_invalid": Story(
        (
            (
                "No API group lists the domain: a new domain, a test by IP address, or a wildcard that stands for "
                "names below."
            ),
            "The `Host` is not a host name: user information, spaces, two hosts.",
            "A proxy before Envoy rewrites `Host`.",
        ),
        (
            "The decision log's `http` shows the host as it arrived, in lower case and without port.",
            "`extauthz lint FILE` names groups and domains that lead nowhere.",
        ),
        ("List the domain under the group's `domains` (`*.example.com` for names below it, `*` for every one).",),
        "GET /v1/orders with Host: 192.0.2.10",
        "configuration-checks.md",
    ),
    "api_not_found": Story(
        (
            "No API of the domain's group has this path with this HTTP method.",
            "Envoy rewrites the path before it asks (`prefix_rewrite`, or a filter before ext_authz).",
            (
                "Envoy's route names an API (`extauthz.api`) that does not exist here, or another one than host and "
                "path mean."
            ),
        ),
        (
            (
                "`detail` in the log says which of the two; `http` shows method and path as they arrived, `route` the "
                "API that "
                "Envoy named."
            ),
            "`extauthz lint FILE` names routes that another one answers.",
        ),
        (
            "Add the method to `methods`, or the path to `apis`.",
            "Put ext_authz before whatever rewrites, and let route and path name the same API.",
        ),
        "PATCH /v1/orders on an API with `methods: [GET, POST]`",
        "envoy.md",
    ),
    "stage_invalid": Story(
        (
            "`X-Ca-Stage` is none of RELEASE, PRE and TEST.",
            "The API is not published in the stage that was asked for; without the header that is RELEASE.",
            "The domain, or Envoy's route, is tied to another stage than the header names.",
        ),
        ("`detail` in the log says which; `asked_stage` is what the client sent.",),
        (
            "Publish the API there: `stages: [RELEASE, TEST]`.",
            "Clients leave `X-Ca-Stage` out where the domain decides the stage.",
        ),
        "X-Ca-Stage: TEST for an API with `stages: [RELEASE]`",
        "envoy.md",
    ),
    "header_repeated": Story(
        (
            (
                "A client, or a proxy before Envoy, adds a second `X-Ca-*` or `Authorization` header instead of "
                "replacing the "
                "first: typical of a retry that signs again onto the same request object."
            ),
        ),
        ("The message names the header.", "Capture one request before Envoy: the header stands there twice."),
        ("Set the header instead of adding it; sign a fresh request for each try.",),
        "X-Ca-Key: one\nX-Ca-Key: two",
        "signing.md",
    ),
    "header_invalid": Story(
        (
            "`X-Ca-Signature-Headers` names a header in two spellings, holds what is no header name, or is too long.",
            "A cookie that should hold the token stands among more cookies than are read.",
        ),
        ("`detail` in the log names what is wrong.",),
        ("List each signed header once, separated by commas.", "Drop cookies that the site no longer uses."),
        "X-Ca-Signature-Headers: X-Ca-Key,x-ca-key",
        "signing.md",
    ),
    "internet_disabled": Story(
        (
            "The API has no `internet` under `auth`: it is meant for the VPC only.",
            "The call came by a listener that nobody marked as VPC: whatever says nothing counts as the Internet.",
            "The domain is tied to the network `vpc`.",
        ),
        (
            (
                "`network` in the log. It comes from the listener's own `network`, else from `extauthz.network` in "
                "Envoy's context, else from `port_networks`; never from the client."
            ),
            "`extauthz can APP API --network internet -c FILE` says the same beforehand.",
        ),
        (
            (
                "Mark the inner listener: `network: vpc` in `listen`, or `extauthz.network: vpc` in its "
                "context_extensions."
            ),
            "Or open the API: `auth: {internet: digest}`.",
        ),
        "GET /internal/report from the Internet, with `auth: {vpc: appcode}`",
        "jwt-and-networks.md",
    ),
    "vpc_refused": Story(
        (
            "The API has no `vpc` under `auth`.",
            "The API, or its group, lists `vpc_ids`, and the listener states another one, or none (`extauthz.vpc_id`).",
            "The domain is tied to the network `internet`.",
        ),
        ("`detail` and `vpc_id` in the log.", "`extauthz can APP API --network vpc -c FILE`."),
        (
            (
                "Add the VPC to `vpc_ids`, or let Envoy's listener state it: `extauthz.vpc_id: vpc-1` in "
                "context_extensions."
            ),
        ),
        "a call from `vpc-2` of an API with `vpc_ids: [vpc-1]`",
        "jwt-and-networks.md",
    ),
    "ip_refused": Story(
        (
            "The client's address is not in the allow list, or is in the refuse list, of the IP control plug-in.",
            "The address is that of a proxy before Envoy, not the client's.",
            "The list holds networks for single apps, and this app is called from elsewhere.",
        ),
        (
            (
                "`detail` in the log names address and plug-in; `peer` is Envoy's peer, `client` the address that was "
                "taken."
            ),
            "`extauthz can APP API --from ADDRESS -c FILE`.",
        ),
        (
            "Add the network to the plug-in.",
            "`client_address: {source: x-envoy-external-address}`, where Envoy has `use_remote_address: true`.",
        ),
        "a call from 198.51.100.7 with `allow: [192.0.2.0/24]`",
        "jwt-and-networks.md",
    ),
}
"""By label."""
