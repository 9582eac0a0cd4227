"""``apis``: what may be written of a protected API, and whether any caller could meet it."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from extauthz.config.names import Id, Section, switch
from extauthz.config.problems import KeyPath
from extauthz.config.sections.apis.paths import method_fault, template_fault
from extauthz.config.sections.auth import AuthByNetwork, VpcIds
from extauthz.config.sections.digest import Digest
from extauthz.domain.api import AppCodeMode, AuthMethod, AuthPolicy, ReplayOutage
from extauthz.domain.request import Stage
from extauthz.domain.tokens.jwt import JwtPlugin, TokenPlace


class ApiEntry(Section):
    """A protected API.

    ```yaml
    id: orders
    group: shop
    owner: shop-team
    methods: [GET, POST]
    path: /v1/orders/{orderId}
    stages: [RELEASE, TEST]
    auth: {internet: digest, vpc: {any_of: [digest, appcode]}}
    digest: {require_nonce: true}
    app_code: header_query
    plugins: [login, offices]
    vpc_ids: [vpc-shop]
    strip_credentials: true
    lenient_path_parameters: false
    replay_outage: deny
    ```
    """

    id: Id = Field(description="its name in grants, logs, metrics and Envoy's route context")
    group: Id = Field(description="the group whose domains it is called at")
    owner: str = Field("", description="the account that it belongs to; told in the decision log")
    methods: Annotated[list[str], Field(min_length=1)] = Field(description="HTTP methods that it answers, such as GET")
    path: str | None = Field(None, description="template such as /v1/orders/{orderId}; without it only Envoy's "
                                               "route context (extauthz.api) leads here")  # fmt: skip
    stages: Annotated[list[Stage], Field(min_length=1)] = Field(
        default=[Stage.RELEASE], description="where it is published; X-Ca-Stage chooses, RELEASE by default"
    )
    auth: AuthByNetwork | None = Field(
        None,
        description="per network the method that opens the API; a network that is not listed may not call it; "
        "default: the group's",
    )
    digest: Digest = Field(Digest(), description="how signed requests are read; what is not said here, the file's says")
    app_code: Annotated[AppCodeMode, switch(off="off")] = Field(
        AppCodeMode.HEADER,
        description="where an AppCode may stand: in a header, in a query parameter as well, or nowhere",
    )
    plugins: list[Id] = Field(default_factory=list, description="ids of plug-ins, at most one of each type")
    vpc_ids: VpcIds | None = Field(
        None, description="VPCs that may call, by extauthz.vpc_id; default: the group's, else any"
    )
    strip_credentials: bool | None = Field(
        None, description="take the proof off the request; it must stand in a header. Default: the file's"
    )
    lenient_path_parameters: bool = Field(
        False,
        description="let `;`, `%3F` and escaped escapes such as `%2541` stand in a `{name}` of the path; some "
        "upstreams cut a path at the first two, and read the third as another letter",
    )
    replay_outage: ReplayOutage = Field(
        ReplayOutage.DENY, description="allow: while the shared store is out of order, pass without replay protection"
    )


def entry_faults(entry: ApiEntry) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with an API's path and methods: where, and the cure."""
    fault = template_fault(entry.path) if entry.path is not None else ""
    if fault:
        yield ("path",), fault
    elif entry.lenient_path_parameters and "{" not in (entry.path or ""):
        yield ("lenient_path_parameters",), "has no effect: the `path` of this API has no `{name}`; leave it out"
    for position, method in enumerate(entry.methods):
        fault = method_fault(method)
        if fault:
            yield ("methods", position), fault


def policy_faults(policy: AuthPolicy, entry: ApiEntry, jwt: JwtPlugin | None) -> Iterator[str]:
    """What is wrong with what an API asks for on one network. That it asks for JWT without a plug-in is not told."""
    for alternative in policy.alternatives:
        if {AuthMethod.DIGEST, AuthMethod.APP_CODE} <= alternative:
            yield "digest and appcode cannot both be asked for; both prove the same thing, an app"
    if jwt is not None and jwt.bypass_empty_token and policy.methods > {AuthMethod.JWT}:
        yield (
            f"plug-in `{jwt.id}` has `bypass_empty_token`, which goes with plain `jwt` only; "
            "write `any_of` to say what opens the API without a token"
        )
    if AuthMethod.APP_CODE in policy.methods and entry.app_code == "off":
        yield "asks for appcode but `app_code` is off"


def strip_faults(entry: ApiEntry, jwt: JwtPlugin | None, policies: Iterable[AuthPolicy]) -> Iterator[str]:
    """What `strip_credentials` cannot take off: Envoy removes headers, and nothing else without changing the rest."""
    methods = frozenset(method for policy in policies for method in policy.methods)
    if AuthMethod.JWT in methods and jwt is not None and jwt.place is not TokenPlace.HEADER:
        yield (
            f"cannot take the token of plug-in `{jwt.id}` off a request: it stands in the {jwt.place.value}; "
            "say `strip_credentials: false` here, or `parameter_location: header` in the plug-in"
        )
    if AuthMethod.APP_CODE in methods and entry.app_code is AppCodeMode.HEADER_QUERY:
        yield "cannot take an AppCode off the query; say `strip_credentials: false` here, or `app_code: header`"
