"""What people's preferences between arms come to: rates, intervals, tests, agreement."""
