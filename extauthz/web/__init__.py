"""What people see: the challenge page, and the probes of whoever runs the server."""
