"""The record of what was decided, issued and ended: chained, signed batches, and what proves them (pure)."""
