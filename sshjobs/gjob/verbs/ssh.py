"""One verb on one host: ssh is called, this code and the request go in, what the verb says comes out."""

import json
import os
import re
import subprocess
import threading

from .. import ship
from . import sshoptions
from .say import Trouble, complain, reason, usage

MYPY = False
if MYPY:
    from typing import Any, BinaryIO, Callable, Iterable

    Out = Callable[[int, bytes], None]

_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}@)?[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}")
_READ = 1 << 16
#: Seconds that ssh gets to go by itself after the verb's end.
_PATIENCE = 2.0
#: The most that a host may print before the first word of ours, in bytes.
_MOST_NOISE = 1 << 24


class Target:
    """A host, and how ssh is to reach it.

    :param host: as ssh is to be given it
    :param config: ssh configuration file; ``None`` for the user's own
    :raises Trouble: a name that ssh or a shell could take for something else
    """

    def __init__(self, host: str, config: "str | None"):
        if not _HOST.fullmatch(host):
            raise usage("'%s' is not a host" % host, None, "write [user@]host; for others write an alias into "
                        "~/.ssh/config (Host NAME, below it HostName and User) and name that")
        self.host = host
        self._config = config

    def argv(self, command: str, terminal: bool = False) -> "list[str]":
        """Return the command line for a remote command. Asks ssh for the user's configuration, which blocks."""
        file = ["-F", self._config] if self._config is not None else []
        options = sshoptions.safe_options(terminal)
        options["LogLevel"] = "ERROR"
        options.update(self._by_the_user(file))
        return ["ssh", "-t" if terminal else "-T"] + file + sshoptions.words_of(options) + ["--", self.host, command]

    def _by_the_user(self, file: "list[str]") -> "dict[str, str]":
        """Return the options that depend on what the user's configuration says."""
        try:
            asked = sshoptions.ask(file, self.host)
        except (OSError, subprocess.TimeoutExpired):
            # What is wrong, ssh itself will tell when it is called.
            return {}
        settings = sshoptions.parse_settings(asked.stdout.decode("utf-8", "surrogateescape"))
        options = sshoptions.defaults(settings)
        path = sshoptions.control_path(settings)
        if path is not None and not sshoptions.master_answers(path):
            complain("%s: the ControlMaster at %s does not answer: going past it; %s"
                     % (self.host, path, sshoptions.name_master(self.host, path)))
            options["ControlPath"] = "none"
        return options


def call(target: Target, request: "dict[str, Any]", out: "Out", body: "Iterable[bytes]" = ()) -> int:
    """Carry out a verb on a host and return its exit status.

    :param request: for far.py
    :param out: gets what the verb writes: 1 for its standard output, 2 for its standard error, and the bytes.
        Called from two threads
    :param body: what goes after the request
    :raises Trouble: the host cannot be reached, or the connection broke
    """
    nonce = os.urandom(16).hex()
    stage = ship.first_stage(nonce, "sshjobs.gjob." + ship.FAR_MODULE, ship.pack(ship.sources(ship.FAR_MODULE)))
    try:
        process = subprocess.Popen(target.argv('exec python3 -ISc "%s"' % ship.bootstrap_code()), bufsize=0,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise Trouble("ssh cannot be started", reason(error), "install the OpenSSH client")
    talk = _Talk(process, nonce, out)
    try:
        talk.carry([stage, json.dumps(request).encode("ascii") + b"\n"], body)
    finally:
        talk.close()
    if talk.trouble is not None:
        raise talk.trouble
    if talk.answers[1].status is None:
        raise _explain(target.host, talk)
    return talk.answers[1].status


class _Talk:
    """Moves bytes between us and ssh."""

    def __init__(self, process: "subprocess.Popen[bytes]", nonce: str, out: "Out"):
        self.process, self._out = process, out
        self.answers = {1: ship.Answer(nonce), 2: ship.Answer(nonce)}
        self.trouble: "BaseException | None" = None
        self._errors = threading.Thread(target=self._read, args=(2, process.stderr), daemon=True)
        self._writer = threading.Thread(target=lambda: None)

    def carry(self, head: "Iterable[bytes]", body: "Iterable[bytes]") -> None:
        """Send all of it, and pass on what comes until the end."""
        self._writer = threading.Thread(target=self._write, args=(head, body), daemon=True)
        self._errors.start()
        self._writer.start()
        self._read(1, self.process.stdout)
        if self.answers[1].status is not None:
            self._errors.join(_PATIENCE)

    def close(self) -> None:
        """End ssh, and wait until that is so."""
        if self._writer.is_alive():
            # It was refused before all was sent, or we were interrupted.
            self.process.kill()
        # Open until now: by that the far side knows that we are still there.
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._errors.join(_PATIENCE)

    def _write(self, head: "Iterable[bytes]", body: "Iterable[bytes]") -> None:
        try:
            for part in (head, body):
                for data in part:
                    if not self._send(data):
                        return
        except (OSError, Trouble) as error:  # a file that cannot be read any more
            self.trouble = error
            self.process.kill()

    def _send(self, data: bytes) -> bool:
        assert self.process.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self.process.stdin.write(view) or 0:]
            return True
        except (OSError, ValueError):  # why, is told by what is read
            return False

    def _read(self, number: int, stream: "BinaryIO | Any") -> None:
        answer, noise = self.answers[number], 0
        while answer.status is None:
            data = os.read(stream.fileno(), _READ)
            if not data:
                return
            noise += 0 if answer.ready else len(data)
            try:
                if noise > _MOST_NOISE:
                    raise ship.Garbled("more than %d MiB before its first word" % (_MOST_NOISE >> 20))
                passed = answer.feed(data)
            except ship.Garbled as error:
                self.trouble = Trouble("the host said what it must not say", str(error))
                self.process.kill()
                return
            if passed:
                try:
                    self._out(number, passed)
                except OSError:
                    # The reader of our output has enough of it; errors that nobody reads end nothing.
                    if number == 1:
                        raise


def _explain(host: str, talk: _Talk) -> Trouble:
    """Say why no end came."""
    if talk.answers[1].ready:
        return Trouble("%s: the connection broke" % host, None,
                       "what was asked may have been done; see: gjob remote status")
    noise = talk.answers[2].noise + b"\n" + talk.answers[1].noise
    old = re.search(rb"SSHJOBS-OLD [0-9a-f]{32} ([0-9.]+)", noise)
    if old is not None:
        return Trouble("%s: its python3 is %s" % (host, old.group(1).decode("ascii")), None,
                       "put Python 3.6 or newer first in PATH there")
    other = re.search(rb"SSHJOBS-NOT-LINUX [0-9a-f]{32} (\w+)", noise)
    if other is not None:
        return Trouble("%s: it runs %s" % (host, other.group(1).decode("ascii")), None, "jobs run on Linux only")
    last = _last_line(talk.answers[2].noise) or _last_line(noise)
    if talk.process.returncode == 255:
        return Trouble("%s: ssh could not connect" % host, last, "try: ssh %s true" % host)
    return Trouble("%s: gjob did not come up there" % host, last, "try: ssh %s python3 --version" % host)


def _last_line(noise: bytes) -> "str | None":
    lines = [line.strip() for line in noise.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else None
