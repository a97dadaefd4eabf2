"""Everything GuardUI does without a screen: data, template, models, stages, jobs."""
