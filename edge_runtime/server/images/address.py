"""Whether an address of the network belongs to the public internet, whatever the version of Python thinks of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# From the registries of special addresses: is_global says yes to several of them, to more in older versions.
NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared behind a provider's translation
        "127.0.0.0/8",
        "169.254.0.0/16",  # this link; the keys of cloud machines
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # groups, reserved, broadcast
    )
)
PUBLIC_V6 = IPv6Network("2000::/3")  # outside it: mapped and translated IPv4, this link, this site, groups
NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # Teredo, which holds an IPv4 address, and other protocols' own
        "2001:db8::/32",
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",
    )
)


def is_public_address(text: str) -> bool:
    """False for everything but a plain address; one with a zone is not plain."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in block for block in NOT_PUBLIC_V4)
    return _is_public_v6(address)


def _is_public_v6(address: IPv6Address) -> bool:
    is_plain = address.scope_id is None and address.is_global and address in PUBLIC_V6
    return is_plain and not any(address in block for block in NOT_PUBLIC_V6)
