"""The paper's claims, what they measure, and how they are decided."""
