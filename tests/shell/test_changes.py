"""A change of a document is one line, and says all that changed."""

from __future__ import annotations

import pytest
from hypothesis import given

from ddpshell.client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ddpshell.protocol.ejson import ObjectID
from ddpshell.shell.changes import change_line
from ddpshell.shell.rendering import Limits
from ddpshell.shell.style import plain
from tests.shell.test_escaping import harmless
from tests.strategies import hostile_text

OID = ObjectID("507f1f77bcf86cd799439011")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(DocumentAdded("tasks", "a", {"n": 1}), '+ tasks/a {"n": 1}', id="added"),
        pytest.param(DocumentAdded("tasks", "a", {}), "+ tasks/a {}", id="added without fields"),
        pytest.param(DocumentChanged("tasks", "a", {"done": True}, ()), '~ tasks/a {"done": true}', id="changed"),
        pytest.param(DocumentChanged("t", "a", {"n": 2}, ("x", "y z")), '~ t/a {"n": 2} without x, "y z"', id="both"),
        pytest.param(DocumentChanged("t", "a", {}, ("x",)), "~ t/a without x", id="cleared"),
        pytest.param(DocumentRemoved("tasks", "a"), "- tasks/a", id="removed"),
        pytest.param(DocumentRemoved("tasks", OID), '- tasks/ObjectID("507f1f77bcf86cd799439011")', id="an ObjectID"),
        pytest.param(DocumentRemoved("tasks", "a b"), '- tasks/"a b"', id="an id with a space"),
        pytest.param(DocumentRemoved("tasks", ""), '- tasks/""', id="an empty id"),
        pytest.param(DocumentMoved("tasks", "a", "b"), "> tasks/a moved before b", id="moved"),
        pytest.param(DocumentMoved("tasks", "a", None), "> tasks/a moved to the end", id="moved to the end"),
    ],
)
def test_a_change_is_a_line(event: DocumentEvent, line: str) -> None:
    assert plain(change_line(event, Limits())) == line


def test_a_large_document_is_cut() -> None:
    event = DocumentAdded("t", "a", {"text": "x" * 1000})
    assert plain(change_line(event, Limits(characters=5))) == '+ t/a {"text": "xxxxx" ... 995 more characters}'


@given(hostile_text(), hostile_text())
def test_no_name_breaks_the_line(collection: str, name: str) -> None:
    line = plain(change_line(DocumentChanged(collection, name, {name: name}, (name,)), Limits()))
    assert harmless(line)
    assert "\n" not in line
