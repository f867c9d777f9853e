"""The ``gjob`` command: jobs in directories of their own, on this host or on others over ssh."""

import os
import sys

from .say import FAILED, INTERRUPTED, OK, USAGE, Trouble, complain, reason, say, usage

MYPY = False
if MYPY:
    from .local import Verb


def main(argv: "list[str] | None" = None) -> int:
    """Carry out a command line and return its exit code: 0, 1 where it failed, 2 for bad usage, 130 interrupted.

    :param argv: the words after ``gjob``; ``None`` for those of the process
    """
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except Trouble as error:
        complain(str(error))
        return error.code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has enough of it, as with `| head`.
        return FAILED
    except OSError as error:
        complain("%s: %s" % (error.filename, reason(error)) if error.filename else reason(error))
        return FAILED


def _dispatch(words: "list[str]") -> int:
    if words[:1] == ["--version"]:
        say("gjob %s" % version())
        return OK
    if not words or words[0] in ("-h", "--help", "help"):
        return _help(None, bool(words))
    verbs = _verbs(words[0])
    if verbs is None:
        raise usage("'%s' is neither local nor remote" % words[0], None, "see: gjob --help")
    if len(words) == 1 or words[1] in ("-h", "--help"):
        return _help(words[0], len(words) > 1)
    if words[1] not in verbs:
        raise usage("there is no verb '%s'" % words[1], None, "the verbs are %s" % ", ".join(verbs))
    carry_out, takes, does = verbs[words[1]]
    takes = " ".join(["gjob", words[0], words[1]] + ([takes] if takes else []))
    if words[2:3] in (["-h"], ["--help"]):
        say("usage: %s" % takes)
        say("%s%s" % (does[0].upper(), does[1:]))
        return OK
    return carry_out(words[2:], takes)


def version() -> str:
    """Return the version of what this came with."""
    return str(getattr(sys.modules.get("sshjobs"), "__version__", "without a version"))


def _verbs(side: str) -> "dict[str, tuple[Verb, str, str]] | None":
    """Return the verbs of a side; only what is used is loaded."""
    if side == "local":
        if not sys.platform.startswith("linux"):
            raise Trouble("jobs run on Linux only", "this is %s" % sys.platform, "use gjob remote from here")
        from .local import VERBS as local

        return local
    if side == "remote":
        from .remote import VERBS as remote

        return remote
    return None


def _help(side: "str | None", asked: bool) -> int:
    lines = ["usage: gjob local|remote VERB [OPTION...] [WORD...]", ""]
    for name in ("local", "remote") if side is None else (side,):
        lines += ["%s:" % ("jobs of this host, by directory" if name == "local" else "jobs of other hosts, by id")]
        lines += ["  gjob %s %s %s\n      %s" % (name, verb, takes, does)
                  for verb, (_, takes, does) in (_verbs(name) or {}).items()]
    if side != "local":
        lines += ["", "GJOB_REMOTE_PATH, or -r PATH, names the directory on the hosts that the jobs are in.",
                  "Options of every remote verb: -r PATH, -F SSH-CONFIG, --host HOST (where the id's own is not it)."]
    for line in "\n".join(lines).split("\n"):
        if asked:
            say(line)
        else:
            os.write(2, line.encode("utf-8") + b"\n")
    return OK if asked else USAGE


if __name__ == "__main__":
    sys.exit(main())
