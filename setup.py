"""The optional compiled build. Everything else about packaging stands in pyproject.toml.

``EXTAUTHZ_COMPILED=1 pip wheel .`` has mypyc turn the path of a check into C: the same source, the same tests, two
thirds of the processor time. Without the variable the wheel is pure Python and needs no compiler.
"""

import os
from glob import glob

from setuptools import setup

PATH_OF_A_CHECK = [
    *glob("extauthz/domain/**/*.py", recursive=True),
    *glob("extauthz/auth/*.py"),
    *glob("extauthz/decide/*.py"),
    *glob("extauthz/wire/*.py"),
    "extauthz/observe/decision_line.py",
    "extauthz/observe/check_metrics.py",
    "extauthz/registry/replica/reading.py",
    "extauthz/registry/replica/records.py",
    "extauthz/transport/overload.py",
]

if os.environ.get("EXTAUTHZ_COMPILED") == "1":
    from mypyc.build import mypycify

    setup(ext_modules=mypycify(sorted(PATH_OF_A_CHECK), opt_level="3"))
else:
    setup()
