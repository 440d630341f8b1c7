"""The message server: directory of ports, access control, token tables, life cycle of mailboxes.

It is the control plane only: messages themselves go through mailboxes that it makes and hands to two apps.
It believes nothing that an app sends: who speaks is known from the connection, what that app may do from the
manifest. It never waits for an app, and one packet of each app is handled in turn.
"""
