"""Maintenance of a store: check, compaction, merge, repair and export."""
