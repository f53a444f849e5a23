"""A decoding process that hangs, ends or answers in part, by the names of the files that it is asked about."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Answer until the input ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        for job in json.loads(line):
            name = Path(job["look"]).name
            if name.startswith("hang"):
                time.sleep(60)
            if name.startswith("end"):
                os._exit(3)
            if name.startswith("part"):
                print('{"header"', end="", flush=True)
                os._exit(0)
            print(json.dumps({"header": name}), flush=True)


if __name__ == "__main__":
    main()
