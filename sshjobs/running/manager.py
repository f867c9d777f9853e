"""Manager: the loop that carries N jobs to their ends on M hosts.

The loop runs in the caller's thread, and so do all hooks. The intent to launch is committed to the run's store
before the launch leaves; the end of an attempt is committed before its host may forget it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sshjobs.errors import LocalError, NoHostError, SshjobsError
from sshjobs.inputs.timespans import format_duration
from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from sshjobs.model.given import LONGEST_S, check, check_each, check_number
from sshjobs.model.needs import no_host_has
from sshjobs.model.spec import Job, JobSpec, start_over
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.network.contract import HERE, NetworkContract, News, RunIdentity, Warned
from sshjobs.running.endings import Endings
from sshjobs.running.housekeeping import HEARD_WITHIN, LeavesWaiting
from sshjobs.running.newrun import new_run
from sshjobs.scheduling.delays import delay_before
from sshjobs.scheduling.elsewhere import failed_on
from sshjobs.scheduling.failures import FAILURES
from sshjobs.scheduling.retries import may_be_lost, needs_next, retry_wanted
from sshjobs.scheduling.schedule import Schedule
from sshjobs.scheduling.verdict import judge
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.rundir import RunPaths

#: Seconds that a turn of the loop waits for more events while every host has enough to do.
LINGER = 0.01
#: Seconds after which a person is told that the last outputs are waited for; seconds that these get when the manager is
#: to leave.
RELEASE_PATIENCE, LEAVE_TIMEOUT = 5.0, 0.25


class Manager(Endings):
    """Allocates N jobs to M hosts.

    :param sleep_time_in_secs: after so many seconds with nothing finished, :meth:`HandleSleep` is called
    """

    def __init__(self, sleep_time_in_secs: float):
        super().__init__()
        check_number("sleep_time_in_secs", sleep_time_in_secs, 0, LONGEST_S, above=True)
        self.sleep_time_in_secs = sleep_time_in_secs
        #: Seconds after which the run does not wait for away hosts any longer; their jobs stay unknown. None: no limit.
        self.give_up_after: float | None = None
        self._stopping = False
        #: Functions that are posted now will still be called.
        self.accepting = True
        #: Ends the loop before the last job has ended, once it returns true; called between two events.
        self.until: Callable[[], bool] | None = None
        self._last_news = 0.0
        #: How many jobs were carried over, by the name of the earlier run.
        self.carried: Mapping[str, int] = {}
        #: Jobs that are known to wait because no host has what they need.
        self._stuck: set[Job] = set()
        #: The job for a host in quarantine that is launched next.
        self._canary: tuple[Job, str] | None = None

    # -- setting up ----------------------------------------------------------------------------------------------

    def Setup(self, job_specs: Iterable[JobSpec], network: NetworkContract, *, name: str | None = None,
              stem: str = "run", jobfile: bytes | None = None, options: Mapping[str, Any] | None = None,
              stdin: BinaryIO | None = None, earlier: Sequence[RunPaths] = ()) -> None:
        """Make a run of these jobs on this network, with a directory of its own, and begin to contact the hosts.

        :param name: name of the run; ``None`` for ``<stem>-<n>``
        :param jobfile: a copy to keep with the run
        :param stdin: read to its end and kept with the run; every job reads it as its standard input
        :param earlier: runs whose done jobs count as done
        :raises UsageError: no hosts, ``hosts`` of a job that match no host, or a name that is taken
        """
        check("network", network, NetworkContract)
        specs = check_each("job_specs", job_specs, JobSpec)
        check("name", name, str, none=True)
        made = new_run(specs, list(network.hosts.values()), Path(network.results_dir), name=name, stem=stem,
                       jobfile=jobfile, options=options, stdin=stdin,
                       manager=ManagerIdentity.this_process(), earlier=earlier, slots=network.slots)
        self.carried = made.carried
        epoch = self._begin(network, made.paths, made.store, made.schedule)
        self._total = len(made.jobs)
        self._tell_people((options or {}).get("telling"))
        self._set_up_hosts((options or {}).get("setup") or ())
        self.stages.begin(made.jobs)
        network.keep_files_of(self.stages.given)
        for job in made.jobs:
            self.books.enlist(job)
            if job.spec.after and job.state == STATE_FREE:
                self.line_up(job)
        network.hold()
        self._open_new(RunIdentity(made.uid, self.paths.name, epoch), hurry=len(made.jobs) >= len(network.hosts))
        # Commit something while hosts are being contacted: the first commit is the slowest, and launches wait for it.
        self.store.set_run_state("running")

    def Resume(self, paths: RunPaths, network: NetworkContract) -> None:
        """Take a run over from a manager that is gone, and ask the hosts what became of its attempts.

        :raises RunBusyError: that manager is alive
        :raises StoreError: the store cannot be used
        """
        epoch = self._begin(network, paths, RunStore.open(paths), Schedule(network.hosts.values(), slots=network.slots))
        with RunReader.open(paths) as reader:
            summary = reader.summary()
            unfinished, cancelled = reader.load_unfinished(), reader.cancelled()
            self.stages.resume([job for job in unfinished if job.state not in FINAL_STATES], reader)
            network.keep_files_of(self.stages.given)
            begun = self._set_up_hosts(summary.options.get("setup") or (), reader.setups())
            told = {row.host.name: row.facts for row in reader.hosts() if row.facts}
            self._tell_people(summary.options.get("telling"), reader.notices())
        self._recall_end(summary)
        self.store.set_run_state("running")
        network.hold()
        boots = {name: facts.get("boot", "") for name, facts in told.items()}
        self.hosts.watch.know(boots)
        network.adopt([*(job for job in unfinished if job.attempts), *begun], boots, told)
        network.open(RunIdentity(summary.uid, paths.name, epoch), paths)
        self.schedule.paused = bool(summary.options.get("paused"))
        for job in unfinished:
            self.books.unreleased.update((attempt, job) for attempt in job.attempts if not attempt.released)
            if job.state not in FINAL_STATES:
                self._take_over(job)
        # Their hosts may not have got the cancel.
        self.cancel(job for job in unfinished if job.index + 1 in cancelled)
        self._see_to_followers(job for job in unfinished if job.state == STATE_FREE)
        self.hosts.take_over()
        network.release(self.books.owed())

    def _take_over(self, job: Job) -> None:
        """Add a job of an earlier manager, with a pause or cancel of a person."""
        attempt = job.attempt
        if attempt is None or attempt.state in FINAL_STATES:
            self.take_in(job)
            return
        self.books.enlist(job)
        self.placement.enter(job, attempt.host, self.clock.monotonic())
        self.schedule.occupy(attempt.host, job)
        self.books.move(job, STATE_UNKNOWN)
        if job.paused is not None:
            # Its host may have been away when the person paused it.
            self.network.pause(job, job.paused)
        if job.paused and attempt.started is None:
            self.hosts.ask_back([job])

    def take_in(self, job: Job) -> None:
        """Add a waiting job of the run. It waits for a host, or is paused."""
        self.line_up(job)
        self.books.enlist(job)

    def add(self, jobs: list[Job]) -> None:
        """Add further jobs of the run, which are in the store."""
        with RunReader.open(self.paths) as reader:
            self.stages.add(jobs, reader)
        self.network.keep_files_of(self.stages.given)
        self._total += len(jobs)
        for job in jobs:
            self.take_in(job)
        self._see_to_followers(jobs)

    def try_again(self, job: Job) -> None:
        """Let a job that ended without success wait for a host again, and jobs that were skipped because of it."""
        todo = [job]
        while todo:
            one = todo.pop()
            if one.state not in FINAL_STATES:
                continue
            if one not in self.jobs:
                self.books.enlist(one)
                if one.spec.after:
                    with RunReader.open(self.paths) as reader:
                        self.stages.resume([one], reader)
            todo += self.stages.reopened(one)
            self._failed -= one.outcome in FAILURES
            start_over(one)
            self.books.move(one, STATE_FREE)
            self.line_up(one)

    # -- the loop ------------------------------------------------------------------------------------------------

    def ProcessJobs(self) -> None:
        """Run all jobs, blocking until each has ended (or, after :meth:`stop`, until what was launched has).

        :raises NoHostError: no host could be used, so nothing runs
        :raises LocalError: this machine cannot do its part, such as without the run's directory
        """
        try:
            self._last_news = self.clock.monotonic()
            while True:
                while not self._is_over():
                    self.turn()
                released = self._release_the_last()
                if self._is_over():  # more jobs may have been added meanwhile
                    break
            self.accepting = False
            finished = self.books.all_final() and not self.stays_open
            clean = released and (finished or self._left_nothing())
        except LeavesWaiting:
            finished = clean = False
        except BaseException as error:
            # Whatever happened here: hosts go on with their jobs, and a resume collects them.
            with contextlib.suppress(SshjobsError, OSError):
                self._close(finished=False)
            if isinstance(error, LocalError) and not error.passing:
                # If the whole directory has vanished, say that, and not which file was missed first.
                self.store.check_place()
            raise
        self._close(finished=finished, clean=clean)

    def turn(self) -> None:
        """Launch what fits, and handle events and their consequences: one turn of the loop of :meth:`ProcessJobs`."""
        self._end_waiting()
        self.hosts.look()
        while not self._stopping and self.LaunchJob() is not None:
            pass
        for canary in () if self._stopping else self.hosts.quarantine.canaries(self.clock.monotonic()):
            self._canary = canary
            self.LaunchJob()
        if not self._stopping and self.ended_by is None:
            self.setups.launch(self.clock.monotonic())
        if self.UpdateJobStatus():
            self._last_news = self.clock.monotonic()
        elif self.clock.monotonic() - self._last_news >= self.sleep_time_in_secs:
            self.HandleSleep()
            self._last_news = self.clock.monotonic()
        self._take_leases_back()
        self._give_up_hopeless()
        self._part_from_hosts()
        for job in self.placement.to_take_back(self.clock.monotonic()):
            self.network.fence(job)

    def LaunchJob(self) -> Job | None:
        """Launch the next job on a host with room; ``None`` if there is no such pair.

        The launch leaves when its intent is committed.
        """
        match = self._canary or self.schedule.next(self.clock.monotonic())
        if match is None:
            return None
        self._canary = None
        job, host = match
        job.not_before = None
        if not job.attempts or job in self._stuck:
            # The reason for which it waited is gone.
            job.reason = None
            self._stuck.discard(job)
        attempt = job.new_attempt(host, secrets.token_hex(16))
        if gpus := self.schedule.gpus.of(job, host):
            attempt.gpus = gpus
        self.placement.enter(job, host, self.clock.monotonic())
        self.books.launched(job, attempt)
        job.sources = self.stages.sources.of(job, self.paths)
        job.id_ = self.network.LaunchJob(job, host)
        self.HandleJobLaunch(job)
        return job

    def UpdateJobStatus(self) -> bool:
        """Handle what hosts have reported, waiting for it up to ``sleep_time_in_secs``; return whether any job ended.

        Returns early when there is something to launch, or after :meth:`post`.
        """
        self.commit()
        left = max(0.0, self._last_news + self.sleep_time_in_secs - self.clock.monotonic())
        patience = self.placement.patience()
        linger = LINGER if self.schedule.hosts.is_sated() else 0.0
        soonest = self.setups.within(self.clock.monotonic())
        self.hosts.gpus.ask()
        for soon in (patience, self.hosts.look_within(), self.hosts.gpus.within(), self._due_within(), soonest):
            left = left if soon is None else min(left, soon)
        news = self.network.wait(left, linger)
        self.inbox.carry_out()
        # Committed by the next turn, together with the launches into the free slots: one sync instead of two.
        return self._take_news(news)

    def _due_within(self) -> float | None:
        due = None if self._stopping else self.schedule.delays.soonest()
        return None if due is None else max(0.0, due - self.clock.monotonic())

    # -- for other threads and signals ---------------------------------------------------------------------------

    def stop(self) -> None:
        """Launch nothing more and take back launches that have not started; :meth:`ProcessJobs` returns when the rest
        has ended. In the manager's thread."""
        self._stopping = True
        self.ask_back_all()

    # -- inside --------------------------------------------------------------------------------------------------

    def _take_news(self, news: News) -> bool:
        """Handle news; return whether any job ended."""
        self.hosts.take(news)
        for job, why in self.hosts.take_gpus(news.gpus).items() if news.gpus else ():
            self.note(job, why)
        self.books.ended(news.fetched)
        for job in news.collected:
            self.placement.empty(job, job.attempts[-1].host)
        self.books.released(news.released)
        finished = False
        jobs = self.setups.take(news.jobs, self.clock.monotonic())
        for job, state in zip(jobs, self.network.GetJobStatus(jobs), strict=True):
            finished |= self._take_state(job, state)
        return finished

    def _release_the_last(self) -> bool:
        """Release all ended attempts and wait for that, but not long if the manager is to leave. Return whether all
        hosts that can be reached have done it."""
        owed = self.books.owed()
        patience, deadline = self.clock.monotonic() + RELEASE_PATIENCE, float("inf")
        while True:
            self.commit()
            owed = [attempt for attempt in owed if not attempt.released and self.hosts.watch.usable(attempt.host)]
            now = self.clock.monotonic()
            if not owed or now >= deadline:
                return not owed
            if self.leaves:
                deadline = min(deadline, now + LEAVE_TIMEOUT)
            if now >= patience:
                patience = float("inf")
                self.handle_host(Warned(HERE, "waiting until the last outputs are on the disk"))
            # Further attempts may end meanwhile: they are noted, but not waited for.
            self._take_news(self.network.wait(min(deadline - now, HEARD_WITHIN)))
            self.inbox.carry_out()
            if not self._is_over():
                return False

    def _take_state(self, job: Job, state: str) -> bool:
        attempt = job.attempts[-1]
        self.store.touch_attempt(job, attempt)
        if state not in FINAL_STATES:
            self.books.move(job, state)
            if attempt.started is not None:
                self.hosts.quarantine.note_start(job, attempt)
            self.handle_change(job)
            return False
        if job.state in FINAL_STATES or attempt.released:
            # It has ended already: a person may have declared it lost meanwhile.
            return False
        self._note_rule(job, attempt)
        self.placement.leave(job, attempt)
        self.books.ended([attempt])
        if attempt.cause is Cause.GPU_FAILED:
            self.schedule.gpus.set_aside(attempt.host, attempt.gpus or (), attempt.reason or "a job failed on it")
        self._take_back_failures(job, attempt)
        return self._conclude(job, attempt)

    def give_up(self, job: Job, reason: str, *, cause: Cause = Cause.DECLARED_LOST) -> None:
        """Declare the newest attempt of a job lost: a person says that its host will not come back, or its lease has
        run out."""
        attempt = job.attempts[-1]
        if attempt.state in FINAL_STATES:
            # Its end has just arrived, and will be handled next.
            return
        self.network.condemn(job, reason)
        attempt.cause = cause
        self.books.given_up(job, attempt)
        self.placement.leave(job, attempt)
        self._conclude(job, attempt)

    def _take_leases_back(self) -> None:
        """Declare attempts on away hosts lost whose lease has certainly run out, so that their jobs can run elsewhere.

        Only if the job would be tried again: otherwise its host may still come back and tell how it ended. Attempts
        that are proved to be over because of their host end in any case.
        """
        for job, reason in self.hosts.proved_over():
            self.give_up(job, reason, cause=Cause.ALLOCATION)
        for job in self.hosts.leases_over():
            elsewhere = self.schedule.eligible(job.spec, job.only_host) != {job.attempts[-1].host}
            if job in self._cancelled or (elsewhere and may_be_lost(job)):
                lease = format_duration(job.spec.lease or 0.0)
                self.give_up(job, f"its lease of {lease} ran out while its host was away", cause=Cause.LEASE)

    def _conclude(self, job: Job, attempt: Attempt) -> bool:
        """Let a job end, or be tried again, after its newest attempt has ended; return whether the job ended."""
        verdict = judge(job, cancelled=job in self._cancelled or self.ended_by is not None)
        near = self.schedule.nearest(job) if verdict.again and not self.stays_open else None
        if verdict.again and near is None:
            delay = delay_before(job)
            job.not_before = None if delay is None else self.clock.time() + delay
            self.books.move(job, STATE_FREE)
            job.reason = verdict.reason
            if failed_on(job) and not self.schedule.has_another_host(job):
                job.reason = f"{job.reason}; there is no other host for it"
            self.line_up(job)
            self.handle_change(job)
            return False
        job.exit_status, job.signal = attempt.exit_status, attempt.signal
        reason = verdict.reason if near is None else f"{verdict.reason}; {no_host_has(needs_next(job), *near)}"
        self._finish(job, verdict.outcome, reason)
        return True

    def _take_back_failures(self, job: Job, attempt: Attempt) -> None:
        """If an end shows that its host fails its jobs, let other jobs that it has failed be tried again."""
        others = self.hosts.quarantine.note(job, attempt, self.clock.monotonic())
        for other in others:
            self.store.touch_attempt(other, other.attempts[-1])
            if retry_wanted(other, Outcome.LOST):
                self.try_again(other)
        if others:
            self.hosts.ask_back(self.placement.unstarted(attempt.host))

    def _give_up_hopeless(self) -> None:
        hopeless = self.schedule.hopeless(patient=self.stays_open)
        if self.schedule.stuck:
            self._tell_stuck(self.schedule.stuck)
        if not hopeless:
            return
        hosts = {job: sorted(self.schedule.eligible(job.spec, job.only_host)) for job in hopeless}
        nobody_waits_but_for_them = len(self.unfinished()) == len(self.jobs) and not self.schedule.waiting and all(
            not self.stages.may_run(job) for job in self.unfinished() if job not in hosts)
        nearest = {job: self.schedule.nearest(job) for job in hopeless}
        if nobody_waits_but_for_them and all(hosts.values()) and not any(nearest.values()):
            for job in hopeless:
                self.schedule.add(job)
            raise NoHostError("no host could be used, so nothing was run",
                              why="; ".join([*filter(None, self.hosts.watch.trouble.values()),
                                              *self.hosts.manners.over.values()]),
                              hint=f"mend one, then: sshjobs resume {self.paths.name}")
        for job, names in hosts.items():
            why = self.hosts.watch.why_hopeless(names, self.hosts.manners.over)
            near = nearest[job]
            self._finish(job, Outcome.SKIPPED, why if near is None else no_host_has(needs_next(job), *near))

    def _tell_stuck(self, jobs: Sequence[Job]) -> None:
        """Set the reason of jobs that wait because no host has what they need; warn once, of the first one."""
        new = [job for job in jobs if job not in self._stuck]
        self._stuck.update(new)
        for job in jobs:
            if (near := self.schedule.nearest(job)) is not None:
                self.note(job, no_host_has(needs_next(job), *near))
        if new:
            more = f" (and {len(new) - 1:,} more)" if len(new) > 1 else ""
            self.handle_host(Warned(HERE, f"{new[0].name}{more} waits for a host that may join: {new[0].reason}"))

    def _is_over(self) -> bool:
        if self.leaves or (self.until is not None and self.until()):
            return True
        if self.give_up_after is not None and self._only_waits_for_lost_hosts(self.give_up_after):
            return True
        if self._stopping:
            return not self.books.any_launched()
        return self.books.all_final() and not self.stays_open and not self.setups.end(self.hosts.watch.usable)

    def _only_waits_for_lost_hosts(self, seconds: float) -> bool:
        away = self.jobs.InState(STATE_UNKNOWN) if not self.jobs.AnyInState(STATE_BUSY) else []
        if not away or (self.schedule.hosts.any_up() and any(map(self.stages.may_run, self.jobs.InState(STATE_FREE)))):
            return False
        since = [self.hosts.watch.away_since(job.attempts[-1].host) for job in away]
        now = self.clock.monotonic()
        return all(one is not None and now - one >= seconds for one in since)

    def _left_nothing(self) -> bool:
        """Whether all attempts have ended and were released, so that hosts need not remember anything."""
        return self._stopping and not any(self.hosts.watch.usable(attempt.host) for attempt in self.books.unreleased)
