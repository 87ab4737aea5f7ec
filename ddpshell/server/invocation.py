"""What a method may know of its call, and do to it: the `this` of a method that asks for it."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from ..protocol.random_stream import RandomStream

if TYPE_CHECKING:
    from .contexts import ConnectionHandle

__all__ = ["MethodInvocation", "UserSetter", "current_invocation"]

#: The call that this thread, or this task, is running for; None outside any.
current_invocation: contextvars.ContextVar[MethodInvocation | None] = contextvars.ContextVar(
    "current_invocation", default=None
)


class UserSetter(Protocol):
    """Where `set_user_id` ends: the caller's session."""

    def set_user(self, user_id: str | None) -> None:
        """Change the user, and run all publications again, before returning (S66)."""
        ...

    def set_user_async(self, user_id: str | None) -> Awaitable[None]:
        """Do the same on the event loop."""
        ...


class MethodInvocation:
    """One running method. A method gets it as its first argument if it calls that `this`.

    Attributes:
        name: The method's name.
        user_id: Who calls, or None.
        connection: The caller's connection, or None where the server itself calls.
        random_seed: The client's seed, or None.
    """

    def __init__(
        self,
        name: str,
        *,
        user_id: str | None = None,
        connection: ConnectionHandle | None = None,
        random_seed: str | None = None,
        unblock: Callable[[], None] = lambda: None,
        session: UserSetter | None = None,
        parent: MethodInvocation | None = None,
    ) -> None:
        self.name = name
        self.user_id = user_id
        self.connection = connection
        self.random_seed = random_seed
        self._unblock = unblock
        self._is_unblocked = False
        self._session = session
        self._parent = parent
        self._stream: RandomStream | None = None

    def unblock(self) -> None:
        """Let the client's next message be handled at once, while this one goes on (S16)."""
        self._is_unblocked = True
        self._unblock()

    def set_user_id(self, user_id: str | None) -> None:
        """Make the client this user, and run its publications again; returns when they have (S66).

        Raises:
            RuntimeError: After `unblock()`, outside a client's call, or on the event loop, where an `async def`
                method awaits `set_user_id_async` instead.
            TypeError: `user_id` is neither a string nor None.
        """
        self._changing_user(user_id).set_user(user_id)
        self.user_changed(user_id)

    async def set_user_id_async(self, user_id: str | None) -> None:
        """Do what `set_user_id` does, in an `async def` method."""
        await self._changing_user(user_id).set_user_async(user_id)
        self.user_changed(user_id)

    @property
    def random_stream(self) -> RandomStream | None:
        """What the client's seed stands for, so that both ends make the same ids (I5); None without a seed."""
        if self._stream is None and self.random_seed is not None:
            self._stream = RandomStream(self.random_seed)
        return self._stream

    def nested(self, name: str) -> MethodInvocation:
        """Make the invocation of a method that this one calls on the server itself (S37)."""
        stream = self.random_stream
        return MethodInvocation(
            name,
            user_id=self.user_id,
            connection=self.connection,
            random_seed=stream.method_seed(name) if stream is not None else None,
            unblock=self.unblock,
            session=self._session,
            parent=self,
        )

    @property
    def is_unblocked(self) -> bool:
        """Whether `unblock()` was called, here or by the method that called this one."""
        return self._is_unblocked or (self._parent is not None and self._parent.is_unblocked)

    def _changing_user(self, user_id: str | None) -> UserSetter:
        if user_id is not None and not isinstance(user_id, str):
            raise TypeError(f"a user id is a string or None, not {type(user_id).__name__}")  # S67
        if self._session is None:
            raise RuntimeError("set_user_id() was called outside a client's method call")
        if self.is_unblocked:
            raise RuntimeError("set_user_id() must not be called after unblock()")  # S16
        return self._session

    def user_changed(self, user_id: str | None) -> None:
        """Take note of a new user, here and in the methods that called this one."""
        self.user_id = user_id
        if self._parent is not None:
            self._parent.user_changed(user_id)
