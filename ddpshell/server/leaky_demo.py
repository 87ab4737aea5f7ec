"""The server of `ddp demo --leaky`: a small shop that sends its clients what they should not get.

It shows what `ddp audit` finds. All secrets are invented.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ejson import EJSONValue
from .contexts import Subscription
from .meteor.accounts import User
from .meteor.collection import Collection, Cursor
from .server import Server

_USERS = {"alice": User("wonderland", email="alice@example.com", id="alice-in-wonderland")}

_DOCUMENTS: Mapping[str, tuple[Mapping[str, EJSONValue], ...]] = {
    "products": (
        {"_id": "tea", "name": "Tea", "price": 4, "tokens": 12, "rating": "4 stars @ 9 reviews"},
        {"_id": "cake", "name": "Cake", "price": 6, "digest": "d41d8cd98f00b204e9800998ecf8427e"},
    ),
    "members": (
        {
            "_id": "m1",
            "name": "Ann",
            "emails": [{"address": "ann@example.com", "verified": True}],
            "services": {
                "password": {"bcrypt": "$2b$10$" + "abcdefghijklmnopqrstuvwxyz./ABCDEFGHIJKLMNOPQRSTUVWXY"},
                "resume": {"loginTokens": [{"hashedToken": "gY2ZyUuF1vJtTqVh6m0bNw8kq0m3hN0u1b2c3d4e5f6="}]},
                "google": {"accessToken": "ya29.a0AfH6SMBx3J9k2", "scope": ["profile"]},
            },
        },
        {"_id": "m2", "name": "Bob"},
    ),
    "staff": (
        {
            "_id": "s1",
            "name": "Cleo",
            "passwordHash": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
            "note": "On Mondays write to cleo.shop@example.com.",
        },
    ),
    "orders": (
        {"_id": "o1", "total": 10, "customer": {"name": "Ann", "email": "ann@example.com"}},
        {"_id": "o2", "total": 4, "download": {"token": "f3a91c07be5d4e21"}},
    ),
    "integrations": (
        {
            "_id": "i1",
            "name": "stock",
            "privateKey": "-----BEGIN PRIVATE KEY-----\ninvented\n-----END PRIVATE KEY-----",
            "session": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzdG9jayJ9.c2lnbmF0dXJl",
        },
    ),
    "devices": ({"_id": "d1", "room": "kitchen", "wifi": {"name": "shop", "password": "tea-and-cake"}},),
}

_SETTINGS: Mapping[str, EJSONValue] = {
    "title": "The shop",
    "payment": {"currency": "EUR", "stripe": "sk_live_" + "51Invented0Key"},
    "mailUrl": "smtp://shop:" + "invented@mail.example.com:587",
}


def leaky_demo_server() -> Server:
    """Make the server. The caller must start it."""
    server = Server(users=_USERS)

    @server.publish(None)
    def settings(sub: Subscription) -> None:
        sub.added("settings", "shop", _SETTINGS)
        sub.ready()

    for name, documents in _DOCUMENTS.items():
        collection = Collection(name)
        for document in documents:
            collection.insert(document)
        _publish(server, collection)

    @server.publish("orders.mine")
    def mine(sub: Subscription) -> None:
        if sub.user_id is not None:
            sub.added("orders", "o3", {"total": 6, "owner": sub.user_id})
        sub.ready()

    return server


def _publish(server: Server, collection: Collection) -> None:
    @server.publish(collection.name)
    def publish(sub: Subscription) -> Cursor:
        return collection.find()
