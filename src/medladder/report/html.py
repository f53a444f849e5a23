"""How templates become HTML: the words, numbers and messages that every page of medladder may use."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..language import Message, counted, of_record, spoken, template_of, translate
from . import wording


def render(template: str, names: dict[str, Any], *, package: str = "medladder.report") -> str:
    """A page of the `templates/` of a package, or of the report's, with these names, in the language spoken."""
    return _environment(package, spoken()).get_template(template).render(names)


@cache
def _environment(package: str, language: str) -> jinja2.Environment:
    """Templates are compiled once a language: what they call for the language itself is held in `globals`."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("medladder.report")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        lstrip_blocks=True,
        finalize=_say,
    )
    for write in (
        wording.score,
        wording.difference,
        wording.span,
        wording.count,
        wording.ratio,
        wording.seconds,
        wording.percent,
        wording.whole_percent,
        wording.date,
        wording.say_group,
        wording.keep_together,
        of_record,
    ):
        environment.filters[write.__name__] = write
    environment.globals.update(tr=_tr, counted=_counted, language=language, split_headline=wording.split_headline)
    return environment


def _say(value: Any) -> Any:
    """A message that a template prints is said in the language spoken."""
    return translate(value) if isinstance(value, Message) else value


def _tr(template: str, /, **values: Any) -> Markup:
    """A sentence of a template, which may hold tags; what fills its places is escaped."""
    return _filled(Message(template, values))


def _counted(n: int, one: str, many: str, /, **values: Any) -> Markup:
    return _filled(counted(n, one, many, **values))


def _filled(message: Message) -> Markup:
    said = {key: escape(_written(value)) for key, value in message.values.items()}
    return Markup(wording.keep_percent(template_of(message))).format(**said)


def _written(value: Any) -> Any:
    return wording.count(value) if isinstance(value, int) and not isinstance(value, bool) else _say(value)
