"""Cancels of process trees that do not want to end, among bystanders whose pids are used again and again."""

from __future__ import annotations

from tests.faults import ledger
from tests.faults.scene import Manager, Scene, survivors
from tests.lab import LabHost, wait_until

#: The sleep that tells a process of a hostile tree apart when it has got rid of its environment.
HOSTILE = "31415"
#: The same for bystanders.
BYSTANDER = "27182"
BYSTANDERS, CHURNERS = 5, 3
#: Pids on a host while bystanders live there: the kernel takes each again within seconds.
PID_MAX = 700
TREES = {
    "ignores TERM": "trap '' TERM INT HUP; while :; do sleep {hostile} & wait; done",
    "sessions": "for i in 1 2 3; do setsid bash -c \"trap '' TERM; sleep {hostile}\" & done; sleep {hostile}",
    "double fork": "( (setsid sleep {hostile} &) & ); ( (sleep {hostile} &) & ); sleep {hostile}",
    "no environment": "(setsid env -i sleep {hostile} &); env -i setsid bash -c 'trap \"\" TERM; sleep {hostile}' & wait",
    "fork storm": "trap '' TERM; while :; do (sleep 0.5 &); sleep 0.02; done",
    "stops itself": "sleep {hostile} & kill -STOP $$; wait",
}
#: Uses pids up, notes how many, and what died of a signal around it, which nobody here sends to it.
_CHURN = ("n=0; while :; do sleep 0.05; s=$?; n=$((n+1)); echo $n > /tmp/churned.$$; "
          "if [ $s -ge 128 ]; then echo killed by $((s-128)) >> /tmp/innocents; fi; done")


def hostile(count: int, seed: int) -> ledger.Jobs:
    """Return jobs that run for ever, each a tree of one kind."""
    made, kinds = ledger.Jobs(), list(TREES)
    for n in range(count):
        kind = kinds[(n + seed) % len(kinds)]
        made.add(f"{kind.replace(' ', '-')}-{n}", [TREES[kind].format(hostile=HOSTILE)], outcome="cancelled",
                 exit_status=None, strict=False)
    return made


def invite(host: LabHost, churners: int = CHURNERS) -> None:
    """Let bystanders of the same user live on a host where pids are few."""
    host.run(["sh", "-c", f"echo {PID_MAX} > /proc/sys/kernel/pid_max"])
    for words in [["sleep", BYSTANDER]] * BYSTANDERS + [["bash", "-c", _CHURN]] * churners:
        host.run(["sh", "-c", 'exec setsid -f "$@" < /dev/null > /dev/null 2>&1', "sh", *words], user=host.user)


def harmed(host: LabHost, churners: int = CHURNERS) -> list[str]:
    """Return which bystanders came to harm."""
    found = []
    if (host.path("/tmp/innocents")).exists():
        found += host.path("/tmp/innocents").read_text().splitlines()
    living = [process.argv for process in host.processes() if process.state not in "ZX"]
    for what, words, wanted in (("bystanders", ("sleep", BYSTANDER), BYSTANDERS),
                                ("churners", ("bash", "-c", _CHURN), churners)):
        if living.count(words) != wanted:
            found.append(f"{host.name}: {living.count(words)} of {wanted} {what} live")
    return found


def rounds(host: LabHost) -> float:
    """Return how often each pid of a host was given out, at least: what the bystanders used alone."""
    used = sum(int(path.read_text() or 0) for path in host.path("/tmp").glob("churned.*"))
    return round(used / PID_MAX, 1)


def cancel_trees(scene: Scene, cancels: int, *, batch: int,
                 churners: int = CHURNERS) -> tuple[ledger.Findings, int, float]:
    """Start hostile trees, cancel them all, and look at once what is left; until so many were cancelled.

    :return: what was found, how many were cancelled, and how often each pid was given out, at least
    """
    found, done = ledger.Findings(), 0
    for host in scene.lab.hosts:
        invite(host, churners)
    while done < cancels and not found.bad:
        manager = scene.begin(hostile(batch, scene.rng.randrange(100)))
        wait_until(scene.is_there, 60, "the run to be made")
        if scene.rng.random() < 0.8:
            wait_until(lambda: len(scene.ledger()) >= batch, 60, lambda: f"all to run: {scene.how()}")
        else:
            # While they are being launched.
            manager.ended(scene.rng.uniform(0, 1.5))
        asked = Manager(["cancel", scene.results / scene.name, "--all"], scene.directory)
        if not asked.ended(90) or asked.code != 0:
            found.wrong.append(f"seed {scene.seed}: the cancel of {scene.name} ended {asked.ended()}: {scene.how()}")
        for host in scene.lab.hosts:
            left = survivors(host, scene.name) + [process.argv for process in host.processes()
                                                  if HOSTILE in process.argv and process.state not in "ZX"]
            found.wrong += [f"{host.name}: survived its cancel: {argv}" for argv in left]
        scene.finish()
        found.add(_check(scene))
        done += batch
    for host in scene.lab.hosts:
        found.wrong += [f"innocent: {text}" for text in harmed(host, churners)]
    return found, done, min(rounds(host) for host in scene.lab.hosts)


def _check(scene: Scene) -> ledger.Findings:
    """What a cancelled run must look like: every job cancelled, none of them at its own end."""
    found = scene.check()
    # A job that was cancelled has no end of its own, which is what the checker would miss.
    found.wrong = [text for text in found.wrong if not text.endswith("is cancelled and never came to its end")]
    return found
