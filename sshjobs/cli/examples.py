"""Command lines to begin with, for the help of each command and its manual page: what is typed, and what it is for."""

from __future__ import annotations

import click

#: For the help of sshjobs itself.
FIRST = """\b
sshjobs init && sshjobs run jobs.yaml
sshjobs run jobs.yaml --hosts h1,node[01-16]
sshjobs exec gzip {} ::: *.log
sshjobs help states
"""

#: By the words of the command.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "run": (("sshjobs run jobs.yaml", "on this machine"),
            ("sshjobs run jobs.yaml --hosts h1,node[01-16]", "on these hosts"),
            ("sshjobs run jobs.yaml --hosts hosts.txt --dry-run", "check everything, start nothing"),
            ("sshjobs run jobs.yaml --continue sweep-3", "only what is not done there")),
    "plan": (("sshjobs plan jobs.yaml", "against earlier runs of it"),
             ("sshjobs plan jobs.yaml --against sweep-3 --list", "every job, and what differs")),
    "init": (("sshjobs init", "writes jobs.yaml"), ("sshjobs init sweep.yaml", "writes sweep.yaml")),
    "exec": (("sshjobs exec gzip {} ::: *.log", "once for each file"),
             ("sshjobs exec --hosts hosts.txt --send {} ./fit {} ::: data/*", "send each file to a host first"),
             ("sshjobs exec --per-host --hosts @gpu uptime", "once on every host of a group")),
    "queue start": (("sshjobs queue start --hosts hosts.txt --name night", "and then: sshjobs add night …"),),
    "queue finish": (("sshjobs queue finish night", "it ends with its last job"),),
    "add": (("sshjobs add more.yaml", "the jobs of a jobfile"),
            ("sshjobs add sweep-3 --name extra -- ./fit --lr 0.1", "one job")),
    "withdraw": (("sshjobs withdraw 'fit-*'", "jobs that never started"),),
    "status": (("sshjobs status", "the newest run"), ("sshjobs status sweep-3 'fit-*'", "some of its jobs"),
               ("sshjobs status --json --summary", "for programs")),
    "why": (("sshjobs why", "the kinds of failures of the newest run"),
            ("sshjobs why sweep-3 fit-7", "all that is known of one job")),
    "logs": (("sshjobs logs fit-7", "standard output"), ("sshjobs logs fit-7 --stderr --tail 20", "the last lines"),
             ("sshjobs logs -f 'train[lr=0.1]'", "of all with this parameter, as it comes")),
    "grep": (("sshjobs grep 'out of memory'", "in all outputs of the newest run"),
             ("sshjobs grep -E 'loss: nan|inf' sweep-3 'fit-*'", "an expression, in some jobs"),
             ("sshjobs grep -i -l error --json", "for programs")),
    "fetch": (("sshjobs fetch fit-7", "files that did not come home"),
              ("sshjobs fetch --to here 'fit-*'", "elsewhere")),
    "shell": (("sshjobs shell fit-7", "where it runs, or was kept"),
              ("sshjobs shell fit-7 --attempt 1", "its first try")),
    "table": (("sshjobs table --where 'loss<0.3' --sort loss", "the best first"),
              ("sshjobs table --group-by lr --agg mean,std --format csv", "for other programs")),
    "report": (("sshjobs report", "the newest run"), ("sshjobs report sweep-3 -o report.html", "into this file")),
    "cancel": (("sshjobs cancel fit-7", "one job"), ("sshjobs cancel sweep-3 --all", "all of a run")),
    "resume": (("sshjobs resume", "the newest run"), ("sshjobs resume sweep-3 --detach", "in the background")),
    "retry": (("sshjobs retry --failed", "all that failed"), ("sshjobs retry sweep-3 fit-7", "one job")),
    "attach": (("sshjobs attach", "the newest run that is under way"),),
    "wait": (("sshjobs wait && sshjobs table", "when all jobs are done"), ("sshjobs wait sweep-3 --timeout 2h", ""),
             ("sshjobs wait sweep-3 --until started=8", "until so many jobs have started")),
    "notices": (("sshjobs notices", "of the newest run"), ("sshjobs notices sweep-3 --again", "try once more")),
    "pause": (("sshjobs pause", "launch nothing more"), ("sshjobs pause fit-7", "stop a job where it is")),
    "unpause": (("sshjobs unpause", "launch again"), ("sshjobs unpause fit-7", "let it go on")),
    "top": (("sshjobs top", "the newest run"), ("sshjobs top sweep-3", "this one, also when it is over")),
    "serve": (("sshjobs serve", "all runs, at http://127.0.0.1:8181"),
              ("sshjobs serve --read-only --port 0", "to look at")),
    "ls": (("sshjobs ls", ""), ("sshjobs ls --json", "for programs")),
    "rm": (("sshjobs rm sweep-3", "one run"), ("sshjobs rm 'exec-*'", "all with such a name"),
           ("sshjobs rm --older 7d --dry-run", "what was over a week ago")),
    "verify": (("sshjobs verify", "the newest run"), ("sshjobs verify sweep-3 --no-hosts", "what is here")),
    "gc": (("sshjobs gc --dry-run", "what runs left anywhere"),
           ("sshjobs gc sweep-3", "also what it keeps on purpose")),
    "hosts check": (("sshjobs hosts check --hosts hosts.txt", ""),),
    "hosts install": (("sshjobs hosts install --hosts hosts.txt", "the gjob command, for people there"),),
    "hosts who": (("sshjobs hosts who --hosts hosts.txt", "the runs of all persons there"),),
    "hosts usage": (("sshjobs hosts usage --hosts hosts.txt --since 12h", "what they have used"),),
    "hosts add": (("sshjobs hosts add node[17-20]", "to the newest run"),),
    "hosts drain": (("sshjobs hosts drain node07", "nothing more starts there"),),
    "hosts undrain": (("sshjobs hosts undrain node07", ""),),
    "hosts remove": (("sshjobs hosts remove sweep-3 node07", "once its jobs are over"),),
    "hosts lost": (("sshjobs hosts lost node07", "it will not come back"),),
    "hosts set": (("sshjobs hosts set node07 slots=4", ""),),
    "cluster up": (("sshjobs cluster up --type dask --hosts hosts.txt --nworkers 4", ""),),
    "cluster status": (("sshjobs cluster status --json", ""),),
    "cluster scale": (("sshjobs cluster scale 8", "workers on each host"),),
    "cluster down": (("sshjobs cluster down", ""),),
    "simulate": (("sshjobs simulate jobs.yaml --hosts hosts.txt --seconds 30±5", "how long it would take"),),
    "schema": (("sshjobs schema > jobfile.schema.json", "for editors"),
               ("sshjobs schema status", "what sshjobs status --json prints")),
    "version": (("sshjobs version", ""),),
    "config": (("sshjobs config", "what holds, and why"), ("sshjobs config --json", "for programs")),
    "completion install": (("sshjobs completion install", "for the shell that you use"),
                           ("sshjobs completion install zsh", "")),
    "completion remove": (("sshjobs completion remove", ""),),
    "completion show": (("sshjobs completion show fish", ""),),
    "demo": (("sshjobs demo", "needs nothing, leaves nothing"),),
    "help": (("sshjobs help states", "where a job may stand"), ("sshjobs help run", "the same as sshjobs run --help")),
    "man": (("sshjobs man run", "the manual page of a command"),
            ("sshjobs man --to ~/.local/share/man/man1", "all of them, for man sshjobs-run")),
}


def with_examples(command: click.Command, name: str) -> click.Command:
    """Have the help of a command, and of those below it, end with examples."""
    if isinstance(command, click.Group):
        for below, inner in command.commands.items():
            with_examples(inner, f"{name} {below}")
    elif name in EXAMPLES:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines(name))
    return command


def lines(name: str) -> list[str]:
    """Return the examples of a command as lines of a shell."""
    width = min(48, max(len(line) for line, _ in EXAMPLES[name]))
    return [f"{line:<{width}}  # {about}".rstrip() if about else line for line, about in EXAMPLES[name]]
