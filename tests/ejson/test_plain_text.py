"""Texts that can be printed as they are have the values that reading and encoding gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson.convert import loss_note
from ddpshell.ejson.json_text import dump, parse
from ddpshell.ejson.plain_text import plain_texts
from tests.strategies import json_trees


def encoded(text: bytes) -> str:
    """Read and encode the value, which also says whether a note on it is due."""
    value = ejson.decode(parse(text))
    assert loss_note([value], "here") is None
    # 1, 1.0 and True are equal, but their texts are not.
    return repr(json.loads(dump(ejson.encode(value))))


@given(st.lists(st.tuples(json_trees(max_leaves=8), st.booleans(), st.sampled_from([None, 1])), max_size=4))
def test_a_plain_text_has_the_value_that_reading_and_encoding_gives(trees: list[tuple[Any, bool, int | None]]) -> None:
    texts = [
        json.dumps(tree, ensure_ascii=is_ascii, indent=indent).replace("\ud800", "\\ud800").encode()
        for tree, is_ascii, indent in trees
    ]
    for text, plain in zip(texts, plain_texts(texts), strict=True):
        if plain is not None:
            assert repr(json.loads(bytes(plain))) == encoded(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1", "1"),
        ("1e2", "1e2"),
        (" [ 1 ,\n2 ] ", "[1,2]"),
        ('"a, b : c"', '"a, b : c"'),
        ('"1e400 -0"', None),
        ("-0.5", "-0.5"),
        ("-0", None),
        ("[-0.0]", None),
        ('{"a":-0e1}', None),
        ("[-1e-400]", None),
        ("-1E-0099", None),
        ("-1e-99", "-1e-99"),
        ("1e99", "1e99"),
        ("1e100", None),
        ("1E+400", None),
        ("999999999999999", "999999999999999"),
        ("9007199254740993", None),
        ('{"$date":0}', '{"$date":0}'),
        ('{"$date":1767323045678}', '{"$date":1767323045678}'),
        ('{"$date":1767323045678.5}', None),
        ('[{"$date":1767323045678},"$"]', None),
        ('{"$type":"oid","$value":"0123456789abcdef01234567"}', '{"$type":"oid","$value":"0123456789abcdef01234567"}'),
        ('{"$binary":"AQ=="}', None),
        ('{"\\u0024date":0}', None),
        ('"\\ud800"', None),
        ("[" * 100_000 + "]" * 100_000, None),
    ],
)
def test_a_text_is_plain_if_no_part_of_it_needs_another_form(text: str, plain: str | None) -> None:
    expected = None if plain is None else plain.encode()
    for others in ([], [b"{}"], [b'"\\ud800"']):
        found = plain_texts([text.encode(), *others])[0]
        assert (None if found is None else bytes(found)) == expected
