"""What counts where: options before the environment, that before the profile, that before `[default]`.

The variables of proxies are no variables of ours, but of every program; so a profile's proxy counts before them. A URL
that a profile names counts before `$DDP_URL`, since `-p` is an option. And what tells who one is, or whom to trust, counts
for the server only whose `url` stands beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import click
from msgspec import Struct

from ..exceptions import CommandError, InvalidURL
from .folders import config_file, is_there
from .process import Given

if TYPE_CHECKING:
    from .config_file import Config, Section

__all__ = [
    "DEFAULT_CONNECT_TIMEOUT",
    "DEFAULT_MAX_MESSAGE",
    "DEFAULT_TIMEOUT",
    "DEFAULT_URL",
    "ConnectionSettings",
    "Identity",
    "Setting",
    "Together",
    "proxy_to",
    "take_together",
]

#: What is so unless said otherwise.
DEFAULT_URL = "localhost:3000"
DEFAULT_TIMEOUT = 30.0
DEFAULT_CONNECT_TIMEOUT = 10.0
DEFAULT_MAX_MESSAGE = 0x3FFFFFF

#: Where a value comes from that nobody has chosen.
DEFAULT = "default"

#: Settings of one value, and what they are unless somebody says otherwise.
_SIMPLE: Mapping[str, Any] = {
    "timeout": DEFAULT_TIMEOUT,
    "connect-timeout": DEFAULT_CONNECT_TIMEOUT,
    "max-message": DEFAULT_MAX_MESSAGE,
    "reconnect": None,
    "no-retry": False,
    "origin": None,
    "user-agent": "ddpshell",
    "cacert": None,
    "cert": None,
    "key": None,
    "passphrase-file": None,
    "insecure": False,
    "servername": None,
}


class Identity(Struct, frozen=True):
    """Who to be on the server.

    Args:
        kind: `saved` (by a saved login, if there is one), `password`, `token` or `nobody`.
        user: By a name, an e-mail address or an id; None for whoever logged in last.
        file: Where the password or the token stands; None for `$DDP_TOKEN`.
        origin: Where that was said; "" where it was not.
    """

    kind: str
    user: str | None = None
    file: str | None = None
    origin: str = ""


class ConnectionSettings(Struct, frozen=True):
    """How to connect, when all is taken together: options, environment, config file, defaults, in this order.

    Args:
        url: As given.
        timeout: Seconds for the whole command; None for no limit.
        connect_timeout: Seconds; 0 for no limit.
        reconnect: Whether to connect again after a loss; None where the command decides.
        retry: Whether a call may be sent twice.
        headers: More headers, cookies among them, as (name, value).
        origin: The Origin header, or None.
        user_agent: The User-Agent header.
        cacert: A file.
        cert: A file.
        key: A file.
        passphrase_file: Where the key's passphrase stands, `-` for standard input; None to ask, if it has one.
        insecure: Trust any certificate.
        servername: The name to expect in it, or None for the host's.
        proxy: The URL of the proxy to go through, or None.
        ip_version: 4 or 6, for addresses of that kind alone; None for all.
        identity: Who to be.
        max_message: Bytes in a message of the server's.
    """

    url: str
    timeout: float | None
    connect_timeout: float
    reconnect: bool | None
    retry: bool
    headers: tuple[tuple[str, str], ...]
    origin: str | None
    user_agent: str
    cacert: str | None
    cert: str | None
    key: str | None
    passphrase_file: str | None
    insecure: bool
    servername: str | None
    proxy: str | None
    ip_version: Literal[4, 6] | None
    identity: Identity
    max_message: int = DEFAULT_MAX_MESSAGE

    @classmethod
    def of(cls, given: Given, environment: Mapping[str, str] = os.environ) -> ConnectionSettings:
        """Take them together.

        Raises:
            click.UsageError: Options that make no sense together.
            CommandError: The config file cannot be used.
            InvalidURL: That of the proxy, or one in the config file, is none.
        """
        return take_together(given, environment).connection()


class Setting(Struct, frozen=True):
    """A value, and where it comes from.

    Args:
        value: As `ConnectionSettings` has it; of a header or a cookie, name and value.
        origin: An option, `$VARIABLE`, a section of the config file, or `default`.
    """

    value: Any
    origin: str


class Together(Struct, frozen=True):
    """All settings, with their origins.

    Args:
        simple: Those of one value, by their names in the config file.
        headers: Each header.
        cookies: Each cookie.
        proxy: The proxy's URL, or None.
        identity: Who to be.
    """

    simple: Mapping[str, Setting]
    headers: tuple[Setting, ...]
    cookies: tuple[Setting, ...]
    proxy: Setting
    identity: Identity

    def connection(self) -> ConnectionSettings:
        """The same, as the client wants it."""
        value = {name: setting.value for name, setting in self.simple.items()}
        headers = [setting.value for setting in self.headers]
        if self.cookies:
            headers.append(("Cookie", "; ".join([f"{name}={text}" for name, text in (c.value for c in self.cookies)])))
        return ConnectionSettings(
            url=value["url"],
            timeout=value["timeout"] or None,
            connect_timeout=value["connect-timeout"],
            reconnect=value["reconnect"],
            retry=not value["no-retry"],
            headers=tuple(headers),
            origin=value["origin"],
            user_agent=value["user-agent"],
            cacert=value["cacert"],
            cert=value["cert"],
            key=value["key"],
            passphrase_file=value["passphrase-file"],
            insecure=value["insecure"],
            servername=value["servername"],
            proxy=self.proxy.value,
            ip_version=value["ip-version"],
            identity=self.identity,
            max_message=value["max-message"],
        )


def take_together(given: Given, environment: Mapping[str, str]) -> Together:
    """Find out what counts.

    Raises:
        click.UsageError: Options that make no sense together.
        CommandError: The config file cannot be used.
        InvalidURL: The URL of the proxy, or one in the config file, is none.
    """
    _check(given)
    config = _config(environment)
    name = given.get("profile")
    if name is not None and config is None:
        where = config_file(environment) or "and no home folder for one"
        raise CommandError(
            f"no profile {name!r}: there is no config file {where}; ddp config -h tells what goes into it"
        )
    profile = config.profile(name) if config is not None and name is not None else None
    sections = [section for section in (profile, config.default if config is not None else None) if section is not None]
    url = _url(given, environment, profile, config)
    # Only what belongs to this server.
    sections = [_for_server(section, url.value) for section in sections]
    simple = {"url": url, **{name: _first(name, given, sections, default) for name, default in _SIMPLE.items()}}
    simple["ip-version"] = _ip_version(given, sections)
    if simple["key"].value is not None and simple["cert"].value is None:
        raise click.UsageError("--key needs --cert, the certificate that it belongs to")
    headers = tuple(_pairs("headers", "-H", given, sections))
    if [setting.value[0].lower() for setting in headers].count("host") > 1:
        raise click.UsageError("the header Host can be given only once")
    return Together(
        simple=simple,
        headers=headers,
        cookies=tuple(_pairs("cookies", "--cookie", given, sections)),
        proxy=_proxy(given, environment, url.value, sections, is_profile=profile is not None),
        identity=_identity(given, environment, url, sections),
    )


def proxy_to(url: str, given: Given, environment: Mapping[str, str] = os.environ) -> str | None:
    """The proxy to go through to a server that the options do not name; None for none.

    Raises:
        CommandError: The config file cannot be used.
        InvalidURL: The URL, or that of the proxy, is none.
    """
    of_all: Given = {name: given[name] for name in ("proxy", "no_proxy") if name in given}
    return take_together({**of_all, "url": url}, environment).connection().proxy


def _check(given: Given) -> None:
    for one, other in (
        ("url", "profile"),
        ("proxy", "no_proxy"),
        ("no_login", "login"),
        ("no_login", "token_file"),
        ("no_login", "password_file"),
        ("token_file", "login"),
        ("token_file", "password_file"),
    ):
        if given.get(one) and given.get(other):
            raise click.UsageError(f"{_spelt(one)} and {_spelt(other)} contradict each other")


def _spelt(name: str) -> str:
    return {"url": "-u/--url", "profile": "-p/--profile"}.get(name, f"--{name.replace('_', '-')}")


def _config(environment: Mapping[str, str]) -> Config | None:
    path = config_file(environment)
    if path is None or not is_there(path, in_doubt=False):
        if environment.get("DDP_CONFIG"):
            raise CommandError(f"$DDP_CONFIG names {path}, which is not there")
        return None
    from .config_file import read_config

    return read_config(path)


def _url(given: Given, environment: Mapping[str, str], profile: Section | None, config: Config | None) -> Setting:
    if "url" in given:
        return Setting(given["url"], "--url")
    if profile is not None:
        return Setting(profile.values["url"], profile.name)
    if environment.get("DDP_URL"):
        return Setting(environment["DDP_URL"], "$DDP_URL")
    if config is not None and "url" in config.default.values:
        return Setting(config.default.values["url"], config.default.name)
    return Setting(DEFAULT_URL, DEFAULT)


def _for_server(section: Section, url: str) -> Section:
    """A section without what belongs to another server."""
    from .config_file import PERSONAL, Section

    own = section.values.get("url")
    if own is None or own == url or _is_same_server(own, url, section.name):
        return section
    return Section(section.name, {name: value for name, value in section.values.items() if name not in PERSONAL})


def _is_same_server(own: str, url: str, where: str) -> bool:
    from ..logins import server_of
    from ..protocol.urls import parse_url

    try:
        server = server_of(parse_url(own))
    except InvalidURL as error:
        raise CommandError(f"{where} in the config file: {error}") from None
    return server == server_of(parse_url(url))


def _first(name: str, given: Given, sections: list[Section], default: Any) -> Setting:
    option = name.replace("-", "_")
    if option in given:
        return Setting(given[option], f"--{name}")
    for section in sections:
        if name in section.values:
            return Setting(section.values[name], section.name)
    return Setting(default, DEFAULT)


def _ip_version(given: Given, sections: list[Section]) -> Setting:
    if "ip_version" in given:
        return Setting(given["ip_version"], f"--ipv{given['ip_version']}")
    for section in sections:
        chosen = [version for version in (4, 6) if section.values.get(f"ipv{version}")]
        if len(chosen) == 2:
            raise CommandError(f"{section.name} in the config file: ipv4 and ipv6 contradict each other")
        if chosen:
            return Setting(chosen[0], section.name)
    return Setting(None, DEFAULT)


def _pairs(name: str, option: str, given: Given, sections: list[Section]) -> Iterator[Setting]:
    """Headers or cookies: those of the options, and those of the sections that have no name in common with them."""
    seen: set[str] = set()
    for origin, pairs in (
        (option, given.get(name, ())),
        *((section.name, tuple(section.values.get(name, {}).items())) for section in sections),
    ):
        yield from (Setting(pair, origin) for pair in pairs if pair[0].lower() not in seen)
        seen |= {pair[0].lower() for pair in pairs}


def _proxy(
    given: Given, environment: Mapping[str, str], url: str, sections: list[Section], *, is_profile: bool
) -> Setting:
    if given.get("no_proxy"):
        return Setting(None, "--no-proxy")
    if "proxy" in given:
        return _checked(Setting(given["proxy"], "--proxy"))
    if is_profile:
        own = _proxy_of(sections[0])
        if own is not None:
            return own
    from_default = _proxy_of(sections[-1]) if sections else None
    if from_default is None and not any(name.lower().endswith("_proxy") for name in environment):
        # So it is nearly always; and then nothing needs to be loaded.
        return Setting(None, DEFAULT)
    from ..client.network.proxy import bypasses_proxy, proxy_variable
    from ..protocol.urls import parse_url

    endpoint = parse_url(url, lambda: 0.0)
    found = proxy_variable(environment, secure=endpoint.secure)
    setting = Setting(found[1], f"${found[0]}") if found is not None else from_default
    if setting is None or setting.value is None:
        return setting or Setting(None, DEFAULT)
    if bypasses_proxy(endpoint, environment):
        return Setting(None, "this machine, or $NO_PROXY")
    return _checked(setting)


def _proxy_of(section: Section) -> Setting | None:
    if section.values.get("no-proxy"):
        return Setting(None, section.name)
    value = section.values.get("proxy")
    return _checked(Setting(value, section.name)) if value is not None else None


def _checked(setting: Setting) -> Setting:
    from ..client.network.proxy import parse_proxy

    try:
        parse_proxy(setting.value)
    except InvalidURL as error:
        raise InvalidURL(error.url, f"{error.problem} (from {setting.origin})", what=error.what) from None
    return setting


def _identity(given: Given, environment: Mapping[str, str], url: Setting, sections: list[Section]) -> Identity:
    user, password_file = given.get("login"), given.get("password_file")
    if given.get("no_login"):
        return Identity("nobody", origin="--no-login")
    if given.get("token_file"):
        return Identity("token", file=given["token_file"], origin="--token-file")
    if user is None and password_file is not None:
        user = next((section.values["login"] for section in sections if "login" in section.values), None)
        if user is None:
            raise click.UsageError("--password-file needs --login USER: whose password it is")
    if user is not None:
        origin = "--login" if "login" in given else "--password-file"
        return Identity("saved" if password_file is None else "password", user, password_file, origin)
    if given.get("is_demo"):
        return Identity("nobody", origin="ddp demo")
    if environment.get("DDP_TOKEN") and _is_for(url, environment):
        return Identity("token", origin="$DDP_TOKEN")
    for section in sections:
        if "token-file" in section.values:
            return Identity("token", file=section.values["token-file"], origin=section.name)
        if "login" in section.values:
            return Identity("saved", section.values["login"], origin=section.name)
    return Identity("saved")


def _is_for(url: Setting, environment: Mapping[str, str]) -> bool:
    """Whether `$DDP_TOKEN` is meant for a server: where `$DDP_URL` names one, for that alone."""
    named = environment.get("DDP_URL")
    return not named or named == url.value or _is_same_server(named, url.value, "$DDP_URL")
