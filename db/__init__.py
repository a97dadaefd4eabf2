"""The job database: models, sessions, and one module of queries for each subject."""
