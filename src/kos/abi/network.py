"""What the keeper of the network and the services ethernet and tunnel say to each other.

A SEQPACKET connection, descriptor `KOS_NETWORK` of the service. The service sends one JSON object
(`{"op": …}`) and reads one (`{"ok": true, …}` or `{"ok": false, "error": …}`); descriptors travel with the
answer. An answer repeats the `number` of its request, where that has one. A packet with `"event"` may come
at any time between answers. Each role knows its own operations only:

- `ethernet`: `links` → who the interfaces are and what the host says about names; `open {interface}` → the
  descriptors of a packet socket for DHCP on it and of a UDP socket for names; `configure {interface, up,
  addresses, gateway, gateway6, mtu, auto6}` (`auto6`: IPv6 as routers announce it stays); event `link` when
  an interface changed.
- `tunnel`: `peer {public_key, endpoint, keep_alive, fresh}` (`fresh` forgets the session); `status` → the
  peer, the address of each app, what provisioning says now (a new private key is taken by the way);
  `counters` → those of each app.
- `mqtt`: `apps` → the apps that may use the relay; `listen {app, port}` → the descriptor of a socket that
  listens on the loopback of that app's namespace.

Plain Python: no I/O.
"""

PACKET_MAX = 1 << 17  # bytes: the counters of some hundred apps
DESCRIPTORS_MAX = 4  # with one answer
KEEPER_FD = 3  # of the keeper: its connection to the supervisor
ENVIRON = "KOS_NETWORK"

OP_LINKS = "links"
OP_OPEN = "open"
OP_CONFIGURE = "configure"
OP_PEER = "peer"
OP_STATUS = "status"
OP_COUNTERS = "counters"
OP_APPS = "apps"
OP_LISTEN = "listen"
EVENT_LINK = "link"

# In the key partition, beside the keys: what provisioning says about the tunnel.
PROVISIONED_FILE = "tunnel.json"
PROVISIONED_MAX = 4096  # bytes of that file
TUNNEL_KEY_FILE = "tunnel.key"
