"""The rules, one file each, in a folder for each group. A file is found by being here."""
