"""The user's settings for the commands: where they are read from, and how they become defaults of options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.errors import InputError, Problem, UsageError
from sshjobs.model.telling import KEYS, telling_of

if TYPE_CHECKING:
    from sshjobs.inputs.configfile import ConfigFile, Setting

_TELLING = "sshjobs.telling"
#: Variables of the environment that say the same as settings, and count before them.
VARIABLES = {"hosts": "SSHJOBS_HOSTS", "results": "SSHJOBS_RESULTS", "accessible": "ACCESSIBLE"}
#: Commands that do without settings, so that they work whatever is wrong with these.
WITHOUT = ("config", "completion", "help", "init", "man", "schema", "version")


def config_path() -> Path:
    """Return where the file is, whether it is there or not."""
    if named := os.environ.get("SSHJOBS_CONFIG"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    if not os.path.isabs(base):
        # A user whom nobody knows has no home, and expanduser leaves the ~.
        base = os.path.join("/", os.path.expanduser("~"), ".config")
    return Path(base) / "sshjobs" / "config.toml"


def read_config() -> ConfigFile | None:
    """Return the file of settings, ``None`` where there is none.

    :raises InputError: it has mistakes
    :raises UsageError: others may change it
    """
    path = config_path()
    if not path.exists() and not os.environ.get("SSHJOBS_CONFIG"):
        return None
    from sshjobs.cli.examples import EXAMPLES
    from sshjobs.inputs.configfile import load_config
    from sshjobs.store.ownership import check_own_file

    if path.is_file():
        # It says what is run, and where.
        check_own_file(path)
    # Each command has examples, so that none needs to be loaded for its name.
    return load_config(str(path), [name for name in EXAMPLES if name.split()[0] in _root().list_commands(_context())])


def _context() -> click.Context:
    return click.get_current_context().find_root()


def _root() -> click.Group:
    root = _context().command
    assert isinstance(root, click.Group)
    return root


def chosen(config: ConfigFile | None, named: str | None) -> str | None:
    """Return the profile that holds.

    :param named: by ``--profile``
    :raises UsageError: there is none of that name
    """
    wanted = named or os.environ.get("SSHJOBS_PROFILE") or None
    if config is None:
        if wanted:
            raise UsageError(f"there is no profile '{wanted}'", where=str(config_path()), why="there is no such file",
                             hint=f"write it: [profiles.{wanted}]")
        return None
    return config.chosen(wanted)


def apply(context: click.Context, named: str | None) -> None:
    """Let the user's settings be defaults for the command that is going to be carried out.

    :raises UsageError: something is wrong with them
    """
    name = context.invoked_subcommand
    if name is None or name in WITHOUT:
        return
    config = read_config()
    profile = chosen(config, named)
    if config is None:
        return
    settings = config.settings(profile)
    for setting in settings:
        variable = VARIABLES.get(setting.name) if not setting.command else None
        if variable is not None and variable not in os.environ and setting.value is not False:
            os.environ[variable] = "1" if setting.value is True else os.path.expanduser(setting.value)
    context.meta[_TELLING] = {setting.name: setting.value for setting in settings
                              if not setting.command and setting.name in KEYS}
    context.default_map = defaults(config, [setting for setting in settings if setting.command.split()[:1] == [name]])


def telling(run_keys: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return who is told what of a run: what its jobfile wants and what the user's settings want, both.

    :param run_keys: what the jobfile says of the run as a whole
    """
    own = click.get_current_context().meta.get(_TELLING, {})
    return telling_of(run_keys or {}).and_also(telling_of(own)).as_dict()


def defaults(config: ConfigFile, settings: list[Setting]) -> dict[str, Any]:
    """Return options of commands as click takes their defaults.

    :raises InputError: every option that is none, and every value that none can have
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for setting in settings:
        try:
            param, value = _option(setting)
        except UsageError as error:
            problems.append(config.problem(config.keys(setting), str(error)))
            continue
        here = found
        for word in setting.command.split():
            here = here.setdefault(word, {})
        here[param] = value
    if problems:
        raise InputError(problems)
    return found


def _option(setting: Setting) -> tuple[str, Any]:
    """Return the name of an option's parameter, and its value.

    :raises UsageError: there is no such option, or its value cannot be that
    """
    from sshjobs.model.similar import similar

    command = _command(setting.command)
    options = {name[2:]: param for param in command.params if isinstance(param, click.Option)
               for name in (*param.opts, *param.secondary_opts) if name.startswith("--")}
    param = options.get(setting.name)
    if param is None or param.name is None:
        near = similar(setting.name, options, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(options)}"
        raise UsageError(f"{setting.command} has no option --{setting.name:.60}", hint=hint)
    value = _value(setting, param)
    try:
        param.process_value(click.Context(command), value)
    except click.UsageError as error:
        raise UsageError(error.format_message()) from None
    return param.name, value


def _value(setting: Setting, param: click.Option) -> Any:
    value = setting.value
    if param.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{setting.name} must be true or false")
        return value if f"--{setting.name}" in param.opts else not value
    if param.count and isinstance(value, int):
        return value
    items = value if isinstance(value, list) and param.multiple else [value]
    if not all(isinstance(item, (str, int, float)) and not isinstance(item, bool) for item in items):
        raise UsageError(f"{setting.name} must be {'texts or a text' if param.multiple else 'a text or a number'}")
    texts = [str(item) for item in items]
    return texts if param.multiple else texts[0]


def _command(words: str) -> click.Command:
    command: click.Command | None = _root()
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    return command


def in_force(config: ConfigFile | None, profile: str | None) -> Iterator[dict[str, Any]]:
    """Yield each setting that holds, with where it comes from: the environment counts before the file."""
    said = {(setting.command, setting.name): setting for setting in config.settings(profile)} if config else {}
    for name, variable in VARIABLES.items():
        given, setting = os.environ.get(variable), said.pop(("", name), None)
        if given is not None:
            yield {"name": name, "value": given, "from": "environment", "variable": variable}
        elif setting is not None and config is not None:
            yield {"name": name, "value": setting.value, **_place(config, setting)}
    if config is not None:
        for setting in said.values():
            yield {"name": f"{setting.command} --{setting.name}".strip(" -"), "value": setting.value,
                   **_place(config, setting)}


def _place(config: ConfigFile, setting: Setting) -> dict[str, Any]:
    return {"from": "file", "file": config.path, "line": setting.line, "profile": setting.profile}
