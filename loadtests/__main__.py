"""``python -m rapide.loadtests --model NAME …``: locust with our users, headless unless told otherwise."""

from __future__ import annotations

import sys
from pathlib import Path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
PROFILE_LOCUSTFILE = Path(__file__).with_name("profile_locustfile.py")
WITH_A_BROWSER = ("--web-port", "--web-host", "--autostart", "--headless", "--worker", "--master")


def main(arguments: list[str]) -> None:
    """Runs locust with these arguments. It exits by itself, with 1 where an objective is missed."""
    if not any(argument.split("=")[0] in WITH_A_BROWSER for argument in arguments):
        arguments = ["--headless", "--only-summary", *arguments]
    follows = any(argument.split("=")[0] == "--usage-profile" for argument in arguments)
    locustfile = PROFILE_LOCUSTFILE if follows else LOCUSTFILE
    sys.argv = ["python -m rapide.loadtests", "-f", str(locustfile), *arguments]
    from locust.main import main as locust  # noqa: PLC0415 - patches the whole process, so not before it is asked for

    locust()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1:])
