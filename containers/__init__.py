"""Images: their definitions, and the code that builds them, enters them and proves what they are."""
