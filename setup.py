"""What pyproject.toml cannot say: the optional compiled build, and a README whose links hold outside the repository.

``EXTAUTHZ_COMPILED=1 pip wheel .`` has mypyc turn the path of a check into C: the same source, the same tests, two
thirds of the processor time. Without the variable the wheel is pure Python and needs no compiler.

``EXTAUTHZ_HOME=https://HOST/PATH/TO/FILES`` is where a publisher shows the files of this version; links of the README
lead there. Without it they become the path of the file, which the source distribution has.
"""

import os
import re
from glob import glob
from pathlib import Path

from setuptools import setup

PATH_OF_A_CHECK = [
    *glob("extauthz/domain/**/*.py", recursive=True),
    *glob("extauthz/auth/*.py"),
    *glob("extauthz/decide/*.py"),
    *glob("extauthz/wire/*.py"),
    "extauthz/later.py",
    "extauthz/observe/decision_line.py",
    "extauthz/observe/check_metrics.py",
    "extauthz/registry/replica/reading.py",
    "extauthz/registry/replica/records.py",
    "extauthz/transport/overload.py",
]
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def readme(home: str) -> str:
    """README.md with links that lead somewhere for whoever has nothing but it."""

    def mend(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        if home:
            return f"[{text}]({home.rstrip('/')}/{path})"
        return f"`{path}`" if path.startswith(text) else f"{text} (`{path}`)"

    return _LINK.sub(mend, Path(__file__).with_name("README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":  # setuptools runs it as such
    extensions = []
    if os.environ.get("EXTAUTHZ_COMPILED") == "1":
        from mypyc.build import mypycify

        extensions = mypycify(sorted(PATH_OF_A_CHECK), opt_level="3")
    setup(
        ext_modules=extensions,
        long_description=readme(os.environ.get("EXTAUTHZ_HOME", "")),
        long_description_content_type="text/markdown",
    )
