"""A Linux guest as an app: QEMU as the service's child, inside the app's own sandbox.

QEMU gets the devices of a microVM and nothing else; what the guest may reach is what the manifest gave this
app. The guest's output is not trusted: it is shown, kept and served, never interpreted.
"""
