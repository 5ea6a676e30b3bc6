"""``python -m ce2de_os`` is the ``ce2de`` command."""

from ce2de_os.cli import main

main()
