"""The pages on which operators find decisions, and see why they came out as they did."""
