"""Ways into engines that already run: what `Queue(..., relay=...)` takes."""
