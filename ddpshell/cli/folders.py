"""The folders for files of ddp: those of the XDG base directory specification, or the system's own.

The results are those of platformdirs. It is imported only on macOS, because the import takes 5 ms and each `ddp call` looks for a
saved login. For the same reason, paths are strings here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

__all__ = ["config_file", "is_there", "logins_folder", "state_folder"]

_NAME = "ddpshell"


def config_file(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the user's `config.toml`, which need not exist: `$DDP_CONFIG`, or the file in the folder for configuration.

    Returns:
        None if there is no home folder.
    """
    named = environment.get("DDP_CONFIG")
    if named:
        return os.path.expanduser(named)
    folder = _folder("XDG_CONFIG_HOME", ".config", environment)
    return folder and os.path.join(folder, "config.toml")


def state_folder(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the folder of the history and the saved logins, which need not exist; None if there is no home folder."""
    return _folder("XDG_STATE_HOME", ".local/state", environment)


def logins_folder(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the folder of the saved logins, which need not exist; None if there is no home folder."""
    folder = state_folder(environment)
    return folder and os.path.join(folder, "logins")


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


def _folder(variable: str, default: str, environment: Mapping[str, str]) -> str | None:
    path = environment.get(variable, "").strip()
    # The specification says to ignore relative paths.
    if os.path.isabs(path):
        return os.path.join(path, _NAME)
    if sys.platform == "darwin":
        import platformdirs

        dirs = platformdirs.PlatformDirs(_NAME, appauthor=False)
        return dirs.user_config_dir if variable == "XDG_CONFIG_HOME" else dirs.user_state_dir
    home = environment.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, default, _NAME) if os.path.isabs(home) else None
