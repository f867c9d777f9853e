"""What a job leaves as its result: a JSON object in a file of its directory, or ``KEY=VALUE`` lines at the end of its
standard output.

Whatever a job did there, reading it waits for nothing, follows no link, takes bounded memory, and raises nothing.
"""

import errno

from . import files, system
from .light import make_loads

MYPY = False
if MYPY:
    from typing import Any

    from .places import Places

#: The name of the file, in the job's own directory; the line of standard output behind which the values stand.
NAME, MARKER = "result.json", b"::result::"
#: Bytes that are read of either.
LONGEST = 1 << 16
#: How deep lists and objects may stand in each other, how many there may be, and how many values in all.
DEEPEST, MOST_PARTS, MOST_VALUES = 10, 500, 10000
#: The longest name of a value, in characters.
LONGEST_NAME = 200
#: The time of last change that whatever is placed there gets before the job starts: as long as it has that, this
#: attempt has not written it. No time that programs set files to, such as 0.
PLACED = 123456789
#: What is short of descriptors or of memory may have some in a moment; how often to try, and seconds in between.
_SHORT, _TRIES, _PAUSE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN), 20, 0.1
#: What JSON makes a number of with all its digits; more of them are a number with a fraction.
_DIGITS = 18
#: Longer numbers behind a KEY= are text; and what they begin with.
_LONGEST_NUMBER, _NUMBER_BEGINS = 40, tuple("0123456789.")
#: What Python and C print for numbers that JSON does not have.
_NO_NUMBERS = ("nan", "-nan", "inf", "-inf", "+inf", "infinity", "-infinity")


class Broken(ValueError):
    """It is no result. The message says why."""


def _whole(digits: str) -> "Any":
    return int(digits) if len(digits) <= _DIGITS else float(digits)


_loads = make_loads(_whole, lambda word: None)


def path(directory: str) -> str:
    """Return where a job leaves its result, in its own directory."""
    return directory + "/" + NAME


def take(places: "Places", uid: str, tries: int = _TRIES,
         limit: "int | None" = None) -> "tuple[dict[str, Any], str | None]":
    """Return what an attempt left, empty where that is nothing, and in words what of it cannot be used. Of a name that
    is in both places the file's value counts.

    :param tries: how often to look where there is no descriptor or no memory for it now, in which case this sleeps
    :param limit: of what is kept of its standard output; what it wrote last counts, kept or not
    """
    result: "dict[str, Any]" = {}
    complaint: "str | None" = None
    for number in range(tries):
        try:
            result = from_output(_tail(places.stream(uid, 1)) if limit is None else _limited(places, uid, limit))
            text = _contents(path(places.cwd(uid)))
            if text is not None:
                result.update(from_file(text))
            return result, None
        except (OSError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno in files.GONE:
                break
            complaint = "%s cannot be read: %s" % (NAME, getattr(error, "strerror", None) or "no memory")
            if getattr(error, "errno", errno.ENOMEM) not in _SHORT:
                break
            if number < tries - 1:
                system.sleep(_PAUSE)
        except (ValueError, RecursionError) as error:
            complaint = "%s cannot be used: %s" % (NAME, error)
            break
    return result, complaint


def _contents(name: str) -> "bytes | None":
    """Return what is in the file; ``None`` where there is none that the job has written.

    :raises OSError: it cannot be read
    :raises Broken: it is no file, or too large
    """
    if not files.exists(name):  # most jobs leave none, and this is asked for each
        return None
    try:
        fd = files.open_regular(name)
    except FileNotFoundError:
        if files.kind(name, follow=False) is None or system.stat(name, follow_symlinks=False).st_mtime == PLACED:
            return None
        raise Broken("it is no regular file")
    try:
        if system.fstat(fd).st_mtime == PLACED:
            return None
        data = _read(fd, 0, LONGEST + 1)
    finally:
        files.close_quietly(fd)
    if len(data) > LONGEST:
        raise Broken("it has more than %d bytes" % LONGEST)
    return data


def _tail(name: str) -> bytes:
    """Return the whole lines at the end of an output."""
    try:
        size = system.stat(name, follow_symlinks=False).st_size
        if not size:
            return b""
        fd = files.open_regular(name)
    except FileNotFoundError:
        return b""
    try:
        data = _read(fd, max(0, size - LONGEST), LONGEST)
    finally:
        files.close_quietly(fd)
    return data if size <= LONGEST else data[data.find(b"\n") + 1:]


def _limited(places: "Places", uid: str, limit: int) -> bytes:
    """Return the whole lines at the end of an output with a limit."""
    from . import headtail  # only where there is a limit

    data, whole = headtail.Kept(places, uid, 1, limit).last(LONGEST)
    return data if whole else data[data.find(b"\n") + 1:]


def _read(fd: int, offset: int, most: int) -> bytes:
    data = piece = system.pread(fd, most, offset)
    while piece and len(data) < most:
        piece = system.pread(fd, most - len(data), offset + len(data))
        data += piece
    return data


def from_file(data: bytes) -> "dict[str, Any]":
    """Return what the file says.

    :raises ValueError: it is no result
    """
    try:
        text = (data[3:] if data.startswith(b"\xef\xbb\xbf") else data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Broken("byte %d of it is not UTF-8" % error.start)
    try:
        found = _loads(text)
    except RecursionError:
        raise Broken("it is nested too deep")
    except ValueError as error:
        raise Broken("it is not JSON: %s" % str(error)[:200])
    if type(found) is not dict:
        raise Broken("it is JSON, and not an object: write {\"NAME\": VALUE}")
    left = [MOST_PARTS, MOST_VALUES]
    return dict(_clean(found, DEEPEST, left))


def _clean(value: "Any", depth: int, left: "list[int]") -> "Any":
    """Return a value without numbers that JSON does not have.

    :param left: how many lists and objects there may still be, and how many values; counted down
    :raises Broken: it has too much in it
    """
    left[1] -= 1
    if left[1] < 0:
        raise Broken("there are more than %d values in it" % MOST_VALUES)
    if type(value) is float:
        return _finite(value)
    if type(value) not in (dict, list):
        return value
    left[0] -= 1
    if not depth:
        raise Broken("it is nested more than %d deep" % DEEPEST)
    if left[0] < 0:
        raise Broken("there are more than %d lists and objects in it" % MOST_PARTS)
    if type(value) is list:
        return [_clean(one, depth - 1, left) for one in value]
    if any(len(name) > LONGEST_NAME for name in value):
        raise Broken("a name in it has more than %d characters" % LONGEST_NAME)
    return {name: _clean(value[name], depth - 1, left) for name in value}


def _finite(number: float) -> "float | None":
    """Return a number, nothing for what JSON has no number for: NaN and infinity."""
    return number if number - number == 0 else None


def from_output(tail: bytes) -> "dict[str, Any]":
    """Return what the lines behind the last ``::result::`` say; lines that are no ``KEY=VALUE`` are passed over."""
    if MARKER not in tail:
        return {}
    lines = [line.strip() for line in tail.split(b"\n")]
    if MARKER not in lines:
        return {}
    found: "dict[str, Any]" = {}
    for line in lines[len(lines) - lines[::-1].index(MARKER):]:
        key, equals, value = line.decode("utf-8", "replace").partition("=")
        key = key.strip()
        if equals and _is_key(key) and (key in found or len(found) < MOST_PARTS):
            found[key] = _value(value.strip())
    return found


def _is_key(key: str) -> bool:
    """True for letters, digits and ``_ . - /``, not a digit first: a line of a log is none."""
    return 0 < len(key) <= LONGEST_NAME and not key[0].isdigit() and key.translate(_BARE).isalnum()


_BARE = {ord(letter): "x" for letter in "_.-/"}


def _value(text: str) -> "Any":
    """Return a number where the text is one that JSON has, true or false, else the text."""
    if text.lower() in _NO_NUMBERS:
        return None
    if text in ("true", "false", "True", "False"):
        return text in ("true", "True")
    digits = text[1:] if text[:1] in ("+", "-") else text
    if len(text) > _LONGEST_NUMBER or digits[:1] not in _NUMBER_BEGINS or digits.strip("0123456789.eE+-"):
        return text
    try:
        return _whole(text) if not digits.strip("0123456789") else _finite(float(text))
    except ValueError:
        return text


def fields(places: "Places", uid: str, tries: int = _TRIES, limit: "int | None" = None) -> "dict[str, Any]":
    """Return what an attempt's end says of its result: nothing where there is none."""
    result, complaint = take(places, uid, tries, limit)
    told: "dict[str, Any]" = {}
    if result:
        told["result"] = result
    if complaint is not None:
        told["bad_result"] = complaint
    return told
