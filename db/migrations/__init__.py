"""Alembic's scripts; `db.session.upgrade` runs them."""
