"""Where answers come from: the apps and grants of a configuration file, and of the registry that it names."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from extauthz.access.question import Verdict, can
from extauthz.access.registry_view import RegistryView, joined
from extauthz.config import ServiceConfig
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.reason import ANONYMOUS
from extauthz.domain.request import Network, Stage
from extauthz.domain.snapshot import Snapshot
from extauthz.registry.database.tables import APP_CODES, KEY_PAIRS

ANYBODY = "*"
"""In place of an app's id: whoever calls."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What questions are asked of."""

    config: ServiceConfig
    snapshot: Snapshot
    """Of the file, and behind it the registry."""
    registry: RegistryView | None
    view: Connection | None
    of_file: Mapping[str, frozenset[str]]
    """By app of the file: the methods that it has a credential for."""

    @classmethod
    def of(cls, config: ServiceConfig, view: Connection | None) -> "Sources":
        """``view`` is one of the registry's database; None: the file has no registry."""
        registry = None if view is None else RegistryView(view)
        of_file = {app.id: _methods(app.keys, app.app_codes) for app in config.file.apps}
        return cls(config, joined(config.snapshot, registry), registry, view, of_file)

    def proves(self, app_id: str) -> frozenset[str]:
        """The methods that an app has a credential for."""
        if app_id in self.of_file or self.view is None:
            return self.of_file.get(app_id, frozenset())
        keys, codes = (
            self.view.execute(select(table.c.app_id).where(table.c.app_id == app_id).limit(1)).all()
            for table in (KEY_PAIRS, APP_CODES)
        )
        return _methods(keys, codes)

    def verdict(
        self, app_id: str, api: Api, stage: Stage, networks: Iterable[Network], now_ms: int, address: str = ""
    ) -> Verdict:
        """Whether an app may call from some network: the verdict of the first from which it may, else the first one."""
        proves = self.proves(app_id)
        verdicts = [
            can(self.snapshot, app_id, api, stage, network, now_ms, address=address, proves=proves)
            for network in sorted(networks, key=lambda network: network not in api.auth)
        ]
        return next((one for one in verdicts if one.may), verdicts[0])

    def who_can(
        self, api: Api, stages: Iterable[Stage], networks: tuple[Network, ...], now_ms: int, most: int
    ) -> Iterator[Verdict]:
        """Who may call an API, by app: of the registry ``most`` apps at most."""
        of_file = {grant.app for grant in self.config.file.grants if api.id in grant.apis}
        of_registry = [] if self.registry is None else self.registry.apps_granted(api.id, most)
        apps = sorted({*of_file, *of_registry})
        proofs = {app_id: self.proves(app_id) for app_id in apps}
        for stage in stages:
            for network in networks:
                open_to_all = can(self.snapshot, ANYBODY, api, stage, network, now_ms)
                if open_to_all.reason == ANONYMOUS:
                    yield open_to_all
                    continue
                for app_id in apps:
                    verdict = can(self.snapshot, app_id, api, stage, network, now_ms, proves=proofs[app_id])
                    if verdict.may:
                        yield verdict

    def what_can(self, app_id: str, networks: tuple[Network, ...], now_ms: int) -> Iterator[Verdict]:
        """What an app may call, by API, stage and network."""
        proves = self.proves(app_id)
        for _, api in sorted(self.snapshot.gateway.apis.items()):
            for stage in sorted(api.stages):
                for network in networks:
                    verdict = can(self.snapshot, app_id, api, stage, network, now_ms, proves=proves)
                    if verdict.may:
                        yield verdict


def _methods(keys: Iterable[object], codes: Iterable[object]) -> frozenset[str]:
    has = ((AuthMethod.DIGEST, keys), (AuthMethod.APP_CODE, codes))
    return frozenset(str(method) for method, credentials in has if credentials)
