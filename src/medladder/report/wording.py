"""Numbers as the page writes them: three digits for a score, a sign for a difference, commas in counts."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from markupsafe import Markup, escape

from ..evidence.reading import UNITS as UNITS
from ..language import phrase, speaking, spoken, tr, translate  # noqa: F401 (speaking is for the examples)
from ..record.grouping import UNNAMED

ABSENT = "–"
_MINUS = "\N{MINUS SIGN}"
_LARGE = {"en": ((" billion", 1e9), (" million", 1e6)), "ko": (("억", 1e8), ("만", 1e4))}
_UNNAMED = phrase("(none)")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def score(value: float) -> str:
    """A score between 0 and 1.

    Example
    -------
    >>> score(0.9564)
    '0.956'
    """
    return f"{value:.3f}"


def difference(value: float) -> str:
    """A signed difference of scores; what rounds to nothing has no sign.

    Example
    -------
    >>> difference(0.0214), difference(-0.0214), difference(-0.0001)
    ('+0.021', '−0.021', '0.000')
    """
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text.replace("-", _MINUS)


def span(metric: dict[str, Any], *, signed: bool = False) -> str:
    """The two ends of an interval; a dash would be taken for a sign between differences.

    Example
    -------
    >>> span({"low": 0.88, "high": 0.93}), span({"low": -0.01, "high": 0.03}, signed=True)
    ('0.880–0.930', '−0.010 to +0.030')
    """
    if signed:
        return tr("{low} to {high}", low=difference(metric["low"]), high=difference(metric["high"]))
    return f"{score(metric['low'])}–{score(metric['high'])}"


def estimate_with_span(metric: dict[str, Any]) -> str:
    """An estimate and its interval in one line.

    Example
    -------
    >>> estimate_with_span({"estimate": 0.91, "low": 0.88, "high": 0.93})
    '0.910 (0.880–0.930)'
    """
    return f"{score(metric['estimate'])} ({span(metric)})"


def count(value: float) -> str:
    """A whole number with its thousands apart.

    Example
    -------
    >>> count(50176)
    '50,176'
    """
    return f"{round(value):,}"


def large(value: float) -> str:
    """A count to three digits, its size in words.

    Example
    -------
    >>> large(785), large(218465), large(67_126_337), large(1e9)
    ('785', '218,000', '67.1 million', '1 billion')
    >>> with speaking("ko"):
    ...     large(218465), large(67_126_337), large(1.5e9)
    ('21.8만', '6,710만', '15억')
    """
    rounded = float(f"{value:.3g}")
    for word, size in _LARGE[spoken()]:
        if rounded >= size:
            return f"{rounded / size:,.6g}{word}"
    return f"{rounded:,.0f}"


def ratio(value: float) -> str:
    """How many times, or how many for each: two digits below ten, whole numbers above.

    Example
    -------
    >>> ratio(0.0131), ratio(1.308), ratio(364.1), ratio(1820.5)
    ('0.013', '1.3', '364', '1,820')
    """
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share from 0 to 1, to a tenth where it is small, to a hundredth below that.

    Example
    -------
    >>> percent(0.3176), percent(0.0114), percent(0.0004)
    ('32 %', '1.1 %', '0.04 %')
    >>> with speaking("ko"):
    ...     percent(0.3176)
    '32%'
    """
    space = "" if spoken() == "ko" else " "
    digits = 0 if share >= 0.095 else 1 if share >= 0.00095 or share == 0 else 2
    return f"{100 * share:.{digits}f}{space}%"


def whole_percent(share: float) -> str:
    """A share from 0 to 1 in whole percent.

    Example
    -------
    >>> whole_percent(0.0114)
    '1 %'
    """
    return f"{100 * share:.0f}%" if spoken() == "ko" else f"{100 * share:.0f} %"


def date(day: str) -> str:
    """A day, given as ISO 8601 writes it.

    Example
    -------
    >>> date("2026-11-05T10:02:00+00:00")
    '5 November 2026'
    >>> with speaking("ko"):
    ...     date("2026-11-05")
    '2026년 11월 5일'
    """
    given = dt.date.fromisoformat(day[:10])
    if spoken() == "ko":
        return f"{given.year}년 {given.month}월 {given.day}일"
    return f"{given.day} {_MONTHS[given.month - 1]} {given.year}"


def true_minus(text: str) -> str:
    """A sentence whose negative numbers have a minus and no hyphen; what rounds to nothing has no sign.

    Example
    -------
    >>> true_minus("-1.4 (-1.9 to -0.000) % out-of-part")
    '−1.4 (−1.9 to 0.000) % out-of-part'
    """
    text = re.sub(r"(?<![\w-])[-+](0(?:\.0+)?)(?![\d.])", r"\1", text)
    return re.sub(r"(?<![\w-])-(?=\d)", _MINUS, text)


def seconds(value: float) -> str:
    """Seconds to two or three digits.

    Example
    -------
    >>> seconds(0.0312), seconds(4.26), seconds(1234.5)
    ('0.031', '4.3', '1,234')
    """
    if value < 0.0995:
        return f"{value:.2g}" if value >= 0.001 else "<0.001"
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def say_group(name: str) -> str:
    """A group of a column: thirds of its numbers in words, other names as they are.

    Example
    -------
    >>> say_group("above 61 to 72"), say_group("f")
    ('above 61 to 72', 'f')
    """
    if found := re.fullmatch(r"up to (\S+)", name):
        return tr("up to {high}", high=found[1])
    if found := re.fullmatch(r"above (\S+) to (\S+)", name):
        return tr("above {low} to {high}", low=found[1], high=found[2])
    if found := re.fullmatch(r"above (\S+)", name):
        return tr("above {low}", low=found[1])
    return translate(_UNNAMED) if name == UNNAMED else name


def keep_together(text: str) -> Markup:
    r"""Prose as HTML that breaks no line between a number and its percent sign, nor within an option.

    Example
    -------
    >>> str(keep_together("its 95 % interval < 1 (--test)"))
    'its 95\xa0% interval &lt; 1 (<span class="option">--test</span>)'
    """
    safe = str(escape(keep_percent(translate(text))))
    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="option">\g<0></span>', safe))


def keep_percent(text: str) -> str:
    """Numbers and their percent signs on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def split_headline(text: str) -> tuple[str, str]:
    """The first sentence of a text, and the rest of it.

    Example
    -------
    >>> split_headline("Use svm: AUROC 0.934 at 31. No other is shown better.")
    ('Use svm: AUROC 0.934 at 31.', 'No other is shown better.')
    """
    first, stop, rest = text.partition(". ")
    return (first + stop.rstrip(), rest) if rest else (text, "")


def shorten(text: str, length: int) -> str:
    """At most `length` characters, the cut marked.

    Example
    -------
    >>> shorten("adenocarcinoma in situ", 12)
    'adenocarcin…'
    """
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
