"""Python imports this when it starts in an environment that has this directory on PYTHONPATH."""

import os

if "SSHJOBS_TROUBLE" in os.environ:
    from tests.trouble.inject import install

    install(os.environ["SSHJOBS_TROUBLE"])
