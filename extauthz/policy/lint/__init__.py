"""What `policy check` warns of: policies that load and that somebody will probably regret."""
