"""A host as data, on which the shipped far side runs: a disk, processes, streams, and the calls that reach them."""
