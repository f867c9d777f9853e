"""Labs for tests that can do with nothing less."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.lab.base import LabUnsupported
from tests.lab.namespaces import Lab


def needed_lab(hosts: int, **more: Any) -> Lab:
    """Return a lab that is to be started. Where this machine allows no such hosts the test is skipped, but never for
    root: there it is an error.
    """
    try:
        return Lab(hosts, **more)
    except LabUnsupported as error:
        if os.geteuid() == 0:
            raise
        pytest.skip(str(error))
