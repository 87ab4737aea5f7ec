"""What nobody should read over a shoulder or find in a log: passwords, tokens and codes in messages, hidden for display.

Secrets are known by the names that Meteor's accounts packages give them (section 7 of the behaviour facts), and by names
that are usual elsewhere. When in doubt, a value is hidden: nothing is sent, stored or compared in this form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from ..ejson import Custom, EJSONValue, JSONValue, json_text
from ..exceptions import EJSONError

__all__ = ["MASK", "mask", "mask_params", "takes_credentials"]

#: What stands in place of a secret.
MASK: Final = "***"

# Names in lower case, without anything but letters and digits.
_SECRET_NAMES = frozenset(
    "auth bcrypt bearer connectsid digest hashedtokens jwt logintokens otp pass passwd pin pincode pwd resume sessionid sid totp".split()
)
_SECRET_ENDINGS = (
    *"accesskey apikey encryptionkey masterkey privatekey secretkey sharedkey signingkey".split(),
    *"authorization cookie cookies credential credentials passcode passphrase password passwords passwordhash secret secrets".split(),
    *"sessionid token passwordconfirmation passwordconfirm passwordrepeat passwordagain".split(),
)
# Short words, of which others are made: a `pin` and a `userPin`, but no `spin`.
_SECRET_WORDS = frozenset("bearer jwt otp pass passwd pin pwd totp".split())
# Before `code` or `codes`; of other kinds of codes, such as a country's, nobody makes a secret.
_CODE_WORDS = frozenset("2fa access auth authorization backup confirmation fa factor login mfa otp pin recovery reset security sms time totp verification".split())  # fmt: skip
# The protocol that digests replaced.
_OLD_PROTOCOL = "srp"

# A8, A10, A11, A16: every parameter is a secret. In methods named after passwords or signing in, every text and number.
_SECRET_METHODS = {"changepassword", "enableuser2fa", "resetpassword", "verifyemail"}
_PASSWORD_METHOD = re.compile("passw", re.IGNORECASE)
# The words of a method's name, each in lower case and with a hyphen before and after it.
_SIGN_IN_METHOD = re.compile(
    r"-(?:[a-z]*(?:login|logon|signin|signup|signon|authenticat)[a-z]*|(?:log|sign)-(?:in|on)|sign-up|auth|otp|totp|mfa|2-?fa|two-?factor"
    r"|passcode|passphrase|pwd|credentials?|(?:create|register|add|new)-?(?:user|account)|register-$"
    r"|(?:check|verify|validate|confirm|enter|change|set)-?(?:[a-z]+-)?pin)-"
)
# A3, A6: in these methods alone, `code` is not the code of an error or a country.
_LOGIN_METHOD = re.compile(
    r"2fa|auth|create[-_.]?(?:user|account)|(?:add|new)[-_.]?(?:user|account)|credential|factor|log[-_.]?[io]n|mfa|otp"
    r"|pass|pin|pwd|register|sign[-_.]?(?:in|on|up)|verify",
    re.IGNORECASE,
)

# What the names above cannot do without. A text with none of it has no secrets that we know; one with an escaped
# letter may have them under a name that is spelt with escapes.
_SUSPICIOUS = re.compile(
    r"pass|pwd|(?:access|api|encryption|master|private|secret|shared|signing)[-_. ]{0,9}key|auth(?!or)|authori[sz]ation|bcrypt"
    r"|bearer|cookie|credential|digest|jwt|totp|resume|s[-_]{0,9}r[-_]{0,9}p|secret|session[-_. ]{0,9}id|token|2fa|verifyemail"
    r"|(?:access|backup|confirmation|factor|fa|login|otp|pin|recovery|reset|security|sms|time|verification)[-_. ]{0,9}code"
    r"|\\u00[2-7]|:(?:\\?/){2}[^\s/\"?#@]*@"
    r"|(?-i:(?<![A-Za-z])(?:pin|otp|sid)(?![a-z])|(?:Pin|PIN|Otp|OTP|Sid|SID)(?![a-z]))",
    re.IGNORECASE,
)
_CODE = re.compile("code", re.IGNORECASE)

# In texts: who one is in a URL, secrets in its query, and headers.
_USERINFO = re.compile(r"(?<=://)[^\s/?#@\"']+@")
_QUERY = re.compile(r"([?&])([A-Za-z0-9_.\[\]-]+)=([^&#\s\"']+)")
_HEADER = re.compile(
    r"((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:key|token|auth))\s*:\s*\S.*", re.IGNORECASE
)
_BEARER = re.compile(r"(bearer|basic) +[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def mask(text: str) -> str:
    """Hide the secrets in the text of one message.

    A text without secrets comes back as it is, to the byte. Of a text that is not JSON only the part before the first
    thing that looks like a secret's name is kept.
    """
    if not _SUSPICIOUS.search(text) and not (
        _LOGIN_METHOD.search(text) and ("params" in text or "\\u" in text or _CODE.search(text))
    ):
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
    elif takes_credentials(method):
        masked = [
            _hidden(param) if isinstance(param, str | int | float) else _mask(param, in_login=in_login)
            for param in params
        ]
    else:
        masked = [_mask(param, in_login=in_login) for param in params]
    return params if all(new is old for new, old in zip(masked, params, strict=True)) else masked


def takes_credentials(method: str) -> bool:
    """Whether a method's name says that texts and numbers among its parameters may be a password or a code."""
    return bool(_PASSWORD_METHOD.search(method) or _SIGN_IN_METHOD.search(f"-{'-'.join(_words(method))}-"))


def _mask_text(text: str) -> str:
    """Hide what a text that is not a message says of secrets: credentials in URLs, and headers."""
    text = _USERINFO.sub(f"{MASK}@", text) if "@" in text else text
    if "=" in text:
        text = _QUERY.sub(lambda found: f"{found[1]}{found[2]}={MASK}" if _is_secret(found[2]) else found[0], text)
    if header := _HEADER.match(text):
        return f"{header[1]}: {MASK}"
    if bearer := _BEARER.fullmatch(text):
        return f"{bearer[1]} {MASK}"
    return text


def _mask(value: EJSONValue, *, in_login: bool) -> EJSONValue:
    """A copy with secrets hidden, or the value itself if it has none."""
    if isinstance(value, str):
        # A15: the address behind a QR code holds the secret.
        if "otpauth:" in value:
            return MASK
        shown = _mask_text(value)
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
    if _is_secret(name) or (in_login and name.lower() == "code"):
        return _hidden(value)
    # A15: beside the secret stand an address and a picture that say the same.
    if name in ("uri", "svg") and "secret" in fields:
        return _hidden(value)
    return _mask(value, in_login=in_login)


def _is_secret(name: str) -> bool:
    words = _words(name)
    plain = "".join(words)
    if plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS) or plain.startswith(_OLD_PROTOCOL):
        return True
    if not words:
        return False
    # As in `password2`.
    last = words[-2] if words[-1].isdigit() and len(words) > 1 else words[-1]
    if last in _SECRET_WORDS or last.endswith("password"):
        return True
    # Counts of tokens are called so too, but not those of a kind.
    if last == "tokens":
        return bool({"access", "auth", "bearer", "login", "refresh", "resume"}.intersection(words))
    return last in ("code", "codes") and bool(_CODE_WORDS.intersection(words))


def _words(name: str) -> list[str]:
    """The words of a name in camelCase, snake_case or kebab-case, in lower case."""
    return [word.lower() for word in _WORD.findall(name)]


def _hidden(value: EJSONValue) -> EJSONValue:
    # That there is no password, or that one was changed, is worth seeing.
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _cut(text: str) -> str:
    found = [match.start() for match in (_SUSPICIOUS.search(text), _CODE.search(text)) if match]
    # Parameters may stand before the name of the method that tells what they are, or behind it with no name of a secret.
    first = min(found, default=len(text))
    params = text.find("params", 0, None if _LOGIN_METHOD.search(text) else first)
    if not found and params < 0:
        return text
    if 0 <= first < params:
        params = -1
    return text[: first if params < 0 else params] + MASK
