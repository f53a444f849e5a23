"""`python -m medladder` is the command line."""

from .cli import main

main()
