"""``sshjobs config``."""

from __future__ import annotations

import json

import click

from sshjobs.cli.profiles import chosen, config_path, defaults, in_force, read_config
from sshjobs.errors import EXIT_OK, printable


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> int:
    """Show your settings, and where each comes from: the environment, or a line of the file of settings.

    The file is ~/.config/sshjobs/config.toml (XDG_CONFIG_HOME, SSHJOBS_CONFIG). A profile of it is chosen by
    sshjobs --profile NAME, SSHJOBS_PROFILE, or the file itself. All of it is checked here.
    """
    config = read_config()
    profile = chosen(config, (context.parent.params if context.parent else {}).get("profile"))
    if config is not None:
        for name in (None, *config.profiles):
            # Each of them, also those that do not hold now.
            defaults(config, [setting for setting in config.settings(name) if setting.command])
    found = list(in_force(config, profile))
    if as_json:
        click.echo(json.dumps({"file": str(config_path()), "exists": config is not None, "profile": profile,
                               "profiles": config.profiles if config else [], "settings": found}))
        return EXIT_OK
    names = f"; profiles: {', '.join(config.profiles)}" if config and config.profiles else ""
    click.echo(printable(f"{config_path()}{'' if config else ' is not there'}{names}"))
    if profile is not None:
        click.echo(printable(f"profile {profile} holds"))
    width = max((len(setting["name"]) for setting in found), default=0)
    for setting in found:
        value = setting["value"] if isinstance(setting["value"], str) else json.dumps(setting["value"])
        click.echo(printable(f"{setting['name']:<{width}}  {value}  ({_where(setting)})"))
    return EXIT_OK


def _where(setting: dict[str, object]) -> str:
    if setting["from"] == "environment":
        return f"environment: {setting['variable']}"
    of = f", profile {setting['profile']}" if setting["profile"] is not None else ""
    return f"line {setting['line']}{of}"
