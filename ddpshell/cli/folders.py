"""The folders for files of ddp: those of the XDG base directory specification, or those of Windows.

On macOS too, files are in `~/.config` and `~/.local/state`, where users of the command line look for them. Each `ddp call` looks
for a saved login, so this module loads quickly, and paths are strings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ..exceptions import CommandError

__all__ = ["config_file", "is_there", "logins_folder", "named_config_file", "state_file"]

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
    """Return a file of the shell, such as its history, which need not exist; None if there is no home folder."""
    return _find(name, "XDG_STATE_HOME", ".local/state", "LOCALAPPDATA", environment)


def logins_folder(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the folder of the saved logins, which need not exist; None if there is no home folder."""
    return state_file("logins", environment)


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
