"""The judges of the invariants, by subject; `INVARIANTS` in `checked_bridge` lists them."""
