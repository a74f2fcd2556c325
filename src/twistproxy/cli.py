"""The console script ``twistproxy``.

Exit status: 0 done, 1 a failure that it explains, 2 wrong usage. Never a traceback.
The verbs that ask the running proxy are those of ``admin.commands``.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import bcrypt
import click

from twistproxy import __version__
from twistproxy.admin import CommandFailed
from twistproxy.admin.commands import COMMANDS, Command
from twistproxy.config import load
from twistproxy.config.model import Config
from twistproxy.upstream import balance

# What imports the reactor is imported where it is used: `run` must leave the choice to twistd.

#: Bytes of a password; bcrypt looks at no more.
PASSWORD = 72

# Whether it can be read is told by reading it: a failure that is explained, not a wrong usage.
_FILE = click.Path(readable=False, path_type=Path)

_config = click.option(
    "--config",
    "file",
    type=_FILE,
    metavar="FILE",
    help="The configuration; default: the first of ./twistproxy.toml, etc/twistproxy.toml "
    "beside a checkout, /etc/twistproxy/twistproxy.toml.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A forward and a reverse proxy in one process."""


def main() -> None:
    """The entry point."""
    try:
        cli()
    except Exception as error:
        _fail(f"twistproxy: {type(error).__name__}: {error}")


@cli.command()
@_config
def run(file: Path | None) -> None:
    """Run in the foreground, as `twistd -n twistproxy` does."""
    from twisted.scripts import twistd

    options = [] if file is None else ["--config", str(file)]
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "twistproxy", *options]
    twistd.run()


@cli.command()
@click.argument("argument", type=_FILE, metavar="[FILE]", required=False)
@_config
def check(argument: Path | None, file: Path | None) -> None:
    """Say what is wrong with a configuration, or that nothing is."""
    if argument is not None and file is not None:
        raise click.UsageError("FILE or --config FILE, not both.")
    from twistproxy.app import compile_config

    config, found = _load(argument or file)
    try:
        compiled = compile_config(config, found, time.time())
    except load.ConfigErrors as errors:
        _fail(str(errors))
    for warning in compiled.certificates.warnings:
        click.echo(warning, err=True)
    click.echo(f"{_called(found)}: ok")


@cli.command()
@_config
def version(file: Path | None) -> None:
    """Say which version this is, and of what it stands on."""
    stands_on = ", ".join(f"{name} {_version(name)}" for name in ("Twisted", "uvloop", "httptools"))
    click.echo(f"twistproxy {__version__} ({stands_on}, Python {platform.python_version()})")


@cli.command("hash-password")
@click.argument("name", required=False)
@_config
def hash_password(name: str | None, file: Path | None) -> None:
    """Print a password's bcrypt hash.

    With NAME it is a line of an htpasswd file. The password is asked for, or read from standard
    input (its first line).
    """
    if name is not None and (not name.isprintable() or ":" in name or not name.strip()):
        raise click.UsageError("NAME must be printable, without a colon.")
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    secret = password.encode("utf-8", "surrogateescape")
    if not secret:
        _fail("There is no password.")
    if len(secret) > PASSWORD or b"\0" in secret:
        _fail(f"bcrypt can't tell passwords apart after {PASSWORD} bytes or a null.")
    # $2b$ and $2y$ are the same; more servers know the latter, htpasswd's.
    value = bcrypt.hashpw(secret, bcrypt.gensalt()).decode().replace("$2b$", "$2y$", 1)
    click.echo(value if name is None else f"{name}:{value}")


@cli.command()
@click.argument("url")
@click.option("--client", metavar="ADDRESS", help="Who asks; default: 127.0.0.1.")
@click.option("--user", metavar="NAME", help="As whom.")
@click.option("--group", multiple=True, metavar="NAME", help="Which that user is in.")
@click.option("--method", metavar="METHOD", help="Default: GET; CONNECT for https on forward.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A field of the request.")
@click.option("--time", metavar="ISO", help="When; default: now.")
@click.option("--address", multiple=True, metavar="ADDRESS", help="Of the URL's host.")
@click.option("--side", type=click.Choice(["forward", "reverse"]), help="Default: forward.")
@click.option("--live", is_flag=True, help="Ask the running proxy, and for what it knows besides.")
@_config
def explain(file: Path | None, url: str, live: bool, **words: Any) -> None:
    """Say what the rules say to a request for URL, and why.

    With --method CONNECT, URL may be HOST:PORT.
    """
    if live:
        _ask(COMMANDS["explain"], file, [url, *_said(words)])
        return
    from twistproxy.admin.explaining import asked
    from twistproxy.policy.asking import explained, ports_of

    compiled, config = _compiled(file)
    try:
        who = asked(_said(words))
        told = explained(
            compiled.policy, config, url, now=time.time(), ports=ports_of(config), **who
        )
    except (CommandFailed, ValueError) as error:
        _fail(str(error))
    click.echo(repr(told))


def _said(words: dict[str, Any]) -> list[str]:
    """Options as the command's words."""
    many = {name: [value] if isinstance(value, str) else value for name, value in words.items()}
    return [f"{name}={value}" for name, values in many.items() for value in values or ()]


@cli.command()
@click.argument("tests", type=_FILE, metavar="FILE")
@_config
def test(tests: Path, file: Path | None) -> None:
    """Put the assertions of FILE to the policy, and say which don't hold."""
    from twistproxy.policy import assertions
    from twistproxy.policy.asking import ports_of

    compiled, config = _compiled(file)
    plan = compiled.policy
    try:
        cases = assertions.read(
            tests, [rule.name for rule in plan.rules], time.time(), ports_of(config)
        )
    except load.ConfigErrors as errors:
        _fail(str(errors))
    failed = [*assertions.failures(cases, plan)]
    for failure in failed:
        click.echo(failure)
    if failed:
        _fail(f"{tests}: {len(failed)} of {len(cases)} failed")
    click.echo(f"{tests}: {len(cases)} ok")


def _compiled(file: Path | None) -> tuple[Any, Config]:
    """What a configuration comes to, with what its lists hold: files as they are, of URLs the last
    good copies. Ends the process with the errors of it.
    """
    from twistproxy.app import compile_config, means_alone
    from twistproxy.lists.lists import Lists

    config, found = _load(file)
    with tempfile.TemporaryDirectory() as folder:
        # In a copy: the running process keeps its own in order.
        copies = Path(folder) / "lists"
        with suppress(OSError):
            shutil.copytree(config.state_dir / "lists", copies)
        lists = Lists(None, copies, time.time, random.Random())
        try:
            means = means_alone(lists.load(config.policy.lists))
            return compile_config(config, found, time.time(), None, means), config
        except (load.ConfigErrors, OSError) as errors:
            _fail(str(errors))


def _ask(command: Command, file: Path | None, words: Sequence[str]) -> None:
    """Print what the running proxy answers."""
    config, found = _load(file)
    socket = config.state_dir / "admin.sock"
    outcome = ask(socket, command.name, *words, patience=command.patience)
    if isinstance(outcome, CommandFailed):
        _fail(str(outcome))
    if isinstance(outcome, Exception):
        _fail(f"{socket}: {outcome}; does twistproxy run with {_called(found)}?")
    click.echo(outcome, nl=False)


def _asking(command: Command) -> click.Command:
    """The verb that has the running proxy run `command`."""

    @_config
    def callback(file: Path | None, arguments: tuple[str, ...] = (), **flags: bool) -> None:
        options = [option for option in command.options if flags[_name(option)]]
        _ask(command, file, [*options, *map(command.from_here, arguments)])

    if command.arguments:
        callback = click.argument(
            "arguments",
            nargs=-1 if command.most > 1 else 1,
            required=command.least > 0,
            callback=lambda context, parameter, value: _listed(value),
            metavar=" ".join(command.arguments),
        )(callback)
    for option, told in reversed([*command.options.items()]):
        callback = click.option(option, _name(option), is_flag=True, help=f"{told}.")(callback)
    return click.command(
        command.name, help=f"Ask the running proxy: {command.help}.", short_help=command.help
    )(callback)


def _name(option: str) -> str:
    return option.lstrip("-")


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


for _command in COMMANDS.values():
    if _command.name not in ("help", "explain"):
        cli.add_command(_asking(_command))


def ask(socket: Path, *words: str, patience: float) -> str | Exception:
    """What the proxy behind `socket` answers within so many seconds, or why it didn't."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    from twistproxy.admin import client

    outcome: str | Exception = client.NoAnswer("no answer")

    async def ask(reactor: Any) -> None:
        nonlocal outcome
        try:
            outcome = await client.ask(client.agent(reactor, socket), *words, patience=patience)
        except Exception as error:
            outcome = error

    with suppress(SystemExit):
        react(lambda reactor: Deferred.fromCoroutine(ask(reactor)))
    return outcome


def _load(file: Path | None) -> tuple[Config, Path | None]:
    """The configuration and its file. Ends the process with the errors of it, one a line."""
    path = load.find(file)
    try:
        if path is None:
            return load.defaults(os.environ), None
        return load.load(path, os.environ, balancers=balance.names()), path
    except load.ConfigErrors as errors:
        _fail(str(errors))


def _called(file: Path | None) -> str:
    return "the defaults" if file is None else str(file)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _fail(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(1)
