"""Looking into a running app from outside, where the manifest opens it: shells, guests' consoles,
debuggers.

It gives nobody a right that the app itself does not have. What it does not know: who a person is and what
that person may do elsewhere; whoever may give it orders has been checked by others.
"""
