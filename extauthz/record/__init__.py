"""What is left behind of every decision. Never on the way of an answer: a record that fails changes no decision."""
