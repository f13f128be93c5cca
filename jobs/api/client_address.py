"""The address of a client, also behind proxies that the configuration names."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope


def client_address(scope: Scope, trusted_proxies: Sequence[str]) -> str:
    """Return the address of the client that sent a request.

    A trusted proxy names the client in X-Forwarded-For. Every proxy appends the address that it was called from, so
    the last one that is no trusted proxy is the client's: what precedes it, the client may have invented.

    Args:
        scope: of the request.
        trusted_proxies: addresses and networks of proxies.
    """
    address = str((scope.get("client") or ("",))[0]).removeprefix("::ffff:")  # of IPv4 on a socket of IPv6
    networks = _networks(tuple(trusted_proxies))
    names = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",") if networks else []
    while names and _is_among(address, networks):
        forwarded = names.pop().strip()
        if not _is_address(forwarded):
            return address
        address = forwarded
    return address


@lru_cache(maxsize=1)
def _networks(trusted_proxies: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(proxy) for proxy in trusted_proxies)


def _is_among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
