"""How a store is looked after: checked, compacted, merged, exported."""
