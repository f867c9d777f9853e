"""A backend for joblib: ``parallel_config("sshjobs", hosts=…)`` has the calls of a ``Parallel`` made on hosts.

Importing this module makes it known to joblib. Each call is one of :class:`sshjobs.Executor`, so with ``name=`` a
program that was killed finds what it had computed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from joblib.parallel import ParallelBackendBase, register_parallel_backend

from sshjobs.errors import UsageError
from sshjobs.pools.executor import Executor

#: How many calls are under way at a time where nobody says how many: hosts tell how many cores they have only later.
MANY = 256


class SshjobsBackend(ParallelBackendBase):  # type: ignore[misc]
    """Makes calls on hosts. The run begins with the first ``Parallel``, and ends with the ``with`` block.

    :param executor: to call by; it is not shut down
    :param options: those of :class:`sshjobs.Executor`, in the place of one
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, *,
                 executor: Executor | None = None, **options: Any):
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        if executor is not None and options:
            raise UsageError(f"an executor was given, so {', '.join(options)} cannot be")
        if options.get("results", "pickle") != "pickle":
            raise UsageError("joblib needs results as pickles", hint="leave out results=")
        self._given, self._options = executor, options
        self._made: Executor | None = None

    def __reduce__(self) -> Any:
        raise UsageError("this backend of joblib cannot be sent")

    def get_nested_backend(self) -> Any:
        """Calls within calls are made one after the other."""
        from joblib.parallel import SequentialBackend

        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many calls joblib may have under way."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return n_jobs if n_jobs is not None and n_jobs > 0 else MANY

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Future[Any]:
        """Have a batch of calls made, each as one of its own."""
        # Not the batch itself: only what is called, and with what, tells one call from another in the next program.
        executor = self._executor()
        batch = _Batch([executor.submit(function, *args, **kwargs) for function, args, kwargs in func.items])
        batch.follow(callback)
        return batch

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return what a batch returned."""
        return out.result()

    def terminate(self) -> None:
        """End the run, once all that was called has come."""
        if self._made is not None:
            executor, self._made = self._made, None
            executor.shutdown()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what waits, after one call has failed. What runs is waited for, as it may be needed next time."""
        if self._made is not None:
            executor, self._made = self._made, None
            executor.shutdown(cancel_futures=True)

    def _executor(self) -> Executor:
        if self._given is not None:
            return self._given
        if self._made is None:
            options = dict(self._options)
            if self.inner_max_num_threads is not None:
                threads = dict.fromkeys(self.MAX_NUM_THREADS_VARS, self.inner_max_num_threads)
                options["env"] = {**threads, **(options.get("env") or {})}
            self._made = Executor(**options)
        return self._made


class _Batch(Future[Any]):
    """The results of a batch of calls, as a list."""

    def __init__(self, calls: Sequence[Future[Any]]):
        super().__init__()
        self._calls, self._left, self._lock = calls, len(calls), threading.Lock()

    def follow(self, callback: Callable[[Any], None] | None) -> None:
        """Call a function once the last of the calls has ended."""
        def ended(_: Future[Any]) -> None:
            with self._lock:
                self._left -= 1
                last = not self._left
            if last and callback is not None:
                callback(self)

        for call in self._calls:
            call.add_done_callback(ended)

    def result(self, timeout: float | None = None) -> Any:
        return [call.result(timeout) for call in self._calls]

    def get(self, timeout: float | None = None) -> Any:
        """Return them, as older releases of joblib ask for them."""
        return self.result(timeout)


register_parallel_backend("sshjobs", SshjobsBackend)
