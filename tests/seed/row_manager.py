"""A program as users of the seed have them: builds jobs, runs them on two clusters, keeps the log.

usage: row_manager.py start|resume RESULTS SSH_CONFIG LOG CLUSTERS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sshjobs import Builder, LoggingManager, Network
from sshjobs.store.rundir import RunPaths

SECONDS = 1


def build() -> Builder:
    """Thirty jobs."""
    builder = Builder()
    builder.AddJob(["exit 3"], name="silent")
    builder.AddJob(["echo 'warning: all is well' >&2"], name="warns")
    builder.SetRepeat(28)
    builder.AddJob(['echo "$SSHJOBS_JOB $SSHJOBS_ATTEMPT" >> ~/ledger', f"sleep {SECONDS}",
                    'echo "out of $SSHJOBS_JOB"'], name="work")
    return builder


def main(do: str, results: str, ssh_config: str, log: str, clusters: str) -> None:
    network = Network(results, json.loads(clusters), ssh_config=ssh_config, slots=2)
    with open(log, "w", encoding="utf-8") as stream:
        manager = LoggingManager(0.2, stream)
        if do == "start":
            manager.Setup(build().MakeJobSpecs(), network)
        else:
            manager.Resume(RunPaths(Path(results), "run-1"), network)
        manager.ProcessJobs()
    sys.exit(manager.exit_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
