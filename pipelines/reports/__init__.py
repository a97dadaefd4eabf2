"""The report on evaluations: its sections as data, and the forms they are written in."""
