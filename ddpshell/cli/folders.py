"""Where files are kept: the folders of the XDG base directory specification, or the system's own.

What platformdirs says, without loading it where it would say what the specification says: loading takes 5 ms, and
`ddp call` looks for a saved login every time. For the same reason paths are texts here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

__all__ = ["config_file", "is_there", "logins_folder", "state_folder"]

_NAME = "ddpshell"


def config_file(environment: Mapping[str, str] = os.environ) -> str | None:
    """The user's `config.toml`, which need not be there: `$DDP_CONFIG`, or in the folder for configuration.

    Returns:
        None where there is no home folder.
    """
    named = environment.get("DDP_CONFIG")
    if named:
        return os.path.expanduser(named)
    folder = _folder("XDG_CONFIG_HOME", ".config", environment)
    return folder and os.path.join(folder, "config.toml")


def state_folder(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where the history and saved logins are, which need not be there; None where there is no home folder."""
    return _folder("XDG_STATE_HOME", ".local/state", environment)


def logins_folder(environment: Mapping[str, str] = os.environ) -> str | None:
    """The folder of a `LoginStore`."""
    folder = state_folder(environment)
    return folder and os.path.join(folder, "logins")


def is_there(path: str, *, in_doubt: bool = True) -> bool:
    """Whether there is a file or a folder, or something in its place that cannot be read.

    Args:
        path: Its name.
        in_doubt: What to answer if the user may not even look at the folder that it would be in.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        # A home such as /dev/null has no folders; a file in the place of ours is a fault.
        return os.path.lexists(os.path.dirname(path))
    except OSError:
        return in_doubt or os.path.lexists(os.path.dirname(path))
    return True


def _folder(variable: str, default: str, environment: Mapping[str, str]) -> str | None:
    path = environment.get(variable, "").strip()
    # A relative path is invalid, and to be ignored.
    if os.path.isabs(path):
        return os.path.join(path, _NAME)
    if sys.platform == "darwin":
        import platformdirs

        dirs = platformdirs.PlatformDirs(_NAME, appauthor=False)
        return dirs.user_config_dir if variable == "XDG_CONFIG_HOME" else dirs.user_state_dir
    home = environment.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, default, _NAME) if os.path.isabs(home) else None
