"""Which grants of a configuration file open something: with a credential that the API takes, before they end."""

from collections.abc import Mapping
from dataclasses import dataclass

from extauthz.access.assumed import APP_METHODS
from extauthz.access.question import can
from extauthz.config.sections.grants import GrantEntry
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.request import Stage
from extauthz.lint.finding import Subject


@dataclass(frozen=True, slots=True)
class Usable:
    """The grants of a subject, asked by the steps that decide."""

    subject: Subject
    methods: Mapping[str, frozenset[str]]
    """By app of the file: how it can prove itself."""
    by_api: Mapping[str, tuple[tuple[str, Stage], ...]]
    """By API: which apps are granted it in which stage, whether that holds or not."""

    @classmethod
    def of(cls, subject: Subject) -> "Usable":
        """Gather what the file states."""
        file = subject.config.file
        methods = {
            app.id: frozenset(
                method.value
                for method, credentials in ((AuthMethod.DIGEST, app.keys), (AuthMethod.APP_CODE, app.app_codes))
                if credentials
            )
            for app in file.apps
        }
        granted: dict[str, list[tuple[str, Stage]]] = {}
        for grant in file.grants:
            for api_id in grant.apis:
                granted.setdefault(api_id, []).extend((grant.app, stage) for stage in grant.stages)
        return cls(subject, methods, {api_id: tuple(places) for api_id, places in granted.items()})

    def opens(self, api: Api) -> bool:
        """Whether some app may call an API now, of the file or of the registry."""
        registry = self.subject.registry
        if registry is not None and api.id in registry.granted_apis:
            return True
        return any(self._opens(app_id, api, stage) for app_id, stage in self.by_api.get(api.id, ()))

    def _opens(self, app_id: str, api: Api, stage: Stage) -> bool:
        if not self.can_prove(app_id, api):
            return False
        snapshot, now_ms = self.subject.config.snapshot, self.subject.now_ms
        return any(can(snapshot, app_id, api, stage, network, now_ms).may for network in api.auth)

    def can_prove(self, app_id: str, api: Api) -> bool:
        """Whether an app has a credential that the API takes on some network."""
        has = self.methods.get(app_id, frozenset())
        return any(has & policy.methods for policy in api.auth.values())

    def idle_apis(self, grant: GrantEntry, apis: Mapping[str, Api]) -> list[tuple[int, Api]]:
        """The APIs of a grant, by position, that ask for a credential which its app does not have."""
        if not self.methods.get(grant.app):  # another finding
            return []
        granted = ((position, apis[name]) for position, name in enumerate(grant.apis))
        return [
            (position, api) for position, api in granted if _asks_for_app(api) and not self.can_prove(grant.app, api)
        ]


def _asks_for_app(api: Api) -> bool:
    return any(APP_METHODS & policy.methods for policy in api.auth.values())
