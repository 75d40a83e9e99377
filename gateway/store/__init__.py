"""What must survive a crash: SQL rows and media files. Sole importer of SQLAlchemy, Alembic and aiosqlite.

Knows no rules: which state may follow which, who may see what and what anything costs is decided above.
"""
