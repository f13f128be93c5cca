"""The public holidays of a country, or of one of its subdivisions, from the package `holidays`."""

import warnings
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from holidays import HolidayBase

_NAMES_LANGUAGE = "en_US"  # whatever the environment


def country_holidays(place: str, years: Iterable[int]) -> dict[date, str]:
    """Return the public holidays of a place such as "DE" or "DE-BY" with their names, in ascending order of dates.

    Raises:
        ConfigError: If the package `holidays` has no such country or subdivision.
    """
    code, hyphen, subdivision = place.partition("-")
    country = _country(code)
    if hyphen and subdivision not in country.subdivisions:
        raise ConfigError(_unknown_subdivision(code, subdivision, country))
    warnings.filterwarnings("ignore", message="Requested Holidays are available only")  # India's after 2035
    days = country(years=years, subdiv=subdivision or None, language=_NAMES_LANGUAGE)
    return dict(sorted(days.items()))


def _country(code: str) -> "type[HolidayBase]":
    """Return the class of a country.

    Raises:
        ConfigError: If there is no such country.
    """
    import holidays  # trainings alone need it, if a country is configured
    from holidays.registry import COUNTRIES

    if code in {names[1] for names in COUNTRIES.values()}:
        country: type[HolidayBase] = getattr(holidays, code)
        return country
    code_by_name = {name.lower(): names[1] for names in COUNTRIES.values() for name in names}
    nearest = code_by_name.get(code.replace(" ", "").lower())
    hint = "" if nearest is None else f" Did you mean {nearest!r}?"
    msg = (
        f"The package `holidays` has no country with the code {code!r}.{hint} Expected a code of ISO 3166, such as "
        "'DE' or 'US', or the dates themselves."
    )
    raise ConfigError(msg)


def _unknown_subdivision(code: str, subdivision: str, country: "type[HolidayBase]") -> str:
    if not country.subdivisions:
        return f"The package `holidays` has no subdivisions of {code!r}, received {subdivision!r}. Use {code!r} alone."
    code_by_name = {name.lower(): name for name in country.subdivisions}
    code_by_name |= {alias.lower(): known for alias, known in getattr(country, "subdivisions_aliases", {}).items()}
    nearest = code_by_name.get(subdivision.lower())
    if nearest is not None:
        return f"{code!r} has no subdivision {subdivision!r}. Did you mean '{code}-{nearest}'?"
    return f"{code!r} has no subdivision {subdivision!r}. Use one of: {', '.join(country.subdivisions)}."
