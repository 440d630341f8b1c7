"""How the supervisor gives each app exactly the network that its manifest grants.

`plan` says what that is (pure), `rules` makes nftables rules of it (pure), `hub` builds it, `keeper` is
the one process with the right to do so, and `client` is how the supervisor speaks to it. No app holds a
capability, not even ethernet or tunnel: an app gets a finished namespace, those two a connection to the
keeper.
"""
