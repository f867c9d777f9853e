"""The words of a command line: options first, then what they are about."""

import getopt

from .say import usage

MYPY = False
if MYPY:
    from typing import Sequence


class Words:
    """A verb's words, taken apart.

    :param words: all after the verb
    :param takes: how the verb is used, for messages and help: ``gjob local kill JOB-DIR [KILL-ARGS]``
    :param short: options of one letter, as getopt takes them
    :param long: options of one word, likewise
    :raises Trouble: an option that there is not
    """

    def __init__(self, words: "list[str]", takes: str, short: str = "", long: "Sequence[str]" = ()):
        self._takes = takes
        try:
            found, self.rest = getopt.getopt(words, short, list(long))
        except getopt.GetoptError as error:
            raise usage(str(error), None, "usage: %s" % takes)
        self._options = dict(found)

    def option(self, *names: str) -> "str | None":
        """Return the value of an option, "" for one that has none, ``None`` where it was not given."""
        for name in names:
            if name in self._options:
                return self._options[name]
        return None

    def flag(self, *names: str) -> bool:
        """Tell whether an option was given."""
        return self.option(*names) is not None

    def need(self, least: int, most: "int | None" = None) -> "list[str]":
        """Return the words after the options.

        :raises Trouble: there are fewer or more than the verb takes
        """
        if len(self.rest) < least:
            raise usage("something is missing", None, "usage: %s" % self._takes)
        if most is not None and len(self.rest) > most:
            raise usage("'%s' is one word too many" % self.rest[most], None, "usage: %s" % self._takes)
        if "" in self.rest[:least]:
            raise usage("a name cannot be empty", None, "usage: %s" % self._takes)
        return self.rest


def tell_status(name: str, facts: "dict[str, object]", as_json: bool) -> str:
    """Return the line that ``status`` prints for a job."""
    import json

    if as_json:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return json.dumps(dict([("id", shown)], **facts))
    return "%s %s" % (name, facts["state"])
