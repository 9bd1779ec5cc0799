"""Tables of estimates: scores, Table 1, differences between arms, controls, contamination."""
