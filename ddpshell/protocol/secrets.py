"""What nobody should read over a shoulder or find in a log: passwords, tokens and codes in messages, hidden for display.

Secrets are known by the names that Meteor's accounts packages give them (section 7 of the behaviour facts), and by names
that are usual elsewhere. When in doubt, a value is hidden: nothing is sent, stored or compared in this form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ..exceptions import EJSONError
from . import json_text
from .ejson import Custom, EJSONValue, JSONValue

__all__ = ["MASK", "mask", "mask_params"]

#: What stands in place of a secret.
MASK: Final = "***"

# Names in lower case, without `_` and `-`.
_SECRET_NAMES = {"bcrypt", "digest", "hashedtokens", "logintokens", "passphrase", "passwd", "pwd", "resume"}
_SECRET_ENDINGS = ("apikey", "password", "privatekey", "secret", "token")
# The protocol that digests replaced.
_OLD_PROTOCOL = "srp"

# A8, A10, A11, A16: every parameter is a secret. In other methods named after passwords, every string.
_SECRET_METHODS = {"changepassword", "enableuser2fa", "resetpassword", "verifyemail"}
_PASSWORD_METHOD = re.compile("passw", re.IGNORECASE)
# A3, A6: in these methods alone, `code` is not the code of an error or a country.
_LOGIN_METHOD = re.compile("2fa|createuser|log-?_?in|otp|passw|sign-?_?in|verify", re.IGNORECASE)

# What the names above cannot do without. A text with none of it has no secrets that we know; one with an escaped
# letter may have them under a name that is spelt with escapes.
_SUSPICIOUS = re.compile(
    r"pass|pwd|api[-_]*key|private[-_]*key|bcrypt|digest|otpauth|resume|s[-_]*r[-_]*p|secret|token|2fa|verifyemail|\\u00[2-7]",
    re.IGNORECASE,
)
_CODE = re.compile("code", re.IGNORECASE)


def mask(text: str) -> str:
    """Hide the secrets in the text of one message.

    A text without secrets comes back as it is, to the byte. Of a text that is not JSON only the part before the first
    thing that looks like a secret's name is kept.
    """
    if not _SUSPICIOUS.search(text) and not (_CODE.search(text) and _LOGIN_METHOD.search(text)):
        return text
    try:
        tree = json_text.parse(text)
    except EJSONError:
        return _cut(text)
    try:
        masked = _mask(tree, in_login=False)
        return text if masked is tree else json_text.dump(cast(JSONValue, masked))
    except (EJSONError, RecursionError):
        return MASK


def mask_params(method: str, params: Sequence[EJSONValue]) -> Sequence[EJSONValue]:
    """Hide the secrets in a call's parameters, values or JSON; `params` itself comes back if there are none."""
    in_login = bool(_LOGIN_METHOD.search(method))
    if method.lower() in _SECRET_METHODS:
        masked = [_hidden(param) for param in params]
    elif _PASSWORD_METHOD.search(method):
        masked = [_hidden(param) if isinstance(param, str) else _mask(param, in_login=in_login) for param in params]
    else:
        masked = [_mask(param, in_login=in_login) for param in params]
    return params if all(new is old for new, old in zip(masked, params, strict=True)) else masked


def _mask(value: EJSONValue, *, in_login: bool) -> EJSONValue:
    """A copy with secrets hidden, or the value itself if it has none."""
    if isinstance(value, str):
        # A15: the address behind a QR code holds the secret.
        return MASK if "otpauth:" in value else value
    if isinstance(value, Mapping):
        hidden = {
            name: masked
            for name, member in value.items()
            if (masked := _mask_member(value, name, member, in_login=in_login)) is not member
        }
        return {**value, **hidden} if hidden else value
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        items = [_mask(item, in_login=in_login) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, Custom):
        inner = _mask(value.value, in_login=in_login)
        return value if inner is value.value else Custom(value.type, cast(JSONValue, inner))
    return value


def _mask_member(fields: Mapping[str, EJSONValue], name: str, value: EJSONValue, *, in_login: bool) -> EJSONValue:
    if name == "params" and isinstance(value, Sequence) and not isinstance(value, str):
        method = fields.get("method")
        if isinstance(method, str):
            return mask_params(method, value)
    if _is_secret(name) or (in_login and name.lower() == "code"):
        return _hidden(value)
    # A15: beside the secret stand an address and a picture that say the same.
    if name in ("uri", "svg") and "secret" in fields:
        return _hidden(value)
    return _mask(value, in_login=in_login)


def _is_secret(name: str) -> bool:
    plain = name.lower().replace("_", "").replace("-", "")
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS) or plain.startswith(_OLD_PROTOCOL)


def _hidden(value: EJSONValue) -> EJSONValue:
    # That there is no password, or that one was changed, is worth seeing.
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _cut(text: str) -> str:
    first = min(match.start() for match in (_SUSPICIOUS.search(text), _CODE.search(text)) if match)
    # Parameters may stand before the name of the method that tells what they are.
    params = text.find("params", 0, first)
    return text[: first if params < 0 else params] + MASK
