"""Code of users, which must type-check in strict mode. It is not run, unlike the examples of the README."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any, assert_never, assert_type

import ddpshell
from ddpshell import ejson, events


def calls(client: ddpshell.Client) -> None:
    call = client.call("add", 1, 2.5)
    assert_type(call, ddpshell.MethodCall)
    assert_type(call.result(), Any)  # only the server knows the shape of the result
    assert_type(call.result(timeout=5), Any)
    client.apply("add", [1, 2], wait=True, retry=False, return_at_result=True, random_seed="seed")
    call.add_done_callback(lambda done: print(done.result()))
    assert_type(call.cancel(), bool)


def every_kind_of_value(client: ddpshell.Client) -> None:
    client.call("echo", None, True, 1, 1.5, "text", b"bytes", dt.datetime.now(dt.UTC), decimal.Decimal("1.10"))
    client.call(
        "echo", ejson.Date(0), ejson.RegExp("a", "i"), ejson.ObjectID("0" * 24), ejson.Custom("Point", {"x": 1})
    )
    numbers: list[int] = [1, 2]
    flags: dict[str, bool] = {"done": False}
    client.call("echo", numbers, flags, {"deep": [{"er": (1, 2)}]})
    client.call("echo", object())  # type: ignore[arg-type]  # no value of EJSON


def results_are_told_apart(client: ddpshell.Client) -> str:
    match client.call("find").result():
        case str(text):
            return text
        case {"title": str(title)}:
            return title
        case [*items]:
            return str(len(items))
        case _:
            return ""


def errors(client: ddpshell.Client) -> str:
    try:
        client.call("fail").result(timeout=5)
    except ddpshell.MethodError as error:
        # Only the server knows the types of these values.
        assert_type(error.error, Any)
        assert_type(error.reason, Any)
        return str(error)
    except (ddpshell.OutcomeUnknown, TimeoutError, ValueError) as error:
        return str(error)
    except ddpshell.DDPError as error:
        return str(error)
    return ""


def subscriptions(client: ddpshell.Client) -> None:
    tasks = client.subscribe("tasks", {"done": False})
    assert_type(tasks, ddpshell.Subscription)
    assert_type(tasks.ready.result(timeout=5), None)
    assert_type(tasks.error, ddpshell.DDPError | None)
    tasks.stop()


def state(client: ddpshell.Client) -> str:
    client.wait_connected(timeout=5)
    status = client.status
    assert_type(status.retry_in, float | None)
    match status.state:
        case ddpshell.ConnectionState.CONNECTED:
            return status.session or ""
        case ddpshell.ConnectionState.CONNECTING | ddpshell.ConnectionState.WAITING:
            return f"attempt {status.retry_count}"
        case ddpshell.ConnectionState.OFFLINE | ddpshell.ConnectionState.FAILED:
            return str(status.error)
        case never:  # pyright: ignore[reportUnnecessaryComparison]
            assert_never(never)


def observers(client: ddpshell.Client) -> None:
    def show(event: events.Event) -> None:
        match event:
            case events.FrameSent(text) | events.FrameReceived(text):
                assert_type(text, str)
            case events.Waiting(seconds):
                assert_type(seconds, float)
            case _:
                pass

    forget = client.on_event(show)
    assert_type(forget(), None)


def options() -> None:
    with ddpshell.Client(
        "wss://app.example.com",
        reconnect=False,
        connect_timeout=3,
        heartbeat_interval=30,
        headers=[("Cookie", "a=b")],
        origin="https://app.example.com",
        tls=ddpshell.TLSOptions(cacert="ca.pem", cert="me.pem", passphrase="secret"),
        proxy="https://proxy.example.com:3129",
        ip_version=6,
        user_agent="mine/1",
        debug=True,
    ) as client:
        assert_type(client, ddpshell.Client)


def pyddp() -> None:
    client = ddpshell.ConcurrentDDPClient("ws://127.0.0.1:3000/websocket", debug=False)
    client.start()
    message = client.call("upper", "Hello, World!").get(timeout=5)
    assert_type(message.has_error(), bool)
    assert_type(message.has_result(), bool)
    assert_type(message.result, ejson.EJSONValue)
    client.stop()
    client.join()
