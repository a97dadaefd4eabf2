"""Making preference studies, reading what came of them, and taking it away."""
