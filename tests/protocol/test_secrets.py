from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import Custom, EJSONValue, JSONValue
from ddpshell.protocol.secrets import MASK, mask, mask_params, mask_url
from tests import strategies


def method(name: str, *params: JSONValue) -> JSONValue:
    return {"msg": "method", "id": "1", "method": name, "params": list(params)}


def result(value: JSONValue) -> JSONValue:
    return {"msg": "result", "id": "1", "result": value}


DIGEST: JSONValue = {"digest": "5e88", "algorithm": "sha-256"}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param(
            method("login", {"user": {"username": "u"}, "password": DIGEST}),
            method("login", {"user": {"username": "u"}, "password": MASK}),
            id="A1: digest",
        ),
        pytest.param(method("login", {"password": "x"}), method("login", {"password": MASK}), id="A2: plain text"),
        pytest.param(
            method("login", {"user": {"id": "u"}, "code": "123456"}),
            method("login", {"user": {"id": "u"}, "code": MASK}),
            id="A3: code",
        ),
        pytest.param(method("login", {"resume": "x"}), method("login", {"resume": MASK}), id="A4: resume"),
        pytest.param(
            method("login", {"oauth": {"credentialToken": "t", "credentialSecret": "s"}}),
            method("login", {"oauth": {"credentialToken": MASK, "credentialSecret": MASK}}),
            id="A5: oauth",
        ),
        pytest.param(
            method("login", {"selector": {"email": "e"}, "token": "A1"}),
            method("login", {"selector": {"email": "e"}, "token": MASK}),
            id="A6: passwordless",
        ),
        pytest.param(
            method("createUser", {"username": "u", "password": DIGEST, "profile": {}}),
            method("createUser", {"username": "u", "password": MASK, "profile": {}}),
            id="A7: createUser",
        ),
        pytest.param(method("changePassword", DIGEST, "x"), method("changePassword", MASK, MASK), id="A8: positions"),
        pytest.param(method("resetPassword", "t", DIGEST), method("resetPassword", MASK, MASK), id="A10: positions"),
        pytest.param(method("verifyEmail", "t"), method("verifyEmail", MASK), id="A11: position"),
        pytest.param(method("enableUser2fa", 123456), method("enableUser2fa", MASK), id="A16: position"),
        pytest.param(
            result({"id": "u", "token": "t", "tokenExpires": {"$date": 1}, "type": "password"}),
            result({"id": "u", "token": MASK, "tokenExpires": {"$date": 1}, "type": "password"}),
            id="A1: a login's result",
        ),
        pytest.param(
            result({"svg": "<svg/>", "secret": "s", "uri": "x", "a": 1}),
            result({"svg": MASK, "secret": MASK, "uri": MASK, "a": 1}),
            id="A15: a QR code and its address",
        ),
        pytest.param(result(["otpauth://totp/x?secret=s"]), result([MASK]), id="A15: the address alone"),
        pytest.param(
            {"msg": "error", "reason": "r", "offendingMessage": method("resetPassword", "t", "x")},
            {"msg": "error", "reason": "r", "offendingMessage": method("resetPassword", MASK, MASK)},
            id="S10: a message sent back",
        ),
        pytest.param(
            {
                "msg": "added",
                "collection": "users",
                "id": "u",
                "fields": {"services": {"resume": {"loginTokens": [1]}}},
            },
            {"msg": "added", "collection": "users", "id": "u", "fields": {"services": {"resume": MASK}}},
            id="a user's document",
        ),
        pytest.param(
            method("setUserPassword", "u", "x", {"force": True}),
            method("setUserPassword", MASK, MASK, {"force": True}),
            id="a method of an application",
        ),
        pytest.param({"$escape": {"token": "x"}}, {"$escape": {"token": MASK}}, id="below $escape"),
        pytest.param(method("signIn", "u", "x"), method("signIn", MASK, MASK), id="signing in by position"),
        pytest.param(method("auth.log_in", "u", 1234), method("auth.log_in", MASK, MASK), id="with a number"),
        pytest.param(
            method("accounts/sign-up", "u", {"a": "x"}),
            method("accounts/sign-up", MASK, {"a": "x"}),
            id="next to an object",
        ),
        pytest.param(method("userLogin", "x"), method("userLogin", MASK), id="the name's last word"),
        pytest.param(method("createUser", "u", "x"), method("createUser", MASK, MASK), id="a new user by position"),
        pytest.param(method("checkOtp", "1"), method("checkOtp", MASK), id="a one-time password"),
        pytest.param(
            {"msg": "sub", "id": "1", "name": "auth", "params": ["x"]},
            {"msg": "sub", "id": "1", "name": "auth", "params": [MASK]},
            id="a subscription",
        ),
        pytest.param({"url": "ws://TOKEN@host/x"}, {"url": "ws://***@host/x"}, id="a token in a URL"),
        pytest.param(["a wss://u:p@h b ws://t@i"], ["a wss://***@h b ws://***@i"], id="two tokens in a text"),
        pytest.param({"u": "https://h/?a=1&api_key=x#y"}, {"u": "https://h/?a=1&api_key=***#y"}, id="a query"),
        pytest.param(["https://h/#state=1&access_token=x"], ["https://h/#state=1&access_token=***"], id="a fragment"),
        pytest.param(
            {"html": "<a href='http://h/#/reset-password/x'>"},
            {"html": "<a href='http://h/#/reset-password/***'>"},
            id="a link with a token",
        ),
        pytest.param(["Authorization: Basic eA=="], ["Authorization: ***"], id="a header as a text"),
        pytest.param({"h": "Bearer abcdefgh"}, {"h": "Bearer ***"}, id="a header's value"),
        pytest.param({"srpVerifier": "x"}, {"srpVerifier": MASK}, id="the old protocol"),
        pytest.param({"api_key": 1, "API-Key": "x"}, {"api_key": MASK, "API-Key": MASK}, id="another spelling"),
    ],
)
def test_secrets_are_hidden_and_everything_else_is_kept(message: JSONValue, shown: JSONValue) -> None:
    assert json.loads(mask(json.dumps(message))) == shown
    assert mask(mask(json.dumps(message))) == mask(json.dumps(message))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"msg":"ping"}', id="no secrets"),
        pytest.param('{"msg": "result", "result": 1.0, "x": 1e2}', id="spaces and numbers"),
        pytest.param('{"msg":"result","result":{"passwordChanged":true}}', id="A8: the result"),
        pytest.param('{ "token": null, "secret": false, "password": "" }', id="missing and empty secrets"),
        pytest.param('{"tokenExpires":1,"passwordHint":"x","secretary":"y"}', id="names that only begin like a secret"),
        pytest.param('{"msg":"method","method":"pay","params":[{"code":"EUR"}]}', id="another kind of code"),
        pytest.param('{"error":{"code":404,"reason":"the token is bad"}}', id="words in a text"),
        pytest.param('{"msg":"method","method":"forgotPassword","params":[{"email":"e"}]}', id="A9"),
        pytest.param('{"msg":"method","method":"login","params":"x"}', id="params that are not an array"),
        pytest.param('"\\u0041"', id="an escaped letter"),
        pytest.param('{"method":"resetPassword","others":["x"],"uri":"y"}', id="lists and addresses elsewhere"),
        pytest.param(
            '{"pinned":1,"tokenizer count":2,"passenger":"x","spin":"y","tokens":512,"maxTokens":5}', id="longer words"
        ),
        pytest.param(
            '{"author":"x","authority":"y","session":"z","key":"k","zipCode":1,"statusCode":2,"side":3}',
            id="other messages",
        ),
        pytest.param('{"msg":"ping","id":"1"}', id="a ping"),
        pytest.param('{"msg":"method","method":"pinMessage","params":["x"]}', id="a message that is pinned"),
        pytest.param('{"msg":"method","method":"design.next","params":["x"]}', id="sign within a word"),
        pytest.param('{"url":"https://h/@ann","mail":"ann@example.com","to":"mailto:a@b"}', id="@ outside of a URL"),
        pytest.param("not json at all", id="not JSON"),
        pytest.param("", id="an empty text"),
    ],
)
def test_a_text_without_secrets_is_returned_unchanged(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param('{"msg":"result","result":{"token":"x', '{"msg":"result","result":{"***', id="cut off"),
        pytest.param('{"params":["x"],"method":"resetPassword"', '{"***', id="parameters first"),
        pytest.param("{\"p\\u0061ssword\":'x'", '{"p***', id="escaped"),
        pytest.param('{"method":"login","params":[{"code":"1"', '{"method":"login","***', id="a code"),
        pytest.param('{"method":"login","code":"1","token":', '{"method":"login","***', id="two secrets"),
        pytest.param("{'password':'x'}", "{'***", id="not quite JSON"),
        pytest.param('{"method":"signIn","params":["ann","hun', '{"method":"signIn","***', id="a place"),
        pytest.param('{"url":"ws://TOKEN@h', '{"url":"ws***', id="a URL"),
        pytest.param("[" * 100_000 + '"token"', "[" * 100_000 + '"***', id="too deep to follow"),
    ],
)
def test_a_text_that_is_not_json_is_cut_before_the_first_secret_name(text: str, shown: str) -> None:
    assert mask(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("localhost:3000", "localhost:3000"),
        ("wss://u:p@h/x", "wss://***@h/x"),
        ("u:p@h", "***@h"),
        ("http://u:a/b@c@h/#access_token=x", "http://***@h/#access_token=***"),
        ("h/websocket?a=1&token=x#api_key=y", "h/websocket?a=1&token=***#api_key=***"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_a_secret_with_an_escaped_name_is_hidden() -> None:
    assert mask('{"\\u0074oken":"x"}') == '{"token":"***"}'


SECRET_NAMES = ["password", "digest", "token", "resume", "credentialToken", "credentialSecret", "secret", "newPassword"]
SECRET_NAMES += [
    "authorization",
    "Authorization",
    "Proxy-Authorization",
    "pass",
    "userPass",
    "db_pass",
    "otp",
    "otpCode",
]
SECRET_NAMES += ["userOTP", "totp", "pin", "PIN", "userPin", "pin_code", "sessionId", "session_id", "SESSION-ID", "sid"]
SECRET_NAMES += [
    "Cookie",
    "Set-Cookie",
    "cookies",
    "connect.sid",
    "accessToken",
    "refresh-token",
    "X-Api-Key",
    "passcode",
]
SECRET_NAMES += [
    "credential",
    "credentials",
    "secretKey",
    "access_key",
    "jwt",
    "x-auth-token",
    "passwordHash",
    "password2",
]
SECRET_NAMES += [
    "confirmPassword",
    "verificationCode",
    "backup_codes",
    "authCode",
    "apikey",
    "auth",
    "sms-code",
    "refreshTokens",
]
SECRET_NAMES += ["srp", "access_token", "client-secret", "API_KEY", "pwd", "s_r_p", "private-_key", "Passphrase"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_each_secret_name_is_recognized(name: str) -> None:
    assert "sesame" not in mask(json.dumps({name: ["sesame-4711"], "x": {name: "sesame"}}))


@given(strategies.json_trees(max_leaves=6), st.sampled_from(SECRET_NAMES), st.data())
def test_a_secret_is_hidden_at_any_depth(tree: JSONValue, name: str, data: st.DataObject) -> None:
    frame: Any = {name: ["sesame-4711"]}
    for _ in range(data.draw(st.integers(0, 4))):
        key = data.draw(strategies.keys())
        # Hypothesis also draws constants of this file.
        assume("sesame" not in key and "sesame" not in json.dumps(tree))
        frame = data.draw(st.sampled_from([[tree, frame], {key: frame, "z": tree}, {"method": "m", "params": [frame]}]))
    text = json.dumps(frame)
    assert "sesame" not in mask(text)
    assert "sesame" not in mask(text[:-1])


@given(strategies.json_trees(), strategies.texts())
def test_masking_never_fails_and_keeps_json_json(tree: JSONValue, tail: str) -> None:
    text = json.dumps(tree)
    json.loads(mask(text))
    mask(text + tail)


@given(strategies.ejson_values())
def test_params_without_secrets_are_returned_unchanged(value: EJSONValue) -> None:
    assume("otpauth" not in repr(value))
    params = [value]
    assert mask_params("m", params) is params or MASK in ejson.dumps(mask_params("m", params))


def test_the_values_of_a_call_are_masked_like_its_message() -> None:
    params: list[EJSONValue] = [{"password": b"x", "n": (1, {"token": 5})}, Custom("t", {"secret": "x"})]
    assert mask_params("m", params) == [{"password": MASK, "n": [1, {"token": MASK}]}, Custom("t", {"secret": MASK})]
    assert params[0] == {"password": b"x", "n": (1, {"token": 5})}
    assert mask_params("login", [{"Code": "1"}]) == [{"Code": MASK}]
    assert mask_params("resetPassword", ["t", None]) == [MASK, None]
