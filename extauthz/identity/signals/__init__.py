"""What others say of our users, workloads and devices: security event tokens, and what is known from them."""
