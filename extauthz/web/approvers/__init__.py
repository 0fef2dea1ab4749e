"""The pages of those who answer approvals, on an origin of their own."""
