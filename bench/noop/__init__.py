"""Servers that parse the Check and answer OK: what a transport costs without a decision."""
