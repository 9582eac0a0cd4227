"""Two directories as one: the apps of the configuration file, and behind them those of the registry."""

from collections.abc import Callable

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import Directory, RegistryDirectory


class JoinedDirectory(Directory):
    """The directory of the configuration file, and behind it the one of the registry.

    An app belongs wholly to one of them. Where both have an id, the file's app is meant, with its credentials and
    grants, and the registry's is nobody: otherwise whoever may create apps there could call with the grants of the
    file's app.
    """

    __slots__ = ("_file", "_registry", "_rehash")

    def __init__(self, file: Directory, registry: RegistryDirectory, rehash: Callable[[bytes], bytes]) -> None:
        """``rehash`` turns the hash of an AppCode into the one that the registry keeps."""
        super().__init__(
            f"{file.revision}+{registry.revision}", file._apps, file._key_pairs, file._app_codes, file._grants
        )
        self.file_revision = file.revision
        self._file = file
        self._registry = registry
        self._rehash = rehash

    def app(self, app_id: str) -> App | None:
        """An app by its id."""
        return self._file.app(app_id) or self._registry.app(app_id)

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        """A key pair by its AppKey."""
        pair = self._file.key_pair(app_key)
        if pair is not None:
            return pair
        pair = self._registry.key_pair(app_key)
        return None if pair is None or self._file.app(pair.app_id) is not None else pair

    def app_of_code(self, code_hash: bytes) -> App | None:
        """The app that an AppCode belongs to, by the code's hash."""
        app = self._file.app_of_code(code_hash)
        if app is not None:
            return app
        app = self._registry.app_of_code(self._rehash(code_hash))
        return None if app is None or self._file.app(app.id) is not None else app

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        """The grant of an app for an API in a stage, whether it still holds or not."""
        if self._file.app(app_id) is not None:
            return self._file.grant(app_id, api_id, stage)
        return self._registry.grant(app_id, api_id, stage)

    def sizes(self) -> dict[str, int]:
        """How many entries of each kind there are."""
        registry = self._registry.sizes()
        return {kind: count + registry[kind] for kind, count in self._file.sizes().items()}

    def conflicts(self) -> list[str]:
        """The ids of apps that both have; the registry's are nobody."""
        return [app_id for app_id, _ in self._file._apps.items() if self._registry.app(app_id) is not None]
