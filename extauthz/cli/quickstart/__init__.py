"""`extauthz quickstart`: a real Envoy, a small service behind it and extauthz on this machine.

Everything that it starts belongs to one folder and one set of processes, and goes away with it.
"""
