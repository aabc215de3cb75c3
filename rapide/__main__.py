"""``python -m rapide`` is ``rapide``."""

from rapide.cli.main import main

raise SystemExit(main())
