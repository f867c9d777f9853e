"""Options of GNU parallel and of clush, and what to write for each: people bring their habits.

A test tries what each line says, and docs/parallel.md lists all of it.
"""

from __future__ import annotations

from typing import NamedTuple


class ForeignOption(NamedTuple):
    """Options that mean one thing.

    :ivar names: how it is spelled
    :ivar advice: what to do, after "…;"
    :ivar example: a command line of ours that does so, without ``sshjobs``; empty where nothing is to be written
    """

    names: str
    advice: str
    example: str = ""
    program: str = "GNU parallel"


_LEAVE_OUT = "leave it out"
_ROW = "one job takes one row of values: paste -d, - - < LIST | sshjobs exec --colsep , COMMAND {1} {2}"
_SPLIT = "split the file first, and let each job read a part: sshjobs exec --stdin {} COMMAND ::: PARTS"
_FEWER = "to run fewer jobs at a time on each host, write -j N"

FOREIGN_OPTIONS = (
    ForeignOption("-S --sshlogin", "write --hosts h1,h2", "exec --hosts node01,node02 echo ::: a"),
    ForeignOption("--slf --sshloginfile", "write --hosts FILE, one host a line", "exec --hosts hosts.txt echo ::: a"),
    ForeignOption("--nonall --onall", "write --per-host", "exec --per-host uptime"),
    ForeignOption("--hgrp --hostgroup --hostgroups", "write --hosts FILE --hosts @TAG",
                  "exec --hosts hosts.txt --hosts @big echo ::: a"),
    ForeignOption("--filter-hosts", f"{_LEAVE_OUT}: a host that cannot be used is set aside"),
    ForeignOption("--ssh -M --controlmaster", "write --ssh-config FILE: your own ssh is used, with its settings",
                  "exec --ssh-config config echo ::: a"),
    ForeignOption("--transfer --transferfile --tf", "write --send {}", "exec --send {} cat ::: a.txt"),
    ForeignOption("--basefile --bf", "write --send FILE", "exec --send a.txt echo ::: a"),
    ForeignOption("--return", "let the job print what is to come back: sshjobs exec 'COMMAND {}; cat RESULT' ::: VALUE",
                  "exec 'gzip {}; cat {}.gz' ::: a.txt"),
    ForeignOption("--trc", "write --send {}, and let the job print what is to come back",
                  "exec --send {} 'gzip {}; cat {}.gz' ::: a.txt"),
    ForeignOption("--cleanup", f"{_LEAVE_OUT}: what a run sends is removed at its end"),
    ForeignOption("--workdir --wd", "write --cwd DIR", "exec --cwd /tmp echo ::: a"),
    ForeignOption("--jobs -P --max-procs", "write -j N", "exec -j 2 echo ::: a"),
    ForeignOption("--load --memfree --memsuspend --noswap --limit", _FEWER, "exec -j 1 echo ::: a"),
    ForeignOption("--use-cpus-instead-of-cores --use-cores-instead-of-threads --use-sockets-instead-of-threads",
                  _FEWER, "exec -j 1 echo ::: a"),
    ForeignOption("--delay --sshdelay", f"{_LEAVE_OUT}: logins to a host are spread by themselves"),
    ForeignOption("--halt --halt-on-error", "write --fail-fast", "exec --fail-fast echo ::: a"),
    ForeignOption("--resume", "write: sshjobs resume RUN", "resume letters"),
    ForeignOption("--resume-failed --retry-failed", "write: sshjobs retry RUN --failed", "retry letters --failed"),
    ForeignOption("--joblog", f"{_LEAVE_OUT}; how each job ended: sshjobs status RUN --all", "status letters --all"),
    ForeignOption("--keeporder", "write -k", "exec -k echo ::: a"),
    ForeignOption("--lb --line-buffer --linebuffer -u --ungroup", "write --output line",
                  "exec --output line echo ::: a"),
    ForeignOption("--group", "write --output grouped, or leave it out", "exec --output grouped echo ::: a"),
    ForeignOption("--files --results-dir", "write --output none: outputs are in results/RUN/jobs",
                  "exec --output none echo ::: a"),
    ForeignOption("--tagstring --ctag --ctagstring", "write --tag", "exec --tag echo ::: a"),
    ForeignOption("--bar --eta --progress", "write --output none: on a terminal it shows the run as it goes",
                  "exec --output none echo ::: a"),
    ForeignOption("--dryrun --dr", "write --dry-run", "exec --dry-run echo ::: a"),
    ForeignOption("-p --interactive", "look first: --dry-run", "exec --dry-run echo ::: a"),
    ForeignOption("-t", "write -v", "exec -v echo ::: a"),
    ForeignOption("--link --xapply", "pair values by :::+", "exec echo ::: a b :::+ 1 2"),
    ForeignOption("-n --max-args -N --max-replace-args -X -m --xargs -L -l --max-lines -s --max-chars", _ROW,
                  "exec --colsep , echo {1} {2} :::: table.csv"),
    ForeignOption("-d --delimiter", "make lines of it first: tr , '\\n' < LIST | sshjobs exec COMMAND; "
                                    "-0 is for NUL bytes", "exec echo"),
    ForeignOption("-I -i --replace -U --rpl --plus --er --extensionreplace --bner --basenamereplace --seqreplace",
                  "write {} for the value, {.} {/} {//} {/.} for parts of a path, {#} for the number",
                  "exec echo {} {.} {/} {//} {/.} {#} ::: a/b.txt"),
    ForeignOption("--skip-first-line", "write --header :", "exec --header : --colsep , echo {1} :::: table.csv"),
    ForeignOption("--shuf", "mix the values first: shuf LIST | sshjobs exec COMMAND", "exec echo"),
    ForeignOption("--filter", "choose the values first: grep PATTERN LIST | sshjobs exec COMMAND", "exec echo"),
    ForeignOption("--trim", "trim the values first: sed 's/^ *//; s/ *$//' LIST | sshjobs exec COMMAND", "exec echo"),
    ForeignOption("-E -e --eof", "end the values first: sed '/^END$/,$d' LIST | sshjobs exec COMMAND", "exec echo"),
    ForeignOption("--arg-sep --arg-file-sep", "values come after ::: and files of values after ::::",
                  "exec echo ::: a :::: names.txt"),
    ForeignOption("--pipe --pipepart --pipe-part --block --recstart --recend --round-robin --cat --fifo --tee", _SPLIT,
                  "exec --stdin {} 'wc -l' ::: a.txt"),
    ForeignOption("--quote", f"{_LEAVE_OUT}: values arrive as they are"),
    ForeignOption("-r --no-run-if-empty", f"{_LEAVE_OUT}: no values are no jobs"),
    ForeignOption("--compress --compress-program --decompress-program --tmpdir --tempdir",
                  f"{_LEAVE_OUT}: outputs go to results/RUN/jobs"),
    ForeignOption("--record-env", "name the variables: --env NAME", "exec --env HOME echo ::: a"),
    ForeignOption("--process-slot-var", "the slot is $SSHJOBS_SLOT, or {%} in a line of shell",
                  "exec 'echo {%} {}' ::: a"),
    ForeignOption("--number-of-cpus --number-of-cores --number-of-threads --number-of-sockets",
                  "write: sshjobs hosts check --hosts HOSTS", "hosts check --hosts localhost"),
    ForeignOption("--minversion", "write: sshjobs version", "version"),
    ForeignOption("--profile -J", "put your options into a shell alias: alias each='sshjobs exec --hosts FILE'",
                  "exec --hosts hosts.txt echo ::: a"),
    ForeignOption("--tmux --tmuxpane", "watch a job: sshjobs logs -f RUN JOB", "logs -f letters 1-A"),
    ForeignOption("--semaphore --sem --id --fg --bg --st --semaphoretimeout --semaphorename",
                  "nothing here counts what other commands run; see flock(1)"),
    ForeignOption("--sql --sqlmaster --sqlworker --sqlandworker",
                  f"{_LEAVE_OUT}; each run has a database of its own: sshjobs status RUN --json",
                  "status letters --json"),
    ForeignOption("--color --colour --color-failed --gnu --will-cite --citation --bibtex --no-notice --termseq "
                  "--tollef --shebang --hashbang --shebang-wrap --session --total-jobs", _LEAVE_OUT),
    ForeignOption("-w --nodes", "write --hosts h1,node[01-16]", "exec --hosts h1,node[01-16] uptime", "clush"),
    ForeignOption("-g", "write --hosts @GROUP", "exec --hosts hosts.txt --hosts @big uptime", "clush"),
    ForeignOption("-b -B --dshbak", f"{_LEAVE_OUT}: on a terminal --per-host puts equal outputs together", "", "clush"),
    ForeignOption("-f --fanout", "write -j N for each host; hosts are contacted all at once", "exec -j 1 uptime",
                  "clush"),
)


def foreign_option(name: str) -> ForeignOption | None:
    """Return what is known of an option that we do not have, as ``-S`` or ``--sshlogin``."""
    return next((option for option in FOREIGN_OPTIONS if name in option.names.split()), None)
