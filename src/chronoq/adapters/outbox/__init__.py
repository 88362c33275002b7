"""Outboxes in the databases of applications."""

from chronoq.adapters.outbox.address import connector
from chronoq.adapters.outbox.dialects import DIALECTS, Connection, dialect
from chronoq.adapters.outbox.table import OutboxTable, create, put

__all__ = ["DIALECTS", "Connection", "OutboxTable", "connector", "create", "dialect", "put"]
