"""Files that a request brings, held in memory for as long as it is answered, under names of our own.

Decoders read files by path. On Linux an upload lies in an anonymous file of memory (memfd_create(2)), and its path is a
link to it: nothing of a patient reaches a disk, and nothing stays when the process dies. Elsewhere it lies in a folder
that only this user may read, until it is answered.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from medladder.images.names import ENDINGS, ending_of

from .refusals import BadRequestError, TooLargeError, TooSlowError
from .room import Room

FIELD = "files"


@dataclass(frozen=True)
class Sent:
    """A file as it was sent, under the name that the sender gave it."""

    name: str
    content: bytes


async def receive_files(request: Request, room: Room) -> list[Sent]:
    """The files of a multipart request, which must arrive in time and fit.

    Raises
    ------
    BadRequestError
        No multipart body, a damaged one, or no file under `files`.
    TooLargeError, TooSlowError, BusyError
        It brings too much, comes too slowly, or there is no room for it now.
    """
    limits = room.limits
    with room.upload(_announced(request)) as upload:

        async def stream() -> AsyncGenerator[bytes, None]:
            async for chunk in request.stream():
                upload.arrived(len(chunk))
                yield chunk

        parser = MultiPartParser(request.headers, stream(), max_files=limits.files, max_fields=8)
        parser.spool_max_size = limits.upload_bytes + 1  # a file in memory: nothing is spooled to a disk
        try:
            form = await asyncio.wait_for(_parsed(request, parser), limits.seconds_to_arrive)
        except TimeoutError as error:
            raise TooSlowError(
                found=f"The upload did not arrive within {limits.seconds_to_arrive:g} s.",
                needed="A whole request in that time.",
                do="Send fewer images at once.",
                headers={"Connection": "close"},
            ) from error
        return form


async def _parsed(request: Request, parser: MultiPartParser) -> list[Sent]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise _not_multipart("another kind of body")
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise TooLargeError(
                found=f"More than {parser.max_files} files.",
                needed=f"At most {parser.max_files} a request.",
                do="Send the images in several requests.",
                headers={"Connection": "close"},
            ) from error
        raise _not_multipart("a damaged one") from error
    except ClientDisconnect as error:
        raise _not_multipart("a body that broke off") from error
    async with _closing(form.getlist(FIELD)) as files:
        sent = [Sent(one.filename or "", await one.read()) for one in files]
    if not sent:
        raise _not_multipart(f"no file under '{FIELD}'")
    return sent


class _closing:  # noqa: N801 - it reads as contextlib's own
    def __init__(self, fields: Sequence[UploadFile | str]) -> None:
        self._files = [one for one in fields if isinstance(one, UploadFile)]

    async def __aenter__(self) -> list[UploadFile]:
        return self._files

    async def __aexit__(self, *_: object) -> None:
        for one in self._files:
            await one.close()


def _not_multipart(found: str) -> BadRequestError:
    return BadRequestError(
        found=f"The request brings {found}.",
        needed=f"multipart/form-data with one or more files under '{FIELD}'.",
        do=f"Send it as curl does: curl -F '{FIELD}=@image.png' …/predict.",
        headers={"Connection": "close"},
    )


def _announced(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


class Shelter:
    """A private folder of names for what is held; of links alone, where the system has files of memory."""

    def __init__(self) -> None:
        # Links are made and taken away a thousand times a second: where there is a folder in memory, there.
        in_memory = hasattr(os, "memfd_create") and os.access("/dev/shm", os.W_OK)
        self._folder = Path(tempfile.mkdtemp(prefix="medladder-", dir="/dev/shm" if in_memory else None))
        self._numbers = itertools.count()

    @contextmanager
    def hold(self, sent: Sequence[Sent]) -> Iterator[list[Path]]:
        """Paths of these files, good for as long as the block lasts."""
        paths, numbers = [], []
        try:
            for one in sent:
                # A decoder goes by content, but asks the name whether a file may be a volume. Only the ending is kept.
                ending = ending_of(one.name)
                path = self._folder / f"{next(self._numbers)}{ending if ending in ENDINGS else ''}"
                paths.append(path)
                numbers.append(_write(one.content, path))
            yield paths
        finally:
            for path in paths:
                path.unlink(missing_ok=True)
            for number in numbers:
                if number is not None:
                    os.close(number)

    def close(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(content: bytes, path: Path) -> int | None:
    """Put the content where the path leads; the number of the file of memory, where there is one."""
    if not hasattr(os, "memfd_create"):
        path.write_bytes(content)
        return None
    number = os.memfd_create("upload")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        path.symlink_to(f"/proc/{os.getpid()}/fd/{number}")
    except BaseException:
        os.close(number)
        raise
    return number
