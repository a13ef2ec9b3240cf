"""Flower beside a run or alone: behind a password, read-only, with labels in place of arguments."""

import os
import secrets
from typing import NamedTuple

from shared.errors import UsageError
from shared.settings import LOOPBACK
from shared.user_code import python_command, python_environment

BASIC_AUTH = "FLOWER_BASIC_AUTH"
COLUMNS = "name,args,state,received,runtime,worker,uuid"


class FlowerProcess(NamedTuple):
    """How to start Flower: everything private is in the environment, nothing in the arguments."""

    command: list[str]
    environment: dict[str, str]
    #: Where to look, and with which user and password.
    address: str
    login: str


def flower_process(broker_url: str, address: str, port: int) -> FlowerProcess:
    """Flower on ``address``:``port``.

    The login is that of FLOWER_BASIC_AUTH, else a new one. Raises UsageError if that is malformed,
    or unset although others than this machine could come in.
    """
    login = os.environ.get(BASIC_AUTH, "").strip()
    user, _, password = login.partition(":")
    if login and not (user and password):
        raise UsageError(f"{BASIC_AUTH} must be user:password")
    if not login and address not in LOOPBACK:
        raise UsageError(
            f"Flower on {address} would be open to others: set {BASIC_AUTH}=user:password"
        )
    login = login or f"flower:{secrets.token_urlsafe(9)}"
    environment = {
        **python_environment(),
        "CELERY_BROKER_URL": broker_url,
        BASIC_AUTH: login,
        "FLOWER_ADDRESS": address,
        "FLOWER_PORT": str(port),
        "FLOWER_READ_ONLY": "true",
        "FLOWER_MAX_TASKS": "5000",
        "FLOWER_PURGE_OFFLINE_WORKERS": "60",
        "FLOWER_TASKS_COLUMNS": COLUMNS,
    }
    command = python_command("flower", "--quiet", "flower")
    host = f"[{address}]" if ":" in address else address
    return FlowerProcess(command, environment, f"http://{host}:{port}", login)
