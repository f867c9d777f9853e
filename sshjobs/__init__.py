"""sshjobs: run many jobs on the machines that you can ssh to.

Everything named in ``__all__`` is promised: names and signatures stay. Loaded when first used, so that
``import sshjobs`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sshjobs.cluster.enginecluster import EngineCluster
    from sshjobs.errors import (
        CallError,
        CommandError,
        HostError,
        InputError,
        NoHostError,
        QueueError,
        RunTimeoutError,
        SshjobsError,
        UsageError,
    )
    from sshjobs.inputs.builder import Builder
    from sshjobs.model.attempt import Attempt
    from sshjobs.model.spec import Job, JobSpec
    from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, STATES, Outcome
    from sshjobs.network import Network
    from sshjobs.network.helpers import (
        CheckLocalCommand,
        CheckRemoteCommands,
        CopyLocalFilesToRemoteHost,
        WriteRemoteFile,
    )
    from sshjobs.pools.executor import Executor
    from sshjobs.running.logmanager import LoggingManager
    from sshjobs.running.manager import Manager
    from sshjobs.running.run import Run
    from sshjobs.scheduling.queue import Queue

__version__ = "0.1.0"

_HOME = {
    "cluster.enginecluster": ("EngineCluster",),
    "errors": ("CallError", "CommandError", "HostError", "InputError", "NoHostError", "QueueError", "RunTimeoutError",
               "SshjobsError", "UsageError"),
    "inputs.builder": ("Builder",),
    "model.attempt": ("Attempt",),
    "model.spec": ("Job", "JobSpec"),
    "model.states": ("STATES", "STATE_BUSY", "STATE_DONE", "STATE_ERROR", "STATE_FREE", "STATE_UNKNOWN", "Outcome"),
    "network": ("Network",),
    "network.helpers": ("CheckLocalCommand", "CheckRemoteCommands", "CopyLocalFilesToRemoteHost", "WriteRemoteFile"),
    "pools.executor": ("Executor",),
    "running.logmanager": ("LoggingManager",),
    "running.manager": ("Manager",),
    "running.run": ("Run",),
    "scheduling.queue": ("Queue",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "STATES", "STATE_BUSY", "STATE_DONE", "STATE_ERROR", "STATE_FREE", "STATE_UNKNOWN", "Attempt", "Builder",
    "CallError", "CheckLocalCommand", "CheckRemoteCommands", "CommandError", "CopyLocalFilesToRemoteHost",
    "EngineCluster", "Executor", "HostError", "InputError", "Job", "JobSpec", "LoggingManager", "Manager", "Network",
    "NoHostError", "Outcome", "Queue", "QueueError", "Run", "RunTimeoutError", "SshjobsError", "UsageError",
    "WriteRemoteFile",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'sshjobs' has no attribute {name!r}")
    value = getattr(import_module(f"sshjobs.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
