"""MySQL and MariaDB; not covered by tests against a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import String
from sqlalchemy.types import TypeEngine

from jobs.dialects.base import Dialect


@dataclass(frozen=True)
class MySQL(Dialect):
    """MySQL and MariaDB."""

    title = "MySQL"
    driver_packages: ClassVar[Mapping[str, str]] = {
        "MySQLdb": "mysqlclient",
        "pymysql": "PyMySQL",
        **Dialect.driver_packages,
    }
    text_key_type: ClassVar[TypeEngine[Any]] = String(255)  # a key of TEXT needs a length
