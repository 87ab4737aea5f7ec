"""Hides passwords, tokens and codes in messages that are displayed or logged.

Secrets are recognized by the names that Meteor's accounts packages give them (A1-A20), and by names that are usual
elsewhere. In doubt, a value is hidden. Masked messages are only displayed, never sent, stored or compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ..ejson import Custom, EJSONValue, JSONValue, json_text
from ..exceptions import EJSONError

#: The replacement of a secret.
MASK: Final = "***"

# Names in lower case, reduced to letters and digits.
_SECRET_NAMES = frozenset(
    "auth bcrypt bearer connectsid digest hashedtokens jwt logintokens otp pass passwd pin pincode pwd resume sessionid sid totp".split()
)
_SECRET_ENDINGS = (
    *"accesskey apikey encryptionkey masterkey privatekey secretkey sharedkey signingkey".split(),
    *"authorization cookie cookies credential credentials passcode passphrase password passwords passwordhash secret secrets".split(),
    *"sessionid token passwordconfirmation passwordconfirm passwordrepeat passwordagain".split(),
)
# Short words that match only whole words of a name: `pin` and `userPin`, but not `spin`.
_SECRET_WORDS = frozenset("bearer jwt otp pass passwd pin pwd totp".split())
# Words that make a secret of `code` or `codes`. Other codes, such as a country's, are not secret.
_CODE_WORDS = frozenset("2fa access auth authorization backup confirmation fa factor login mfa otp pin recovery reset security sms time totp verification".split())  # fmt: skip
# Secure Remote Password, which Meteor used before digests.
_OLD_PROTOCOL = "srp"

# The patterns below are not compiled yet, because that takes longer than loading all of a shell's commands.

# All parameters of these methods are secret (A8, A10, A11, A16).
_SECRET_METHODS = {"changepassword", "enableuser2fa", "resetpassword", "verifyemail"}
# Methods that log in or sign up. It matches the words of the name, in lower case, with a hyphen before and after each.
_SIGN_IN_METHOD = (
    r"-(?:[a-z]*(?:login|logon|signin|signup|signon|authenticat)[a-z]*|(?:log|sign)-(?:in|on)|sign-up|auth|otp|totp|mfa|2-?fa|two-?factor"
    r"|passcode|passphrase|pwd|credentials?|(?:create|register|add|new)-?(?:user|account)|register-$"
    r"|(?:check|verify|validate|confirm|enter|change|set)-?(?:[a-z]+-)?pin)-"
)
# Only in these methods is a parameter `code` a one-time code, and not the code of an error or a country (A3, A6).
_LOGIN_METHOD = (
    r"(?i)2fa|auth|create[-_.]?(?:user|account)|(?:add|new)[-_.]?(?:user|account)|credential|factor|log[-_.]?[io]n|mfa|otp"
    r"|pass|pin|pwd|register|sign[-_.]?(?:in|on|up)|verify"
)

# Parts of the names above. A text that matches none of them has no known secrets, unless a name is written with escape
# sequences.
_SUSPICIOUS = (
    r"(?i)pass|pwd|(?:access|api|encryption|master|private|secret|shared|signing)[-_. ]{0,9}key|auth(?!or)|authori[sz]ation|bcrypt"
    r"|bearer|cookie|credential|digest|jwt|totp|resume|s[-_]{0,9}r[-_]{0,9}p|secret|session[-_. ]{0,9}id|token|2fa|verifyemail"
    r"|(?:access|backup|confirmation|factor|fa|login|otp|pin|recovery|reset|security|sms|time|verification)[-_. ]{0,9}code"
    r"|\\u00[2-7]|:(?:\\?/){2}[^\s/\"?#@]*@"
    r"|(?-i:(?<![A-Za-z])(?:pin|otp|sid)(?![a-z])|(?:Pin|PIN|Otp|OTP|Sid|SID)(?![a-z]))"
)
# Each match of the two patterns above contains one of these, in lower case. Looking for them takes a hundredth of the
# time, which counts for messages of megabytes; a text that contains one is parsed, in linear time.
_HINTS = (
    *"2fa @ account auth bcrypt bearer code cookie credential digest factor jwt key log mfa otp pass pin pwd".split(),
    *"register resume secret session sid sign token user verify \\u00".split(),
)
_SRP = "s[-_]{0,9}r[-_]{0,9}p"

# Secrets inside strings: credentials in a URL, parameters in its query or fragment, links with a token, and headers.
_USERINFO = r"(?<=://)[^\s/?#\"']+@"
_QUERY = r"([?&#])([A-Za-z0-9_.\[\]-]+)=([^&#\s\"']+)"
# The links in the e-mails of Meteor's accounts package end with a token.
_LINK = r"((?:reset-password|enroll-account|verify-email)/)[^\s/?#\"'<>]+"
_HEADER = r"(?i)((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:key|token|auth))\s*:\s*\S.*"
_BEARER = r"(?i)(bearer|basic) +[A-Za-z0-9._~+/=-]{8,}"
_WORD = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"


def mask(text: str) -> str:
    """Return the text of a message with its secrets hidden.

    A text without secrets is returned unchanged. A text that is not JSON is cut before the first name of a secret.
    """
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS) and not re.search(_SRP, lowered):
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
    """Return the parameters of a call, EJSON or JSON, with secrets hidden; `params` itself if there are none."""
    in_login = bool(re.search(_LOGIN_METHOD, method))
    if method.lower() in _SECRET_METHODS:
        masked = [_hidden(param) for param in params]
    elif takes_credentials(method):
        masked = [
            _hidden(param) if isinstance(param, str | int | float) else _mask(param, in_login=in_login)
            for param in params
        ]
    else:
        masked = [_mask(param, in_login=in_login) for param in params]
    return params if all(new is old for new, old in zip(masked, params, strict=True)) else masked


def takes_credentials(method: str) -> bool:
    """Return whether the name of a method suggests that a text or number among its parameters is a password or a code."""
    return bool("passw" in method.casefold() or re.search(_SIGN_IN_METHOD, f"-{'-'.join(_words(method))}-"))


def mask_text(text: str) -> str:
    """Hide secrets in a string that is not a message: credentials in URLs, and headers."""
    text = re.sub(_USERINFO, f"{MASK}@", text) if "@" in text else text
    if "=" in text:
        text = re.sub(
            _QUERY, lambda found: f"{found[1]}{found[2]}={MASK}" if is_secret_name(found[2]) else found[0], text
        )
    if "-" in text:
        text = re.sub(_LINK, rf"\1{MASK}", text)
    if header := re.match(_HEADER, text):
        return f"{header[1]}: {MASK}"
    if bearer := re.fullmatch(_BEARER, text):
        return f"{bearer[1]} {MASK}"
    return text


def mask_url(url: str) -> str:
    """Hide user, password and secret parameters in a URL, which need not be valid."""
    # Take the last @ anywhere: after an unescaped slash in a password, it is in what looks like the path.
    before, at, after = url.rpartition("@")
    scheme = re.match("(?:[A-Za-z][A-Za-z0-9+.-]*://)?", before)
    return mask_text(f"{scheme[0] if scheme else ''}{MASK}@{after}" if at else url)


def _mask(value: EJSONValue, *, in_login: bool) -> EJSONValue:
    """Return a copy with secrets hidden, or the value itself if there are none."""
    if isinstance(value, str):
        # The address in the QR code of a two-factor setup contains the secret (A15).
        if "otpauth:" in value:
            return MASK
        shown = mask_text(value)
        return value if shown == value else shown
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
        method = fields.get("method", fields.get("name"))
        if isinstance(method, str):
            return mask_params(method, value)
    if is_secret_name(name) or (in_login and name.lower() == "code"):
        return _hidden(value)
    # The address and the picture beside the secret contain it, too (A15).
    if name in ("uri", "svg") and "secret" in fields:
        return _hidden(value)
    return _mask(value, in_login=in_login)


def is_secret_name(name: str) -> bool:
    """Return whether a field or parameter with that name usually has a secret."""
    words = _words(name)
    plain = "".join(words)
    if plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS) or plain.startswith(_OLD_PROTOCOL):
        return True
    if not words:
        return False
    # Ignore a number at the end, as in `password2`.
    last = words[-2] if words[-1].isdigit() and len(words) > 1 else words[-1]
    if last in _SECRET_WORDS or last.endswith("password"):
        return True
    # `tokens` can also be a number of tokens, unless the name says their kind.
    if last == "tokens":
        return bool({"access", "auth", "bearer", "login", "refresh", "resume"}.intersection(words))
    return last in ("code", "codes") and bool(_CODE_WORDS.intersection(words))


def _words(name: str) -> list[str]:
    """Split a name in camelCase, snake_case or kebab-case into words in lower case."""
    return [word.lower() for word in re.findall(_WORD, name)]


def _hidden(value: EJSONValue) -> EJSONValue:
    # Show that a password is missing or empty, or was changed.
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _cut(text: str) -> str:
    found = [match.start() for match in (re.search(_SUSPICIOUS, text), re.search("(?i)code", text)) if match]
    # The parameters may precede the name of the method, or follow it without the name of a secret.
    first = min(found, default=len(text))
    params = text.find("params", 0, None if re.search(_LOGIN_METHOD, text) else first)
    if not found and params < 0:
        return text
    if 0 <= first < params:
        params = -1
    return text[: first if params < 0 else params] + MASK
