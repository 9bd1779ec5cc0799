"""What a study needs and costs, from formulas and stated rates."""
