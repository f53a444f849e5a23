"""Bring the catalogues up to date with the messages in the code: new ones enter empty, gone ones leave.

Run as `make catalogues`; then fill the empty entries of src/medladder/catalogues/*.po, with the words of
docs/glossary.md, and run it again.
"""

from __future__ import annotations

import contextlib
from io import BytesIO, StringIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parents[1] / "src" / "medladder"
CATALOGUES = PACKAGE / "catalogues"
KEYWORDS = {"phrase": None, "tr": None, "counted": (2, 3)}
# The terminal speaks English.
METHODS = [
    *((name, "ignore") for name in ("terminal.py", "cli/**.py")),
    ("**.py", "python"),
    ("**.j2", "jinja2.ext:babel_extract"),
    ("**.md", "jinja2.ext:babel_extract"),
]


def extract() -> Catalog:
    """Every message that the code marks, with no translation."""
    found = Catalog(project="medladder", version="", copyright_holder="The medladder developers", fuzzy=False)
    options = {"**.j2": {"silent": "false"}, "**.md": {"silent": "false"}}
    # It warns of values that are f-strings; that no template is one, a test asks.
    with contextlib.redirect_stderr(StringIO()):
        for file, _, message, _, _ in extract_from_dir(PACKAGE, METHODS, options, KEYWORDS):
            found.add(message, locations=[(file, 0)])
    return found


def read(path: Path) -> Catalog:
    """A catalogue of translations."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def untranslated(catalogue: Catalog) -> list[str]:
    """Messages whose entry is empty."""
    strings = [(message.id, message.string) for message in catalogue if message.id]
    return [str(key) for key, said in strings if not said or not all([said] if isinstance(said, str) else said)]


def compiled(catalogue: Catalog) -> bytes:
    """The catalogue as gettext reads it."""
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def main() -> None:
    """Write each .po and .mo again."""
    found = extract()
    for path in sorted(CATALOGUES.glob("*.po")):
        catalogue = read(path)
        catalogue.update(found, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.revision_date = catalogue.creation_date
        with path.open("wb") as file:
            write_po(file, catalogue, width=120, sort_output=True, include_lineno=False)
        path.with_suffix(".mo").write_bytes(compiled(catalogue))
        print(f"{path.name}: {len(catalogue)} messages, {len(untranslated(catalogue))} without a translation")


if __name__ == "__main__":
    main()
