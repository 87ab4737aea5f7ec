"""Which data users can see: data that a server should rarely send to a client, and the documents that several users get.

Such data are password hashes, services, tokens, keys and e-mail addresses. Findings name the place, not the value, so that
they can be kept in the log of a CI job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from ..ejson import JSONValue, json_text
from ..protocol.messages import Added, AddedBefore, Changed, Removed, Result
from ..protocol.secrets import MASK, is_secret_name
from .exchanges import Call, Subscription, View, id_as_json
from .recording import json_object

LeakRule: TypeAlias = Literal["password", "password-hash", "services", "token", "key", "email", "unsolicited"]
Severity: TypeAlias = Literal["high", "medium", "low"]

#: The worst first.
SEVERITIES: Final[tuple[Severity, ...]] = ("high", "medium", "low")

_SEVERITIES: dict[LeakRule, Severity] = {
    "password": "high",
    "password-hash": "high",
    "services": "high",
    "token": "high",
    "key": "high",
    "email": "medium",
    "unsolicited": "low",
}

# Places that are reported. Documents whose fields are ids could have any number of them.
_MOST: Final = 1000

# What Meteor itself sends to each client without a subscription.
_USUAL = frozenset({"meteor_accounts_loginServiceConfiguration", "meteor_autoupdate_clientVersions"})

_HASH = re.compile(
    r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(?:id|i|d)\$|\$(?:1|5|6|7|y|scrypt)\$[^\s$]{1,99}\$|pbkdf2[_:$(][^\s]{8}"
    r"|scrypt:\d{1,9}:|\{S?SHA\d{0,3}\}[A-Za-z0-9+/=]{20}"
)
_HEX_DIGEST = re.compile(r"(?:[0-9a-f]{2}){16,64}", re.IGNORECASE)
_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}"
    r"|\b[rs]k_(?:live|test)_[0-9A-Za-z]{10}|\bwhsec_[0-9A-Za-z]{10}|\bsk-[A-Za-z0-9_-]{20}|\bSG\.[A-Za-z0-9_-]{16}"
    # Credentials in a URL, such as that of a database.
    r"|\b[a-z][a-z0-9+.-]{1,20}://[^\s/?#@:]{0,64}:[^\s/?#@]{1,64}@",
)
_TOKEN = re.compile(
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.|\b(?:gh[opsur]_|github_pat_|glpat-|xox[abprs]-)[A-Za-z0-9_-]{10}"
    r"|\bBearer [A-Za-z0-9._~+/=-]{16}"
)
_WHOLE = re.compile(r"\S{6,}")
_LOCAL_PART = re.compile(r"(?<![:/A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}\Z")
_DOMAIN = re.compile(r"(?!\dx\.)(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")

_PASSWORD_NAME = re.compile("pass(?!port)|pwd|pin(?:code)?$", re.IGNORECASE)
_HASH_NAME = re.compile("bcrypt|hash|digest|srp", re.IGNORECASE)
_KEY_NAME = re.compile("key|secret", re.IGNORECASE)


class LeakFinding(Struct):
    """Something that a client should rarely get.

    Args:
        rule: The name of the rule.
        collection: The name of the collection.
        id: The id of the first document, as in its message; None for the whole collection.
        path: The place in the document, such as `emails[0].address`; empty for the whole collection.
        documents: The number of messages in which it is.
        publications: The names of the publications that sent it.
    """

    rule: LeakRule
    collection: str
    id: str | None
    path: str
    documents: int = 0
    publications: dict[str, None] = {}

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return _SEVERITIES[self.rule]

    def as_json(self) -> dict[str, JSONValue]:
        """Return the finding for programs."""
        return {
            "severity": self.severity,
            "collection": self.collection,
            "id": None if self.id is None else id_as_json(self.id),
            "path": self.path,
            "rule": self.rule,
            "documents": self.documents,
            "publications": [*self.publications],
        }


class _Arrival(NamedTuple):
    view: View
    message: Added | AddedBefore | Changed
    publication: str | None
    is_solicited: bool


class Leaks:
    """Checks all documents in a stream of frames. Its memory grows with the findings only."""

    def __init__(self) -> None:
        #: The id of the user that is logged in; None for no user.
        self.user: str | None = None
        self._found: dict[tuple[LeakRule, str, str], LeakFinding] = {}
        # Connections that have made a subscription, after which data need not be unsolicited.
        self._subscribed: set[int] = set()
        self._logins: set[Call] = set()
        # Documents that are to be checked when it is known who the user is.
        self._early: list[_Arrival] = []

    def receive(self, view: View) -> None:
        """Check the next frame."""
        publication = None
        for step in view.steps:
            one = step.exchange
            if isinstance(one, Subscription):
                if step.phase in ("sent", "resent"):
                    self._subscribed.add(view.entry.conn)
                elif step.phase == "data":
                    publication = one.name
            elif isinstance(one, Call) and one.is_login:
                self._follow_login(one, view)
        if isinstance(view.data, Added | AddedBefore | Changed):
            self._early.append(_Arrival(view, view.data, publication, view.entry.conn in self._subscribed))
        self._check_early()

    def findings(self) -> list[LeakFinding]:
        """Return what was found, the worst first."""
        self._logins.clear()
        self._check_early()
        return sorted(self._found.values(), key=lambda one: (SEVERITIES.index(one.severity), one.collection, one.path))

    def _follow_login(self, call: Call, view: View) -> None:
        """Meteor sends the user's own document before the result of the login says who the user is."""
        if call.answered is None:
            self._logins.add(call)
            return
        self._logins.discard(call)
        if isinstance(view.message, Result) and call.error is None:
            user = (json_object(view.message.result) or {}).get("id")
            self.user = user if isinstance(user, str) else self.user

    def _check_early(self) -> None:
        """Check the documents that have arrived, unless it is not known yet who the user is."""
        if not self._logins:
            for arrival in self._early:
                self._check(arrival)
            self._early.clear()

    def _check(self, arrival: _Arrival) -> None:
        message = arrival.message
        is_own = message.collection == "users" and message.id == self.user
        if not arrival.is_solicited and not is_own and message.collection not in _USUAL:
            self._add("unsolicited", arrival, None, "", "")
        for rule, path in _leaks(arrival.view.fields):
            if not (is_own and rule == "email"):
                self._add(rule, arrival, message.id, path, re.sub(r"\[\d+\]", "[]", path))

    def _add(self, rule: LeakRule, arrival: _Arrival, id_: str | None, path: str, place: str) -> None:
        collection = arrival.message.collection
        key = (rule, collection, place)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _MOST:
                return
            found = self._found[key] = LeakFinding(rule, collection, id_, path)
        found.documents += 1
        if arrival.publication is not None:
            found.publications[arrival.publication] = None


class _Node(NamedTuple):
    value: JSONValue
    key: str | int
    parent: _Node | None


def _leaks(fields: JSONValue) -> Iterator[tuple[LeakRule, str]]:
    """Yield the rule and the path of each leak in a document."""
    waiting = [_Node(fields, "", None)]
    while waiting:
        node = waiting.pop()
        value = node.value
        if isinstance(value, dict):
            if node.key == "services" and value and node.parent is not None and node.parent.parent is None:
                yield "services", "services"
            # The type of a value is not its content.
            waiting += [_Node(item, key, node) for key, item in reversed(value.items()) if key != "$type"]
        elif isinstance(value, list):
            waiting += [_Node(item, index, node) for index, item in reversed([*enumerate(value)])]
        elif isinstance(value, str) and (rule := _rule(_name(node), value)) is not None:
            yield rule, _path(node)


def _name(node: _Node) -> str:
    """Return the name of a value: for an item of an array that of the array, and for EJSON forms that of the field."""
    while node.parent is not None and (isinstance(node.key, int) or node.key.startswith("$")):
        node = node.parent
    return str(node.key)


def _path(node: _Node) -> str:
    """Return the place of a value, without the keys of EJSON forms."""
    keys: list[str] = []
    while node.parent is not None:
        if isinstance(node.key, int):
            keys.append(f"[{node.key}]")
        elif not node.key.startswith("$"):
            keys.append(f".{node.key}")
        node = node.parent
    return "".join(reversed(keys)).removeprefix(".")


def _rule(name: str, value: str) -> LeakRule | None:
    if _HASH.match(value):
        return "password-hash"
    if _KEY.search(value):
        return "key"
    if _TOKEN.search(value):
        return "token"
    if is_secret_name(name) and (rule := _rule_of_name(name, value)) is not None:
        return rule
    return "email" if _has_address(value) else None


def _rule_of_name(name: str, value: str) -> LeakRule | None:
    """Return the rule for a value with the name of a secret. Text for people is not a secret."""
    # Secrets are masked in recordings.
    if value != MASK and not _WHOLE.fullmatch(value):
        return None
    if _PASSWORD_NAME.search(name):
        return "password-hash" if _HASH_NAME.search(name) or _HEX_DIGEST.fullmatch(value) else "password"
    if _HASH_NAME.fullmatch(name):
        # Other digests, such as those of files, are not secret.
        return None if name.lower() == "digest" else "password-hash"
    return "key" if _KEY_NAME.search(name) else "token"


def _has_address(value: str) -> bool:
    at = value.find("@")
    while at >= 0:
        if _LOCAL_PART.search(value, max(0, at - 80), at) and _DOMAIN.match(value, at + 1):
            return True
        at = value.find("@", at + 1)
    return False


# -------------------------------------------------------------------------------------------------------- several users


class SeenDocuments:
    """The documents of one client, as they are after the frames that were received.

    Args:
        publication: The publication that the client subscribes to.

    Attributes:
        documents: The fields of each document, by collection and by id as in the messages.
        collections: The collections to which the publication belongs.
    """

    def __init__(self, publication: str) -> None:
        self._publication = publication
        self.documents: dict[str, dict[str, dict[str, JSONValue]]] = {}
        self.collections: dict[str, None] = {}

    def receive(self, view: View) -> None:
        """Apply the next frame."""
        message = view.data
        if message is None:
            return
        for step in view.steps:
            if isinstance(step.exchange, Subscription) and step.exchange.name == self._publication:
                self.collections[message.collection] = None
        documents = self.documents.setdefault(message.collection, {})
        match message:
            case Removed():
                documents.pop(message.id, None)
            case Added() | AddedBefore() | Changed():
                fields = documents.setdefault(message.id, {})
                fields.update(view.fields)
                for name in message.cleared if isinstance(message, Changed) else ():
                    fields.pop(name, None)


def compared_documents(views: Mapping[str, SeenDocuments]) -> list[JSONValue]:
    """Return for programs which users see which documents and fields.

    Args:
        views: The documents that each user sees.

    Returns:
        Each collection with its documents: for each user the names of the fields, or None if the user does not see the
        document; and the names of the fields whose values are not the same for all who see them.
    """
    collections = dict.fromkeys(name for seen in views.values() for name in seen.collections)
    found: list[JSONValue] = []
    for collection in collections:
        by_user = {user: seen.documents.get(collection, {}) for user, seen in views.items()}
        documents: list[JSONValue] = []
        for id_ in dict.fromkeys(id_ for documents_of_user in by_user.values() for id_ in documents_of_user):
            fields = {user: documents_of_user.get(id_) for user, documents_of_user in by_user.items()}
            documents.append({
                "id": id_as_json(id_),
                "fields": {user: None if seen is None else [*seen] for user, seen in fields.items()},
                "differs": _different([seen for seen in fields.values() if seen is not None]),
            })  # fmt: skip
        found.append({"collection": collection, "documents": documents})
    return found


def _different(documents: list[dict[str, JSONValue]]) -> list[JSONValue]:
    first: dict[str, str] = {}
    different: dict[str, None] = {}
    for fields in documents:
        for name, value in fields.items():
            text = json_text.dump(value)
            if first.setdefault(name, text) != text:
                different[name] = None
    return [*different]
