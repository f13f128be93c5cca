"""References to environment variables, ``${NAME}``, in the texts of a configuration."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)\}")  # $${NAME} stands for the text ${NAME}


def escape(text: str) -> str:
    """Return a text with escaped references, which a configuration reads as the text itself.

    >>> escape("price in ${currency}")
    'price in $${currency}'
    """
    return _REFERENCE.sub(lambda match: "$" + match[0], text)


def missing(text: str, environ: Mapping[str, str]) -> list[str]:
    """Return the names of variables that a text refers to and that are not set.

    >>> missing("${HOME} ${NONE} $${TEXT}", {"HOME": "/root"})
    ['NONE']
    """
    return [name for escaped, name in _REFERENCE.findall(text) if not escaped and name not in environ]


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace each reference by the value of its variable.

    >>> expand("sqlite:///${NAME}.db $${NAME}", {"NAME": "a"})
    'sqlite:///a.db ${NAME}'

    Raises:
        KeyError: If a variable is not set.
    """
    return _REFERENCE.sub(lambda match: match[0][1:] if match[1] else environ[match[2]], text)
