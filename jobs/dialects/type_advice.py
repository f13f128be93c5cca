"""Advice for columns whose type does not fit their role: a number, time or truth value that SQL makes from them."""

import re

# By a pattern of the declared type; the first match counts.
_CONVERSIONS: tuple[tuple[str, str], ...] = (
    (r"\]$|\barray\b", "cardinality({0}) AS size"),
    (r"^json", "CAST({0} ->> 'name' AS double precision) AS value"),
    (r"^interval|^time\b", "EXTRACT(epoch FROM {0}) AS seconds"),
    (r"range", "upper({0}) - lower({0}) AS width"),
    (r"^(bytea|.*blob|.*binary|xml|tsvector)", "length(CAST({0} AS text)) AS size"),
    (r"^(point)", "{0}[0] AS x, {0}[1] AS y"),
    (r"^bit|^oid|^xid", "CAST(CAST({0} AS text) AS integer) AS value"),
    (r"^hstore", "CAST({0} -> 'name' AS double precision) AS value"),
    (r"char|text|clob|string", "CAST({0} AS double precision) AS value"),
)


def conversion_advice(name: str, declared_type: str, role: str) -> str:
    """Return what to do with a column that is listed in a role which its type does not have.

    >>> conversion_advice("wait", "interval", "numeric")
    'List it where it belongs in config.toml, or convert it in a query, such as: EXTRACT(epoch FROM wait) AS seconds.'
    """
    if role in {"time", "updated", "timestamp"}:
        example = f"CAST({name} AS timestamp) AS {name}"
    elif role == "label":
        example = f"CASE WHEN {name} = 'fault' THEN 1 ELSE 0 END AS {name}"
    else:
        example = next((text for pattern, text in _CONVERSIONS if re.search(pattern, declared_type.lower())), "")
    advice = "List it where it belongs in config.toml, or convert it in a query"
    return f"{advice}, such as: {example.format(name)}." if example else f"{advice}."
