"""What makes a completion good: one pure function per file, and the table that weighs them."""
