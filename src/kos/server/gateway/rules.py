"""What a device may do at the gateway, as nftables text. Pure."""

from __future__ import annotations

from kos.server.gateway.settings import DNS_PORT, GatewaySettings

TABLE = "kos_gateway"
INTERFACE = "wg0"


def render(settings: GatewaySettings) -> str:
    """The ruleset of the gateway's namespace. WireGuard has already checked who sends from which address."""
    ports = sorted({service.port for service in settings.services} | {DNS_PORT})
    listed = ", ".join(str(port) for port in ports)
    address = settings.address.ip
    return f"""\
table inet {TABLE} {{
  counter accepted {{ }}
  counter refused_port {{ }}
  counter refused_device {{ }}
  counter refused_other {{ }}
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
    iifname != "{INTERFACE}" accept
    ip daddr {address} accept
    ip daddr {settings.address.network} counter name refused_device reject with icmpx type admin-prohibited
    counter name refused_other reject with icmpx type admin-prohibited
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname != "{INTERFACE}" accept
    ct state established,related counter name accepted accept
    tcp dport {{ {listed} }} counter name accepted accept
    udp dport {DNS_PORT} counter name accepted accept
    icmp type echo-request counter name accepted accept
    counter name refused_port reject with icmpx type admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
  }}
}}
"""
