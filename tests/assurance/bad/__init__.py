"""Bad manifests, each named for its one fault, and near misses, in a file for each group of rules."""
