"""The SDK: what a target needs from Debian, resolved, verified and kept under `$KOS_HOME`, versions side by
side.
"""
