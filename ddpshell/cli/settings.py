"""Where the files of ddp are, and which value of a setting counts.

An option counts first, then the environment, then the profile, then `[default]`.

There are two exceptions. The proxy variables are not only for ddp, so the proxy of a profile counts before them. And the URL
of a profile counts before `$DDP_URL`, because `-p` is an option. Personal settings, which tell a server who the user is, or
tell ddp which server to trust, are used only for the server of the `url` in the same section.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from ..exceptions import CommandError, InvalidURL
from ..protocol.urls import parse_url
from .option_table import CONNECTION_ROWS, SETTINGS
from .process import GivenOptions, Process, usage_error

if TYPE_CHECKING:
    from .config_file import Config, Section


#: The origin of a value that nothing sets.
DEFAULT = "default"

# Settings that are resolved by functions of their own.
_SPECIAL = {"url", "headers", "cookies", "proxy", "no-proxy", "ipv4", "ipv6", "login", "token-file"}


class Identity(Struct, frozen=True):
    """The user to log in as.

    Args:
        kind: `saved` (use a saved login, if there is one), `password`, `token` or `anonymous`.
        user: The user's name, e-mail address or id; None for the user who logged in last.
        file: The file with the password or the token; None for the token in `$DDP_TOKEN`.
        origin: The option, variable or section that chose the user; "" if nothing did.
    """

    kind: str
    user: str | None = None
    file: str | None = None
    origin: str = ""


class ConnectionSettings(Struct, frozen=True):
    """How to connect, after all sources of settings have been merged.

    Args:
        url: The server's URL, as given.
        timeout: Seconds for the whole command; None for no limit.
        connect_timeout: Seconds; 0 for no limit.
        reconnect: Whether to reconnect after the connection is lost; None if the command decides.
        retry: Whether a call may be sent twice.
        headers: Additional headers, with the cookies, as (name, value).
        origin: The Origin header, or None.
        user_agent: The User-Agent header.
        cacert: The file with the trusted authorities, or None.
        cert: The file with the client certificate, or None.
        key: The file with its private key, or None.
        passphrase_file: The file with the key's passphrase, `-` for standard input; None to ask the user.
        insecure: Whether to trust any certificate.
        servername: The name to expect in the server's certificate; None for the URL's host.
        proxy: The proxy's URL, or None.
        ip_version: 4 or 6 for addresses of that version only; None for both.
        identity: The user to log in as.
        max_message: The largest message to accept, in bytes.
        color: The color of the server's name in the prompt of the shell, or None.
        confirm: Whether the shell asks before each call.
        allow: Patterns for the methods about which it does not ask.
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
    max_message: int = SETTINGS["max-message"].unset
    color: str | None = None
    confirm: bool = False
    allow: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: GivenOptions, environment: Mapping[str, str] = os.environ) -> ConnectionSettings:
        """Merge all sources of settings; see `resolve`."""
        return resolve(given, environment).connection()

    def with_changes(self, changed: Mapping[str, Any]) -> ConnectionSettings:
        """Return a copy with other values."""
        return ConnectionSettings(**{name: getattr(self, name) for name in self.__struct_fields__} | dict(changed))


def settings_of(process: Process) -> ConnectionSettings:
    """Merge the settings for a command, and apply their time limit to it."""
    settings = ConnectionSettings.of(process.options)
    process.timeout = settings.timeout
    return settings


class ResolvedValue(Struct, frozen=True):
    """A value and its origin.

    Args:
        value: The value, as in `ConnectionSettings`; for a header or a cookie, its name and its value.
        origin: An option, `$VARIABLE`, a section of the config file, or `default`.
    """

    value: Any
    origin: str


class ResolvedSettings(Struct, frozen=True):
    """All settings with their origins.

    Args:
        values: The settings with one value, by key.
        headers: Each header.
        cookies: Each cookie.
        proxy: The proxy's URL, or None.
        identity: The user to log in as.
    """

    values: Mapping[str, ResolvedValue]
    headers: tuple[ResolvedValue, ...]
    cookies: tuple[ResolvedValue, ...]
    proxy: ResolvedValue
    identity: Identity

    def connection(self) -> ConnectionSettings:
        """The values alone, as the client needs them."""
        values = {name.replace("-", "_"): resolved.value for name, resolved in self.values.items()}
        headers = [header.value for header in self.headers]
        if self.cookies:
            headers.append(("Cookie", "; ".join([f"{name}={text}" for name, text in (c.value for c in self.cookies)])))
        return ConnectionSettings(
            timeout=values.pop("timeout") or None,
            retry=not values.pop("no_retry"),
            headers=tuple(headers),
            proxy=self.proxy.value,
            identity=self.identity,
            **values,
        )


def resolve(given: GivenOptions, environment: Mapping[str, str]) -> ResolvedSettings:
    """Merge options, environment, config file and defaults.

    Raises:
        click.UsageError: Two options cannot be used together, or one needs another.
        CommandError: The config file cannot be read, or is not valid.
        InvalidURL: The URL of the proxy, or a URL in the config file, is not valid.
    """
    _check_conflicts(given)
    config = find_config(given, environment)
    name = given.get("profile")
    if name is not None and config is None:
        where = config_file(environment) or "and no home folder for one"
        raise CommandError(f"unknown profile {name!r}: there is no config file {where}; see ddp config -h")
    profile = config.profile(name) if config is not None and name is not None else None
    sections = [section for section in (profile, config.default if config is not None else None) if section is not None]
    url = _url(given, environment, profile, config)
    sections = [_without_settings_of_others(section, url.value) for section in sections]
    values = {"url": url}
    values |= {key: _first(key, given, sections) for key in SETTINGS if key not in _SPECIAL}
    values["ip-version"] = _ip_version(given, sections)
    if values["key"].value is not None and values["cert"].value is None:
        raise usage_error(
            f"--key needs --cert with the certificate of that key: --cert FILE --key {values['key'].value}"
        )
    headers = tuple(_pairs("headers", "-H", given, sections))
    if [header.value[0].lower() for header in headers].count("host") > 1:
        raise usage_error("the Host header can be given only once")
    return ResolvedSettings(
        values=values,
        headers=headers,
        cookies=tuple(_pairs("cookies", "--cookie", given, sections)),
        proxy=_proxy(given, environment, url.value, sections, is_profile=profile is not None),
        identity=_identity(given, environment, url, sections),
    )


def _check_conflicts(given: GivenOptions) -> None:
    for one, other in (
        ("url", "profile"),
        ("proxy", "no_proxy"),
        ("no_login", "login"),
        ("no_login", "token_file"),
        ("no_login", "password_file"),
        ("token_file", "login"),
        ("token_file", "password_file"),
    ):
        if given.get(one):
            check_alone("/".join(next(row.spellings for row in CONNECTION_ROWS if row.option == one)), given, other)


def check_alone(what: str, given: GivenOptions, *others: str) -> None:
    """Check that other options are not given.

    Args:
        what: What cannot be used together with them.
        given: The given options.
        others: The names of the other options.

    Raises:
        click.UsageError: One of them is given.
    """
    for row in CONNECTION_ROWS:
        if row.option in others and given.get(row.option):
            raise usage_error(f"{what} and {'/'.join(row.spellings)} cannot be used together")


def find_config(given: GivenOptions, environment: Mapping[str, str] = os.environ) -> Config | None:
    """Read the config file; return None if there is none.

    Raises:
        CommandError: The file cannot be read, is not valid, or is that of `$DDP_CONFIG` and does not exist.
    """
    if given.get("has_no_config"):
        return None
    path = config_file(environment)
    if path is None or not is_there(path, in_doubt=False):
        if environment.get("DDP_CONFIG"):
            raise CommandError(f"the config file {path} in $DDP_CONFIG does not exist")
        return None
    from .config_file import read_config  # most users have no config file

    return read_config(path)


def _url(
    given: GivenOptions, environment: Mapping[str, str], profile: Section | None, config: Config | None
) -> ResolvedValue:
    if "url" in given:
        return ResolvedValue(given["url"], "ddp demo" if given.get("is_demo") else "--url")
    if profile is not None:
        return ResolvedValue(profile.values["url"], profile.name)
    if environment.get("DDP_URL"):
        return ResolvedValue(environment["DDP_URL"], "$DDP_URL")
    if config is not None and "url" in config.default.values:
        return ResolvedValue(config.default.values["url"], config.default.name)
    return ResolvedValue(SETTINGS["url"].unset, DEFAULT)


def _without_settings_of_others(section: Section, url: str) -> Section:
    """Remove the personal settings if they belong to another server."""
    own = section.values.get("url")
    if own is None or own == url or _is_same_server(own, url, section.name):
        return section
    return section.without_personal_settings()


def _is_same_server(own: str, url: str, where: str) -> bool:
    try:
        server = parse_url(own).server
    except InvalidURL as error:
        raise CommandError(f"{where} in the config file: {error}") from None
    return server == parse_url(url).server


def _first(key: str, given: GivenOptions, sections: list[Section]) -> ResolvedValue:
    setting = SETTINGS[key]
    if setting.option in given:
        return ResolvedValue(given[setting.option], f"--{key}")
    for section in sections:
        if key in section.values:
            return ResolvedValue(section.values[key], section.name)
    return ResolvedValue(setting.unset, DEFAULT)


def _ip_version(given: GivenOptions, sections: list[Section]) -> ResolvedValue:
    if "ip_version" in given:
        return ResolvedValue(given["ip_version"], f"--ipv{given['ip_version']}")
    for section in sections:
        chosen = [version for version in (4, 6) if section.values.get(f"ipv{version}")]
        if len(chosen) == 2:
            raise CommandError(f"{section.name} in the config file: ipv4 and ipv6 cannot both be true")
        if chosen:
            return ResolvedValue(chosen[0], section.name)
    return ResolvedValue(None, DEFAULT)


def _pairs(name: str, option: str, given: GivenOptions, sections: list[Section]) -> Iterator[ResolvedValue]:
    """Headers or cookies: those of the options, and those of the sections under other names."""
    seen: set[str] = set()
    for origin, pairs in (
        (option, given.get(name, ())),
        *((section.name, tuple(section.values.get(name, {}).items())) for section in sections),
    ):
        yield from (ResolvedValue(pair, origin) for pair in pairs if pair[0].lower() not in seen)
        seen |= {pair[0].lower() for pair in pairs}


def _proxy(
    given: GivenOptions, environment: Mapping[str, str], url: str, sections: list[Section], *, is_profile: bool
) -> ResolvedValue:
    if given.get("no_proxy"):
        return ResolvedValue(None, "--no-proxy")
    if "proxy" in given:
        return _checked_proxy(ResolvedValue(given["proxy"], "--proxy"))
    if is_profile:
        own = _proxy_of(sections[0])
        if own is not None:
            return own
    from_default = _proxy_of(sections[-1]) if sections else None
    if from_default is None and not any(name.lower().endswith("_proxy") for name in environment):
        # The usual case, in which nothing needs to be imported.
        return ResolvedValue(None, DEFAULT)
    from ..client.network.proxy import bypasses_proxy, proxy_variable

    endpoint = parse_url(url, lambda: 0.0)
    found = proxy_variable(environment, secure=endpoint.secure)
    setting = ResolvedValue(found[1], f"${found[0]}") if found is not None else from_default
    if setting is None or setting.value is None:
        return setting or ResolvedValue(None, DEFAULT)
    if bypasses_proxy(endpoint, environment):
        return ResolvedValue(None, "not used for this machine or hosts in $NO_PROXY")
    return _checked_proxy(setting)


def _proxy_of(section: Section) -> ResolvedValue | None:
    if section.values.get("no-proxy"):
        return ResolvedValue(None, section.name)
    value = section.values.get("proxy")
    return _checked_proxy(ResolvedValue(value, section.name)) if value is not None else None


def _checked_proxy(setting: ResolvedValue) -> ResolvedValue:
    from ..client.network.proxy import parse_proxy

    try:
        parse_proxy(setting.value)
    except InvalidURL as error:
        raise InvalidURL(error.url, f"{error.problem} (from {setting.origin})", what=error.what) from None
    return setting


def _identity(
    given: GivenOptions, environment: Mapping[str, str], url: ResolvedValue, sections: list[Section]
) -> Identity:
    user, password_file = given.get("login"), given.get("password_file")
    if given.get("no_login"):
        return Identity("anonymous", origin="--no-login")
    if given.get("token_file"):
        return Identity("token", file=given["token_file"], origin="--token-file")
    if user is None and password_file is not None:
        user = next((section.values["login"] for section in sections if "login" in section.values), None)
        if user is None:
            raise usage_error("--password-file needs --login USER, the user of the password")
    if user is not None:
        origin = "--login" if "login" in given else "--password-file"
        return Identity("saved" if password_file is None else "password", user, password_file, origin)
    if given.get("is_demo"):
        return Identity("anonymous", origin="ddp demo")
    if environment.get("DDP_TOKEN") and _is_token_for(url, environment):
        return Identity("token", origin="$DDP_TOKEN")
    for section in sections:
        if "token-file" in section.values:
            return Identity("token", file=section.values["token-file"], origin=section.name)
        if "login" in section.values:
            return Identity("saved", section.values["login"], origin=section.name)
    return Identity("saved")


def _is_token_for(url: ResolvedValue, environment: Mapping[str, str]) -> bool:
    """Whether `$DDP_TOKEN` is for this server. If `$DDP_URL` is set, the token is only for that server."""
    named = environment.get("DDP_URL")
    return not named or named == url.value or _is_same_server(named, url.value, "$DDP_URL")


# ----------------------------------------------------------------------------------------------------------- the files

# The folders are those of the XDG base directory specification, or those of Windows. On macOS too, files are in `~/.config` and
# `~/.local/state`, where users of the command line look for them. Each `ddp call` looks for a saved login, so this loads quickly,
# and paths are strings.
_NAME = "ddpshell"


def config_file(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the user's `config.toml`, which need not exist: `$DDP_CONFIG`, or the file in the folder for configuration.

    Returns:
        None if there is no home folder.
    """
    named = environment.get("DDP_CONFIG")
    if named:
        return os.path.expanduser(named)
    return _find("config.toml", "XDG_CONFIG_HOME", ".config", "APPDATA", environment)


def named_config_file() -> str:
    """Return the config file, which need not exist.

    Raises:
        CommandError: There is no home folder.
    """
    file = config_file()
    if file is None:
        raise CommandError("there is no home folder and so no config file; $DDP_CONFIG can name one")
    return file


def state_file(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return a file or folder for state, such as `history` or `logins`, which need not exist; None if there is no home folder."""
    return _find(name, "XDG_STATE_HOME", ".local/state", "LOCALAPPDATA", environment)


def is_there(path: str, *, in_doubt: bool = True) -> bool:
    """Return whether a file or a folder exists.

    Args:
        path: The file or folder.
        in_doubt: The answer if the folder that contains it exists, but cannot be searched.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        # A home such as /dev/null has no folders. But if a file is in the place of ddp's folder, reading must fail.
        return os.path.lexists(os.path.dirname(path))
    except OSError:
        return in_doubt or os.path.lexists(os.path.dirname(path))
    return True


def _find(name: str, variable: str, default: str, windows: str, environment: Mapping[str, str]) -> str | None:
    path = environment.get(variable, "").strip()
    # The specification says to ignore relative paths.
    if os.path.isabs(path):
        return os.path.join(path, _NAME, name)
    home = environment.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):
        return None
    places = [os.path.join(home, default, _NAME, name)]
    # Elsewhere if an earlier version left the file there.
    if sys.platform == "darwin":
        places.append(os.path.join(home, "Library/Application Support", _NAME, name))
    elif sys.platform == "win32":
        places.insert(0, os.path.join(environment.get(windows) or home, _NAME, name))
    return next((place for place in places if is_there(place)), places[0])
