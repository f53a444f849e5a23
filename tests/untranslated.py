"""Finds what was left in English in a page drawn in another language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from typing import Any

READ = ("alt", "aria-label", "title", "data-label")
"""Attributes that a reader sees or hears."""

SILENT = ("style", "script", "pre", "code")
"""Not prose: style sheets, scripts, commands, names of files. What is marked as English is meant to be."""

_WORDS = re.compile(r"[A-Za-z][a-z’']+(?:[ ,]+[A-Za-z’']+)+")


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._open:
            self.texts += [value for name, value in attrs if name in READ and value]
        if tag in SILENT or (tag != "html" and dict(attrs).get("lang") == "en"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            self._open.remove(tag)

    def handle_data(self, data: str) -> None:
        if not self._open:
            self.texts.append(data)


def english_in(page: str, names: Iterable[str] = ()) -> list[str]:
    """Runs of two and more English words in what a reader of an HTML page sees, less these names."""
    parser = _Texts()
    parser.feed(page)
    known = sorted({name for name in names if name}, key=len, reverse=True)
    found = []
    for text in parser.texts:
        text = re.sub(r"--[a-z-]+(?: [A-Z]+\b)?", "", text)  # an option and what it takes
        for name in known:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " · ", text)
        found += _WORDS.findall(" ".join(text.split()))
    return found


def english_in_drawings(page: str, names: Sequence[str] = ()) -> list[str]:
    """English words, single ones too, in the drawings of a page, less these names."""
    found = []
    for drawing in re.findall(r'<svg[^>]*class="drawing".*?</svg>', page, re.DOTALL):
        for text in re.findall(r"<text[^>]*>([^<]+)", drawing):
            for name in sorted(filter(None, names), key=len, reverse=True):
                text = text.replace(name, "")
            found += re.findall(r"[A-Za-z]{3,}", text)
    # Names that are too long for their place are cut.
    return [word for word in found if not any(name.startswith(word) for name in names)]


def plain_texts(facts: Any) -> list[str]:
    """Texts in a file of a study that keeps no parts of them, as files of drawn studies do and older ones."""
    if isinstance(facts, list):
        return [text for one in facts for text in plain_texts(one)]
    if not isinstance(facts, dict):
        return []
    texts = [facts[key] for key in ("text", "rule", "message", "action", "probe_note") if facts.get(key)]
    return [*([] if "said" in facts else texts), *(text for one in facts.values() for text in plain_texts(one))]
