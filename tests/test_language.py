"""Messages and their catalogues: nothing a reader sees lacks a translation."""

from __future__ import annotations

import ast
import copy
import json
import re
import sys
from pathlib import Path

import pytest

from medladder import language
from medladder.errors import OptionError
from medladder.language import Message, counted, join, listed, of_record, parts_of, phrase, speaking, tr, translate

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import catalogues

LANGUAGES = [code for code in language.LANGUAGES if code != "en"]
_PLACE = re.compile(r"\{(\w*)[^}]*\}")


def test_a_message_is_its_english() -> None:
    message = phrase("{count} {unit}s, {share} %", count=1200, unit=phrase("patient"), share=5)
    assert message == "1,200 patients, 5 %"
    assert Message.from_json(json.loads(json.dumps(message.to_json()))) == message
    assert copy.deepcopy(message).values == message.values
    assert [counted(n, "{n} class", "{n} classes") for n in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert join([phrase("A."), "B {x}."]) == "A. B {x}."
    assert listed(["a"]) == "a"


def test_a_record_keeps_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Korean(language.gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            return {"Use {rung}.": "{rung} 쓰기.", "patient": "환자"}.get(message, message)

        def ngettext(self, one: str, many: str, n: int) -> str:
            return {"{n} images": "영상 {n}장"}[many]

    monkeypatch.setattr(language, "_catalogue", lambda code: Korean())
    text = join([phrase("Use {rung}.", rung="svm"), counted(1, "{n} image", "{n} images"), "as is"])
    entry = {"text": str(text), "said": parts_of(text=text, other="plain")}
    assert of_record(entry) == "Use svm. 1 image as is"
    with speaking("ko"):
        assert of_record(entry) == "svm 쓰기. 영상 1장 as is"
        assert of_record({"text": "of an older study"}) == "of an older study"
        assert tr("{unit}", unit=phrase("patient")) == "환자"
        assert translate("plain") == "plain"


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(OptionError, match="Known: en, ko"), speaking("kr"):
        pass
    assert language.spoken() == "en"


def test_every_template_is_written_out() -> None:
    """One that is put together when it is said would be in no catalogue."""
    for path in catalogues.PACKAGE.rglob("*.py"):
        if path.name in ("language.py", "html.py"):  # where they are defined
            continue
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(call.func, "id", "") if isinstance(call, ast.Call) else ""
            if name in catalogues.KEYWORDS:
                places = [place - 1 for place in catalogues.KEYWORDS[name] or (1,)]
                templates = [call.args[place] for place in places]
                assert all(isinstance(one, ast.Constant) for one in templates), f"{path.name}:{call.lineno}"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_message_of_the_code_is_translated(code: str) -> None:
    catalogue = catalogues.read(catalogues.CATALOGUES / f"{code}.po")
    marked = {message.id for message in catalogues.extract() if message.id}
    held = {message.id for message in catalogue if message.id}
    assert sorted(map(str, marked - held)) == [], "run `make catalogues` and translate what is new"
    assert sorted(map(str, held - marked)) == [], "run `make catalogues`"
    assert catalogues.untranslated(catalogue) == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_place_of_a_message_is_filled_in_its_translation(code: str) -> None:
    for message in catalogues.read(catalogues.CATALOGUES / f"{code}.po"):
        if not message.id:
            continue
        ids, strings = ([one] if isinstance(one, str) else list(one) for one in (message.id, message.string))
        wanted = set(_PLACE.findall(ids[-1]))
        for string in strings:
            assert set(_PLACE.findall(string)) == wanted, message.id


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_gettext_reads_is_what_translators_wrote(code: str) -> None:
    path = catalogues.CATALOGUES / f"{code}.po"
    assert path.with_suffix(".mo").read_bytes() == catalogues.compiled(catalogues.read(path)), "run `make catalogues`"
