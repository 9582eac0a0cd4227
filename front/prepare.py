"""The build: maturin's, after putting h2 with one statement changed into h2/, where Cargo.toml looks for it.

h2 resets every stream whose ``:authority`` is no authority of RFC 3986, and to Envoy a reset stream is an error, which
``failure_mode_allow`` turns into an allow. But Envoy sends the name of its cluster there unless it is told otherwise:
``outbound|9191||authz.example`` (Istio), ``extension/namespace/name`` (Contour); and gRPC's own clients send the path
of a Unix socket. Nobody here reads it. So an authority that cannot be read is taken for none. Upstream discusses it in
hyperium/h2#487 and #525; when there is a release with a choice, this file goes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PINNED = HERE / "pinned" / "Cargo.toml"
"""Names the release of h2, with its checksum in the lock file beside it."""
STRICT = """\
            let maybe_authority = uri::Authority::from_maybe_shared(authority.clone().into_inner());
            parts.authority = Some(maybe_authority.or_else(|why| {
                malformed!(
                    "malformed headers: malformed authority ({:?}): {}",
                    authority,
                    why,
                )
            })?);
"""
LENIENT = """\
            parts.authority = uri::Authority::from_maybe_shared(authority.into_inner()).ok();
"""


def prepare() -> None:
    """Fetch, copy, change. Cargo does the first, and compares the checksum."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", str(PINNED)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603  no input of anybody's
    (manifest,) = (Path(one["manifest_path"]) for one in json.loads(told)["packages"] if one["name"] == "h2")
    server = Path("src", "server.rs")
    text = (manifest.parent / server).read_text()
    if text.count(STRICT) != 1:
        sys.exit(f"{manifest.parent.name} reads :authority in another way than prepare.py knows")
    changed, target = text.replace(STRICT, LENIENT), HERE / "h2"
    if (target / server).exists() and (target / server).read_text() == changed:
        return  # cargo builds anew what is newer
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(manifest.parent, target, ignore=shutil.ignore_patterns("tests", "examples", "benches"))
    (target / server).write_text(changed)


def get_requires_for_build_wheel(settings: dict[str, Any] | None = None) -> list[str]:
    """For pip (PEP 517): nothing beside maturin, which it would otherwise look for once more."""
    return []


def build_wheel(folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None) -> str:
    """For pip (PEP 517): the name of the wheel, which is put into ``folder``."""
    import maturin  # not there where this file is run by hand

    prepare()
    # Its command is beside Python, which need not be on the path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    wheel: str = maturin.build_wheel(folder, settings, metadata)
    return wheel


if __name__ == "__main__":
    prepare()
