"""Which destinations the code of a sandbox may reach: the entries of `network`, and the addresses that a name may lead to."""

import ipaddress
import re
from dataclasses import dataclass

from tirage.core.errors import ConfigError

WEB_PORTS = frozenset({80, 443})
_ENTRY = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One entry: a host by name or address, or all names below one, on some ports."""

    host: str
    """Lower case, without the final dot; `*.` in front stands for one or more labels."""
    ports: frozenset[int]

    def covers(self, host: str, port: int) -> bool:
        """True when a request for `host` (as `normal` writes it) and `port` is meant."""
        return port in self.ports and (host == self.host or (self.host.startswith("*.") and host.endswith(self.host[1:])))

    def allows(self, address: Address) -> bool:
        """True when the connection may go to `address`, which `host` was found to have.

        Whoever runs the name server of a listed name chooses the address. So a name never leads to this machine or its link, and a
        wildcard never into a private network; an address that is meant has to be listed as such.
        """
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        if self.host == "localhost":
            return address.is_loopback
        if _address(self.host) is not None:
            return True
        if self.host.startswith("*."):
            return address.is_global and not address.is_multicast
        return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast or address.is_reserved)


def parse(entry: str) -> Destination:
    """`host` (ports 80 and 443), `host:port`, `*.domain`; IPv6 addresses with a port in brackets. Raises `ConfigError`."""
    bare = entry.count(":") > 1 and not entry.startswith("[")
    found = _ENTRY.fullmatch(f"[{entry}]" if bare else entry)
    host = normal(found["host"].strip("[]")) if found else ""
    port = int(found["port"]) if found and found["port"] else None
    if not (_address(host) or _NAME.fullmatch(host)) or not (port is None or 0 < port < 65536):
        raise ConfigError(f"sandbox network entry {entry!r} must be a host, host:port or *.domain, such as pypi.org or 10.0.0.5:8000")
    return Destination(host=host, ports=WEB_PORTS if port is None else frozenset({port}))


def normal(host: str) -> str:
    """The one way a host is written here."""
    address = _address(host)
    return str(address) if address is not None else host.lower().removesuffix(".")


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
