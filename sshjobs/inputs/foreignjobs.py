"""Help for people who know other tools: keys of other tools' jobfiles, and files that are no jobfiles at all."""

from __future__ import annotations

import re
import shlex

_COMMANDS = "write commands"
_HOSTS = "write hosts: names or tags of hosts"
_SLOTS = "a host's line in the hosts file says how many jobs it takes: slots=N"
_ORDER = "write after: [NAME, …]"
_VALUES = "write repeat: N, or matrix: {lr: [0.1, 1]} and ${{ lr }} in the commands"
_RESULTS = "what a job prints comes back by itself, in results/RUN/jobs"

#: By the key of another tool: what to write here.
FOREIGN_KEYS: dict[str, str] = {
    **dict.fromkeys("script run cmd cmds command exec shell steps task tasks before_script after_script".split(),
                    _COMMANDS),
    **dict.fromkeys("args arguments executable program entrypoint".split(), "write argv: [program, argument, …]"),
    **dict.fromkeys("environment environ variables vars export envs".split(), "write env"),
    **dict.fromkeys("workdir working_dir working_directory working-directory workingdir chdir directory dir pwd cd "
                    "wd".split(), "write cwd"),
    **dict.fromkeys("depends_on depends dependencies dependency requires before stage stages "
                    "waits_for".split(), _ORDER),
    **dict.fromkeys("gpu gres accelerator".split(), "write gpus: N"),
    **dict.fromkeys("cpu cores ncpus cpus_per_task cpus-per-task threads".split(), "write cpus: N"),
    **dict.fromkeys("ntasks nodes slots resources parallel concurrency".split(), _SLOTS),
    **dict.fromkeys("max-parallel maxparallel throttle".split(), "write max_parallel: N"),
    **dict.fromkeys("mem ram mem_mb".split(), "write memory: 4G"),
    **dict.fromkeys("tags tag runs-on runs_on labels label constraint nodelist node host partition queue "
                    "node_selector".split(), _HOSTS),
    **dict.fromkeys("time walltime time_limit timelimit time-limit timeout-minutes timeout_minutes runtime "
                    "deadline max_time".split(), "write timeout: 90, 1s, 2h30m"),
    **dict.fromkeys("retry max_retries maxretries restart restarts attempts max_attempts".split(), "write retries: N"),
    **dict.fromkeys("input inputs upload uploads copy stage_in send file".split(), "write files: [path, …]"),
    **dict.fromkeys("artifacts fetch download".split(), "write outputs: [PATTERN, …]"),
    **dict.fromkeys("stdout stderr log logs".split(), _RESULTS),
    **dict.fromkeys("strategy foreach for_each with_items loop array count replicas times repeats iterations "
                    "params parameters sweep".split(), _VALUES),
    **dict.fromkeys("image container docker singularity apptainer".split(),
                    "write wrap: [apptainer, exec, IMAGE]"),
    "conda": "write wrap: [conda, run, -n, ENV]",
    **dict.fromkeys("modules module venv".split(), "write it into commands, and login: true where they need it"),
    **dict.fromkeys("user username become login_user".split(), "the hosts file says who logs in: user@host"),
    **dict.fromkeys("title id job job_name job-name jobname".split(), "write name"),
    **dict.fromkeys("allow_failure ignore_errors continue-on-error continue_on_error".split(), "write strict: false"),
    **dict.fromkeys("prio niceness".split(), "write priority: N (higher first), or nice: N"),
    **dict.fromkeys("description comment notes".split(), "write a comment: # …"),
    **dict.fromkeys("version services".split(),
                    "a jobfile has defaults, jobs and keys of the run as a whole, and nothing else"),
}

_BATCH = re.compile(r"^#(SBATCH|PBS|BSUB|\$ )", re.MULTILINE)
_BATCH_SYSTEMS = {"SBATCH": "Slurm", "PBS": "PBS", "BSUB": "LSF", "$ ": "Grid Engine"}
_OF_A_JOBFILE = re.compile(r"^\s*-?\s*(jobs|defaults|commands|argv)\s*:", re.MULTILINE)
_KEYS = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]*:(\s|$)", re.MULTILINE)
#: So many characters of a file are looked at.
_HEAD = 20_000


def pointer(key: str) -> str | None:
    """Return what to write for a key of another tool, ``None`` if the key is unknown."""
    return FOREIGN_KEYS.get(key.lower())


def recognise(text: str, file: str) -> str | None:
    """Return what kind of file this is, if it is no jobfile, and the command that runs it; ``None`` if it is unknown.

    :param text: its content
    :param file: its name for the message
    """
    head, name = text[:_HEAD], shlex.quote("FILE" if file == "<stdin>" else file)
    lines = [line for line in head.splitlines() if line.strip()]
    if not lines or _OF_A_JOBFILE.search(head):
        return None
    plain = [line for line in lines if not line.lstrip().startswith("#")]
    if batch := _BATCH.search(head):
        return (f"this is a batch script for {_BATCH_SYSTEMS[batch[1]]}, no jobfile; run it as a job: "
                f"sshjobs exec --send {name} bash {name}")
    if head.startswith("#!"):
        by = "python3" if "python" in lines[0] else "bash"
        return f"this is a script, no jobfile; run it as a job: sshjobs exec --send {name} {by} {name}"
    if not plain:
        return None
    lines = plain
    if lines[0].count(",") and not _KEYS.match(lines[0]) and " " not in lines[0].strip().replace(", ", ",") and (
            len({line.count(",") for line in lines[:20] if '"' not in line}) == 1):
        return (f"this is a table, no jobfile; run a command for each row: sshjobs exec --csv --header : "
                f"COMMAND {{{lines[0].split(',')[0].strip()}}} :::: {name}")
    if lines[0].lstrip()[:1] in "-[{" or _KEYS.search(head):
        return None
    if len(lines) > 1 or " " in lines[0].strip():
        return f"this is a list of commands, no jobfile; run each line as a job: sshjobs exec bash -c {{}} < {name}"
    return None
