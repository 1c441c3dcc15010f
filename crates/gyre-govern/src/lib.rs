//! Lineage, gates, bias.
