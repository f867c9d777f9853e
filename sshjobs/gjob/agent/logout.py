"""Whether this host ends all of a user's processes at the last logout: agent, runners and jobs all at once."""

from .. import files, system

ROOT = ""
_PLACES = ("/usr/lib/systemd", "/etc/systemd", "/run/systemd")
_YES = (b"yes", b"true", b"1", b"on", b"y", b"t")
ADVICE = "there, or by its administrator: loginctl enable-linger"
WARNING = "this host ends all of your processes at logout (KillUserProcesses=yes), jobs too; " + ADVICE


def ends_everything() -> bool:
    """True where logind kills a user's processes at logout, and this user has no lingering. Unreadable files count as
    no such setting."""
    try:
        # Root is left out by default, and in every known configuration.
        return bool(system.getuid()) and _is_set() and not files.exists(
            "%s/var/lib/systemd/linger/%s" % (ROOT, _name()))
    except OSError:
        return False


def _name() -> str:
    import pwd

    try:
        return pwd.getpwuid(system.getuid()).pw_name
    except KeyError:
        return str(system.getuid())


def _is_set() -> bool:
    found = False
    snippets = {name: "%s%s/logind.conf.d/%s" % (ROOT, place, name) for place in _PLACES
                for name in _listed("%s%s/logind.conf.d" % (ROOT, place)) if name.endswith(".conf")}
    mains = ["%s%s/logind.conf" % (ROOT, place) for place in _PLACES]
    for path in mains + [snippets[name] for name in sorted(snippets)]:
        for line in _lines(path):
            key, _, value = line.partition(b"=")
            if key.strip() == b"KillUserProcesses":
                found = value.strip().lower() in _YES
    return found


def _listed(directory: str) -> "list[str]":
    try:
        return system.listdir(directory)
    except OSError:
        return []


def _lines(path: str) -> "list[bytes]":
    try:
        return files.contents(path, follow=True).splitlines()
    except OSError:
        return []
