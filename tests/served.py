"""`medladder serve` as a process of its own, asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


@dataclass
class Running:
    """The address of a server, its process and what it says on stderr."""

    url: str
    token: str | None
    process: subprocess.Popen[str]
    log: Path

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=120, **options)

    def send(self, path: str, *files: tuple[str, bytes], **options: Any) -> httpx.Response:
        return self.ask("POST", path, files=[("files", one) for one in files], **options)

    def wait_until_ready(self) -> None:
        until = time.monotonic() + 120
        while self.ask("GET", "/ready").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(folder: Path, *words: Any, **environment: str) -> Iterator[Running]:
    """Serve on a free port until the block ends; `folder` takes the log."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "medladder", "serve", *map(str, words), "--port", "0", "--json"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **environment}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        said = json.loads(line)
        running = Running(said["url"], said["token"], process, log)
        running.wait_until_ready()
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
