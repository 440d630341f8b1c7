"""The release of KOS that this tree is. Everything that shows a version takes it from here."""

VERSION = "1.0.0"
