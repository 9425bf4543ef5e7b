"""PKCS #11 tokens: sessions that are kept, shared between threads, and opened anew when they are lost.

    token = Token("/usr/lib/softhsm/libsofthsm2.so", label="Example", pin=pin_file(Path("/etc/smime/pin")))
    key = TokenKey(token, "pkcs11:id=%01")      # a PrivateKey (pkcs11_keys.py)

Does: log in once, lend sessions to callers, notice that session, login or token are gone, and try again with new ones.
A PIN that the token refuses is never tried again by this object: three wrong ones lock a card. Does not: keep the PIN
(it is asked for when it is needed), or survive a fork: a child opens its own.

`concurrent`: python-pkcs11 initialises modules without telling them that threads will come, and PKCS #11 (section 5.4)
then lets them be unsafe in threads. So by default one call at a time goes to a module, whichever token it is for. More
is for modules that are safe all the same, such as p11-kit-proxy.so.

Standards: PKCS #11 2.40 and 3.1.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import pkcs11

from smime_engine.certificate import Certificate
from smime_engine.errors import ConfigurationError, MalformedMessage, SourceUnavailable
from smime_engine.sources.pkcs11_uri import Pkcs11Uri

__all__ = ["Borrowed", "Token", "pin_file", "token_of"]

T = TypeVar("T")

_TRIES = 3
"""A session that was kept; a new one; one after the module was initialised anew, as some want after a card is back."""

_REFUSED_PIN = (
    pkcs11.PinIncorrect,
    pkcs11.PinLocked,
    pkcs11.PinExpired,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.UserPinNotInitialized,
)
_LOST = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.UserNotLoggedIn,
    pkcs11.DeviceRemoved,
    pkcs11.TokenNotPresent,
    pkcs11.TokenNotRecognised,
    pkcs11.SlotIDInvalid,
    pkcs11.NoSuchToken,
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
)
"""Errors that only a new session can help against."""

_DOUBTFUL = (pkcs11.GeneralError, pkcs11.DeviceError, pkcs11.DeviceMemory, pkcs11.FunctionFailed, pkcs11.HostMemory)
"""Errors that tokens give for lost sessions and for bad padding alike: a question to the session tells."""


class Borrowed:
    """A session on loan to one caller, and the objects that were looked up through it."""

    __slots__ = ("_objects", "generation", "session")

    def __init__(self, session: Any, generation: int) -> None:
        self.session = session
        self.generation = generation
        self._objects: dict[object, Any] = {}

    def found(self, key: object, look: Callable[[Any], Any]) -> Any:
        """An object of the token, looked up once for each session."""
        if key not in self._objects:
            self._objects[key] = look(self.session)
        return self._objects[key]

    def answers(self) -> bool:
        """Whether the session still works."""
        try:
            next(iter(self.session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY})), None)
        except pkcs11.PKCS11Error:
            return False
        return True


class _Module:
    """A loaded module: one for each path in this process, as PKCS #11 wants it."""

    def __init__(self, path: str, concurrent: int) -> None:
        self.path = path
        self.gate = threading.BoundedSemaphore(concurrent)
        self.generation = 0
        self._lock = threading.Lock()
        self._library: Any = None

    def token(self, label: str, serial: str) -> Any:
        with self._lock:
            if self._library is None or not self._library.initialized:
                self._library = _load(self.path)
                self.generation += 1
            wanted = {"token_label": label or None, "token_serial": serial.encode() or None}
            return self._library.get_token(**wanted)

    def reload(self, generation: int) -> None:
        """Initialise the module anew, unless somebody did since `generation`. Every session of it ends."""
        with self._lock:
            if generation != self.generation or self._library is None:
                return
            self.generation += 1
            try:
                if self._library.initialized:
                    self._library.finalize()
            except pkcs11.PKCS11Error:
                pass  # not initialised any more: what was wanted
            _load(self.path)


_modules: dict[str, _Module] = {}
_modules_lock = threading.Lock()


def _module(path: str, concurrent: int) -> _Module:
    with _modules_lock:
        if path not in _modules:
            _modules[path] = _Module(path, concurrent)
        return _modules[path]


def _load(path: str) -> Any:
    try:
        return pkcs11.lib(path)
    except pkcs11.PKCS11Error as error:
        reason = str(error) or type(error).__name__
        raise ConfigurationError(f"the PKCS #11 module {path} cannot be loaded: {reason}") from error


class Token:
    """One token. Threads share it; close it, or use it in a `with` block."""

    def __init__(
        self,
        module: str,
        *,
        label: str = "",
        serial: str = "",
        pin: Callable[[], str] | None = None,
        concurrent: int = 1,
    ) -> None:
        """Name a token by label or serial number; nothing is opened yet.

        `pin` is asked whenever the token wants a login; None for tokens without one, or with a keypad of their own.
        """
        self._module = _module(module, concurrent)
        self._label = label
        self._serial = serial
        self._pin = pin
        self._refused = ""
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._login: Borrowed | None = None
        self._idle: list[Borrowed] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Token {self.name}>"

    @property
    def name(self) -> str:
        """The token's label or serial number, for messages."""
        return self._label or self._serial or self._module.path

    def certificates(self) -> tuple[tuple[bytes, str, Certificate], ...]:
        """The certificates on the token -> (identifier, label, certificate) each; damaged ones are left out."""
        return self.call(lambda borrowed: tuple(_certificates(borrowed.session)))

    def call(self, act: Callable[[Borrowed], T]) -> T:
        """Run `act` with a session; where the session turns out to be lost, again with a new one.

        So `act` may run several times. Its other errors come through: those of python-pkcs11, and the engine's. Raises
        SourceUnavailable where the token cannot be reached, ConfigurationError where it refuses the PIN.
        """
        reason: _Lost | None = None
        with self._module.gate:
            for _ in range(_TRIES):
                try:
                    return self._once(act)
                except _Lost as lost:
                    reason = lost
        raise SourceUnavailable(f"the token {self.name} does not answer ({reason}); try again") from reason

    def write(self, act: Callable[[Any], T]) -> T:
        """Run `act` once with a session of its own that may write to the token."""

        def with_own(_: Borrowed) -> T:
            session = self._module.token(self._label, self._serial).open(rw=True)
            try:
                return act(session)
            finally:
                session.close()

        return self.call(with_own)

    def close(self) -> None:
        """Log out and close all sessions."""
        with self._lock:
            sessions = [*self._idle, *([self._login] if self._login is not None else [])]
            self._idle, self._login = [], None
        with self._module.gate:
            for borrowed in sessions:
                if borrowed.generation == self._module.generation:
                    _close(borrowed)

    # --- sessions

    def _once(self, act: Callable[[Borrowed], T]) -> T:
        borrowed = self._borrow()
        try:
            result = act(borrowed)
        except _LOST as error:
            self._forget(borrowed)
            raise _Lost(type(error).__name__) from error
        except pkcs11.PKCS11Error as error:
            # A bare PKCS11Error is "not initialised": somebody else has finalised the module.
            doubtful = isinstance(error, _DOUBTFUL) or type(error) is pkcs11.PKCS11Error
            if doubtful and not borrowed.answers():
                self._forget(borrowed)
                raise _Lost(type(error).__name__) from error
            self._return(borrowed)
            raise
        except BaseException:
            self._return(borrowed)
            raise
        self._return(borrowed)
        return result

    def _borrow(self) -> Borrowed:
        if os.getpid() != self._process:
            raise ConfigurationError("a PKCS #11 token does not survive a fork: open it in the child")
        with self._lock:
            while self._idle:
                borrowed = self._idle.pop()
                if borrowed.generation == self._module.generation:
                    return borrowed
            return self._open()

    def _open(self) -> Borrowed:
        """Open a session; the first one logs in, and stays open, as the login lasts as long as a session does."""
        try:
            with self._reported():
                token = self._module.token(self._label, self._serial)
                generation = self._module.generation
                if self._login is None or self._login.generation != generation:
                    self._login = Borrowed(self._log_in(token), generation)
                return Borrowed(token.open(), generation)
        except _Lost:
            self._login = None
            self._module.reload(self._module.generation)
            raise

    def _log_in(self, token: Any) -> Any:
        if self._pin is None:
            return token.open()
        if self._refused:
            raise ConfigurationError(self._refused)
        try:
            return token.open(user_pin=self._pin())
        except pkcs11.UserAlreadyLoggedIn:  # through another Token of this process
            return token.open()
        except _REFUSED_PIN as error:
            self._refused = (
                f"the token {self.name} refuses the PIN ({type(error).__name__}); it is not tried again, "
                "as further wrong ones would lock the token"
            )
            raise ConfigurationError(self._refused) from None  # the cause might be shown with its arguments

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except pkcs11.NoSuchToken as error:
            raise _Lost("no such token") from error
        except pkcs11.MultipleTokensReturned as error:
            raise ConfigurationError(f"several tokens are called {self.name}: name one by its serial number") from error
        except pkcs11.PKCS11Error as error:
            raise _Lost(type(error).__name__) from error

    def _return(self, borrowed: Borrowed) -> None:
        with self._lock:
            if borrowed.generation == self._module.generation:
                self._idle.append(borrowed)

    def _forget(self, lost: Borrowed) -> None:
        """Drop all sessions: where one is lost the others are, or their login is."""
        with self._lock:
            sessions = [lost, *self._idle, *([self._login] if self._login is not None else [])]
            self._idle, self._login = [], None
        for borrowed in sessions:
            if borrowed.generation == self._module.generation:
                _close(borrowed)


class _Lost(Exception):
    """A session is of no use any more; never leaves this module."""


def _close(borrowed: Borrowed) -> None:
    try:
        borrowed.session.close()
    except pkcs11.PKCS11Error:
        return  # gone already


def _certificates(session: Any) -> Iterator[tuple[bytes, str, Certificate]]:
    wanted = {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
        pkcs11.Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
    }
    for found in session.get_objects(wanted):
        try:
            certificate = Certificate.parse(found[pkcs11.Attribute.VALUE])
        except MalformedMessage:
            continue
        yield found[pkcs11.Attribute.ID], found[pkcs11.Attribute.LABEL], certificate


def pin_file(path: Path) -> Callable[[], str]:
    """A PIN that is read, when it is needed, from the first line of a file that its owner alone may read."""

    def read() -> str:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"{path}: others may read this PIN; `chmod 600 {path}`")
            return file.read(1_024).split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace")

    return read


def token_of(uri: Pkcs11Uri, *, pin: Callable[[], str] | None = None, concurrent: int = 1) -> Token:
    """The token that a URI with a module names; `pin` where the URI has no source of it."""
    if not uri.module_path:
        raise ConfigurationError("name the PKCS #11 module: pkcs11:token=…?module-path=/usr/lib/….so")
    if uri.pin_source:
        kind, _, name = uri.pin_source.partition(":")
        if kind != "file" or not name:
            raise ConfigurationError("a PIN comes from a file: pin-source=file:PATH")
        pin = pin_file(Path(name.removeprefix("//")))
    return Token(uri.module_path, label=uri.token, serial=uri.serial, pin=pin, concurrent=concurrent)
