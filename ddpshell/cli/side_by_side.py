"""The views of several users of one publication, for `ddp sub --as`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from ..analysis.access import SeenDocuments, compared_documents
from ..analysis.exchanges import Exchanges
from ..analysis.recording import Entry
from ..ejson import EJSONValue, JSONValue, json_text
from ..exceptions import SubscriptionError
from ..protocol.server_error import is_unknown_name
from ..text.escaping import escape_line
from .output import Console
from .process import Process
from .settings import ConnectionSettings, check_alone


def show_side_by_side(
    users: Sequence[str],
    publication: str,
    collections: Sequence[str],
    process: Process,
    observe_until_ready: Callable[[ConnectionSettings, Callable[[Entry], object]], None],
) -> None:
    """Print which users see which documents and fields.

    Args:
        users: The names of saved logins, and `anonymous`.
        publication: The name of the publication.
        collections: Show only these collections; none means all.
        process: The run of `ddp`.
        observe_until_ready: Subscribes with some settings, and passes all frames to a function until it is ready.

    Raises:
        click.UsageError: Another option chooses a user as well.
        DDPError: A user cannot log in, or the server has no such publication, or refuses it to all users.
    """
    if repeated := [user for number, user in enumerate(users) if user in users[:number]]:
        raise click.UsageError(f"--as {repeated[0]} is given twice")
    check_alone("--as", process.options, "login", "no_login", "token_file", "password_file")
    views: dict[str, SeenDocuments] = {}
    errors: dict[str, SubscriptionError] = {}
    for user in users:
        seen, exchanges = SeenDocuments(publication), Exchanges()
        views[user] = seen

        def observe(entry: Entry, seen: SeenDocuments = seen, exchanges: Exchanges = exchanges) -> None:
            seen.receive(exchanges.receive(entry))

        chosen = {"no_login": True} if user == "anonymous" else {"login": user}
        try:
            observe_until_ready(ConnectionSettings.of({**process.options, **chosen}), observe)
        except SubscriptionError as error:
            if is_unknown_name(error):
                raise
            errors[user] = error
    if len(errors) == len(users):
        raise errors[users[0]]
    compared: list[Any] = [
        found
        for found in compared_documents(views)
        if isinstance(found, dict) and (not collections or found["collection"] in collections)
    ]
    console = process.console
    if console.is_for_programs:
        shown: list[JSONValue] = [
            {"as": user, "error": None if user not in errors else str(errors[user])} for user in users
        ]
        console.tree({"publication": publication, "views": shown, "collections": compared})
        return
    for user, refusal in errors.items():
        console.note(f"the server refused {publication} to {user}: {refusal}")
    with console.paged():
        for number, found in enumerate(compared):
            if number:
                console.write("")
            _write_collection(found, users, console)


def _write_collection(found: Mapping[str, Any], users: Sequence[str], console: Console) -> None:
    documents = found["documents"]
    fields = dict.fromkeys(name for one in documents for seen in one["fields"].values() for name in seen or ())
    counts = {user: [one["fields"][user] for one in documents if one["fields"][user] is not None] for user in users}
    console.write(escape_line(f"{found['collection']}: how many documents each user sees, and with which fields"))
    rows: list[Mapping[str, EJSONValue]] = [
        {"field": "(documents)", **{_column(user): len(seen) for user, seen in counts.items()}}
    ]
    rows += [
        {"field": name, **{_column(user): sum(name in one for one in seen) for user, seen in counts.items()}}
        for name in fields
    ]
    console.table(rows)
    different: list[Mapping[str, EJSONValue]] = [
        {
            "_id": one["id"] if isinstance(one["id"], str) else json_text.dump(one["id"]),
            **{_column(user): _fields(one["fields"][user], one["differs"]) for user in users},
        }
        for one in documents
        if one["differs"] or len({str(one["fields"][user]) for user in users}) > 1
    ]
    if different:
        console.write("")
        stars = "; * marks values that differ" if any(one["differs"] for one in documents) else ""
        console.write(f"documents that are not the same for all{stars}")
        console.table(different)


def _fields(names: Sequence[str] | None, differs: Sequence[str]) -> str:
    if not names:
        return "(not seen)" if names is None else "(no fields)"
    return ", ".join([f"{name}*" if name in differs else name for name in names])


def _column(user: str) -> str:
    return f"as {user}" if user in ("field", "_id") else user
