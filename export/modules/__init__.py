"""The model in plain torch: compact modules written to be traced, and the reference they make."""
