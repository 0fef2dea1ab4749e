"""The parts of bench/soak.py: what runs, who calls, what goes wrong, what is watched, and the verdict."""
