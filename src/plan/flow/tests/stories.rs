//! Stories: what happens to a few nodes, told from beginning to end.
