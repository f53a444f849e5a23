"""What is said to a reader, in more languages than one: messages with places for values, and their catalogues.

`phrase` and `counted` mark a message where it is made. It is an English string from the start, so that JSON, logs and
the terminal need no more; its parts are kept, so that a report can say it in another language. `tr` says one at once,
in the language that `speaking` chose.

Source
------
Catalogues are those of GNU gettext, https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from typing import Any

from .errors import unknown_name

LANGUAGES = {"en": "English", "ko": "한국어"}
"""By code; messages are written in the first."""

_spoken: ContextVar[str] = ContextVar("language", default="en")


class Message(str):
    """An English sentence, or a part of one, that can be said in another language.

    `template` has places in braces for `values`, which may be messages themselves. `singular` is the template for one,
    where the message counts its value `n`.

    Example
    -------
    >>> found = Message("Use {rung}.", {"rung": "svm"})
    >>> found, found.template
    ('Use svm.', 'Use {rung}.')
    """

    template: str
    values: Mapping[str, Any]
    singular: str | None

    def __new__(cls, template: str, values: Mapping[str, Any] | None = None, singular: str | None = None) -> Message:
        """Fill the places in English."""
        values = dict(values or {})
        chosen = singular if singular is not None and values["n"] == 1 else template
        made = super().__new__(cls, chosen.format(**_written(values)))
        made.template, made.values, made.singular = template, values, singular
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the parts when the message crosses a process border."""
        return type(self), (self.template, self.values, self.singular)

    def to_json(self) -> dict[str, Any]:
        """The parts, for a file that a report in another language is drawn from."""
        values = {key: one.to_json() if isinstance(one, Message) else one for key, one in self.values.items()}
        found: dict[str, Any] = {"template": self.template, "values": values}
        return found if self.singular is None else {**found, "singular": self.singular}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Message:
        """The message again."""
        values = {key: cls.from_json(one) if isinstance(one, dict) else one for key, one in found["values"].items()}
        return cls(found["template"], values, found.get("singular"))


def phrase(template: str, /, **values: Any) -> Message:
    """A message, its template marked for the catalogues."""
    return Message(template, values)


def counted(n: int, one: str, many: str, /, **values: Any) -> Message:
    """A message that counts, its templates marked for the catalogues; `{n}` stands for the number.

    Example
    -------
    >>> counted(1, "{n} image", "{n} images"), counted(1200, "{n} image", "{n} images")
    ('1 image', '1,200 images')
    """
    return Message(many, {**values, "n": n}, one)


def join(messages: Sequence[str], between: str = " ") -> Message:
    """Several messages as one, such as the sentences of a paragraph."""
    places = {f"part_{i}": message for i, message in enumerate(messages)}
    return Message(between.join(f"{{{name}}}" for name in places), places)


def listed(messages: Sequence[str]) -> Message:
    """Two or more with «and» before the last.

    Example
    -------
    >>> listed(["svm", "nn", "dnn"])
    'svm, nn and dnn'
    """
    if len(messages) == 1:
        return join(messages)
    return phrase("{most} and {last}", most=join(messages[:-1], ", "), last=messages[-1])


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Say everything within in this language.

    Raises
    ------
    OptionError
        No such language.
    """
    if language not in LANGUAGES:
        raise unknown_name("language", language, LANGUAGES)
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """The code of the language that is spoken now."""
    return _spoken.get()


def tr(template: str, /, **values: Any) -> str:
    """Say at once, in the language spoken; a message among the values is translated too.

    Example
    -------
    >>> with speaking("ko"):
    ...     tr("Use {rung}.", rung="svm")  # no such entry stands in the catalogue
    'Use svm.'
    """
    return translate(Message(template, values))


def translate(text: str) -> str:
    """A message in the language spoken; plain text as it is."""
    if not isinstance(text, Message) or _spoken.get() == "en":
        return str(text)
    return template_of(text).format(**_written({key: _translated(one) for key, one in text.values.items()}))


def template_of(message: Message) -> str:
    """The template of the language spoken, its places empty."""
    catalogue = _catalogue(_spoken.get())
    if message.singular is not None:
        return catalogue.ngettext(message.singular, message.template, message.values["n"])
    return catalogue.gettext(message.template) if message.template else ""


def message_of(entry: Mapping[str, Any], key: str = "text") -> str:
    """What a file of the study says under `key`, a message again where its parts were kept."""
    parts = entry.get("said", {}).get(key)
    return Message.from_json(parts) if parts else str(entry[key])


def of_record(entry: Mapping[str, Any], key: str = "text") -> str:
    """What a file of the study says under `key`, in the language spoken."""
    return translate(message_of(entry, key))


def from_text(text: str) -> Message:
    """A message without places that has come back from a cache or another process as its text alone.

    It is translated if `phrase` marks the same text somewhere.
    """
    return Message(text.replace("{", "{{").replace("}", "}}"))


def parts_of(**texts: str) -> dict[str, Any]:
    """The entry `said` of a record: the parts of those texts that are messages."""
    return {key: text.to_json() for key, text in texts.items() if isinstance(text, Message)}


def _translated(value: Any) -> Any:
    return translate(value) if isinstance(value, Message) else value


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Whole numbers with their thousands apart."""
    return {
        key: f"{one:,}" if isinstance(one, int) and not isinstance(one, bool) else one for key, one in values.items()
    }


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    with (resources.files("medladder") / "catalogues" / f"{language}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)
