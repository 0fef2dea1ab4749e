"""What the parts share: servers, load, figures, and what is shown and written of them."""
