"""What the parts and scripts share: servers, load, what is asked, figures, and what is shown and written of them."""
